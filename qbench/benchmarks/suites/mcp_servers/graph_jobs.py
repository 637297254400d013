"""The questions of the memory server: a graph of people and firms, five levels."""

from __future__ import annotations

import random
from collections.abc import Callable

from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suite import ReferenceCall
from qbench.benchmarks.suites.mcp_servers.cases import Example, Job
from qbench.benchmarks.suites.mcp_servers.graphs import (
    FACTS,
    FIRMS,
    OPERATIONS,
    PEOPLE,
    entity,
    named,
    relation,
)
from qbench.benchmarks.worlds.cases import Case, Kind, call


def _works(who: str, firm: str) -> dict[str, str]:
    return {"from": who, "to": firm, "relationType": "works_at"}


def _new(name: str, *facts: str, kind: str = "person") -> ReferenceCall:
    entity = {"name": name, "entityType": kind, "observations": list(facts)}
    return call("create_entities", entities=[entity])


def _noted(name: str, *facts: str) -> ReferenceCall:
    return call("add_observations", observations=[{"entityName": name, "contents": list(facts)}])


EXAMPLES = (
    Example(
        request="Zoe plays golf: note it.",
        call=_noted("Zoe", "plays golf"),
        result='[\n  {\n    "entityName": "Zoe",\n    "addedObservations": [\n      "plays golf"\n'
        "    ]\n  }\n]",
    ),
    Example(
        request="Forget Zoe altogether.",
        call=call("delete_entities", entityNames=["Zoe"]),
        result="Entities deleted successfully",
    ),
    Example(
        request="Zoe works at Quill.",
        call=call("create_relations", relations=[_works("Zoe", "Quill")]),
        result='[\n  {\n    "from": "Zoe",\n    "to": "Quill",\n    "relationType": "works_at"\n'
        "  }\n]",
    ),
)
TOOL_SETS = (
    ("add_observations", "delete_entities"),
    ("delete_entities", "create_relations"),
    ("add_observations", "create_relations"),
)


def graph(rng: random.Random, people: int, firms: int = 2, facts: int = 2) -> State:
    """Draw people with facts, each at a firm but the last, who has none."""
    names, places = rng.sample(PEOPLE, people), rng.sample(FIRMS, firms)
    entities = [entity(name, "person", rng.sample(FACTS, facts)) for name in names]
    entities += [entity(name, "firm", []) for name in places]
    relations = [relation(name, rng.choice(places), "works_at") for name in names[:-1]]
    return {"entities": entities, "relations": relations}


def _people(state: State) -> list[str]:
    return [one["name"] for one in state["entities"] if one["type"] == "person"]


def _firms(state: State) -> list[str]:
    return [one["name"] for one in state["entities"] if one["type"] == "firm"]


def _firm_of(state: State, who: str) -> str:
    firms: list[str] = [one["to"] for one in state["relations"] if one["from"] == who]
    return firms[0]


def _fresh_fact(rng: random.Random, state: State, who: str) -> str:
    return rng.choice([fact for fact in FACTS if fact not in named(state, who)["observations"]])


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {who}, {fact}, {firm}, {last}."""

    def make(rng: random.Random) -> Case:
        state = graph(rng, 3)
        who, last, firm = rng.choice(_people(state)), _people(state)[-1], rng.choice(_firms(state))
        fact = _fresh_fact(rng, state, who)
        made = {
            "add_observations": _noted(who, fact),
            "delete_entities": call("delete_entities", entityNames=[who]),
            "create_relations": call("create_relations", relations=[_works(last, firm)]),
        }[tool]
        request = text.format(who=who, fact=fact, firm=firm, last=last)
        return Case(request=request, state=state, calls=(made,))

    return make


LEVEL_1 = {
    "add_observations": (
        "Add the observation to {who}: {fact}",
        "Note about {who}: {fact}",
        "{who} {fact}: remember that.",
        "Keep in mind that {who} {fact}.",
    ),
    "delete_entities": (
        "Delete the entity {who}.",
        "Delete {who}.",
        "Forget {who} altogether.",
        "We need to know nothing of {who} any more.",
    ),
    "create_relations": (
        "Create the relation works_at from {last} to {firm}.",
        "{last} works_at {firm}: create it.",
        "{last} works at {firm} now.",
        "{firm} has hired {last}, who works there now.",
    ),
}


def _hired(rng: random.Random) -> Case:
    state = graph(rng, 4)
    who = rng.choice([name for name in PEOPLE if name not in _people(state)])
    firm, fact = rng.choice(_firms(state)), rng.choice(FACTS)
    return Case(
        request=f"Remember a new person called {who} with one observation, exactly: {fact} - and "
        f"the relation works_at from {who} to {firm}.",
        state=state,
        calls=(_new(who, fact), call("create_relations", relations=[_works(who, firm)])),
    )


def _where_works(rng: random.Random) -> Case:
    state = graph(rng, 5)
    who = rng.choice(_people(state)[:-1])
    return Case(
        request=f"Where does {who} work, by what you remember? Answer with the name of the firm.",
        state=state,
        calls=(call("open_nodes", names=[who]),),
        answer=_firm_of(state, who),
    )


def _who_is_it(rng: random.Random) -> Case:
    """The person is known by a fact only: look, then note."""
    state = graph(rng, 5)
    who = rng.choice(_people(state))
    fact = rng.choice(named(state, who)["observations"])
    for other in _people(state):
        if other != who:
            entity = named(state, other)
            entity["observations"] = [one for one in entity["observations"] if one != fact]
    new = _fresh_fact(rng, state, who)
    return Case(
        request=f"There is one person of whom you remember: {fact}. Add to that person the "
        f"observation, exactly: {new} - and tell me who it is.",
        state=state,
        calls=(call("search_nodes", query=fact), _noted(who, new)),
        answer=who,
    )


def _colleagues(rng: random.Random) -> Case:
    state = graph(rng, 7)
    who = rng.choice(_people(state)[:-1])
    firm = _firm_of(state, who)
    count = sum(one["to"] == firm for one in state["relations"]) - 1
    return Case(
        request=f"How many people work at the same firm as {who}, {who} not counted? Answer with "
        "the number.",
        state=state,
        calls=(call("open_nodes", names=[who]), call("open_nodes", names=[firm])),
        answer=str(count),
    )


def _moved(rng: random.Random) -> Case:
    """A relation is replaced, and the note fails where the person is not known yet."""
    state = graph(rng, 6, firms=3)
    who = rng.choice(_people(state)[:-1])
    old = _firm_of(state, who)
    new = rng.choice([firm for firm in _firms(state) if firm != old])
    fresh = rng.choice([name for name in PEOPLE if name not in _people(state)])
    fact, other = _fresh_fact(rng, state, who), rng.choice(FACTS)
    return Case(
        request=f"{who} has left the firm and works_at {new} now: there must be no other works_at "
        f"relation of {who}. Note about {who}, exactly: {fact} - and about {fresh}, exactly: "
        f"{other}. Whoever you do not know yet is a new entity of type person.",
        state=state,
        calls=(
            call("open_nodes", names=[who, fresh]),
            call("delete_relations", relations=[_works(who, old)]),
            call("create_relations", relations=[_works(who, new)]),
            _noted(who, fact),
            _new(fresh, other),
        ),
    )


def _merged(rng: random.Random) -> Case:
    """Two names are one person: facts and relations move, the second name goes."""
    state = graph(rng, 8, firms=3, facts=3)
    people = _people(state)
    keep, drop = rng.sample(people[:-1], 2)
    boss = people[-1]
    state["relations"] += [relation(boss, drop, "knows"), relation(drop, keep, "knows")]
    kept = relation(keep, _firm_of(state, drop), "works_at")
    known = named(state, keep)["observations"]
    facts = [fact for fact in named(state, drop)["observations"] if fact not in known]
    relations = [{"from": boss, "to": keep, "relationType": "knows"}]
    if kept not in state["relations"]:
        relations.append(_works(keep, kept["to"]))
    calls = [
        call("open_nodes", names=[keep, drop]),
        call("create_relations", relations=relations),
        call("delete_entities", entityNames=[drop]),
    ]
    if facts:
        calls.insert(1, _noted(keep, *facts))
    return Case(
        request=f"{keep} and {drop} are one person. Give {keep} every observation and every "
        f"relation of {drop} that {keep} lacks, in the same direction, but no relation of {keep} "
        f"to {keep}; then delete {drop}. How many observations has {keep} in the end? Answer with "
        "the number.",
        state=state,
        calls=tuple(calls),
        answer=str(len(known) + len(facts)),
    )


def _not_yet(rng: random.Random) -> Case:
    state = graph(rng, 4)
    return Case(
        request=f"Someone says that {_people(state)[0]} {rng.choice(FACTS)}, but that is gossip: "
        "do not touch your memory. Just say all right.",
        state=state,
        answer="all right",
    )


def _longest(rng: random.Random) -> Case:
    names = rng.sample(("Al", "Bertha", "Christopher", "Dan"), 4)
    return Case(
        request=f"Which of these names has the most letters: {', '.join(names)}? Answer with it.",
        state=graph(rng, 4),
        answer="Christopher",
    )


JOB = Job(
    name="memory",
    tools=tuple(OPERATIONS),
    operations=OPERATIONS,
    examples=EXAMPLES,
    tool_sets=TOOL_SETS,
    levels={
        1: tuple(
            Kind(name=f"{tool}-{number}", make=_one(text, tool), tools=(tool,))
            for tool, texts in LEVEL_1.items()
            for number, text in enumerate(texts)
        ),
        2: (Kind(name="hired", make=_hired), Kind(name="where-works", make=_where_works)),
        3: (Kind(name="who-is-it", make=_who_is_it), Kind(name="colleagues", make=_colleagues)),
        4: (Kind(name="moved", make=_moved),),
        5: (Kind(name="merged", make=_merged),),
    },
    no_call=(Kind(name="not-yet", make=_not_yet), Kind(name="longest", make=_longest)),
    needless=call("read_graph"),
)
