"""The tickets world: a support desk. Tickets have a status, a priority, an owner and tags."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from qbench.benchmarks.worlds.cases import (
    Case,
    Kind,
    Office,
    Operation,
    Refused,
    Shown,
    State,
    call,
    listed,
)

AGENTS = tuple("Amir Berta Chen Dora Elif Femi Gita Hans".split())
PRIORITIES = ("low", "normal", "high", "urgent")
TOPICS = tuple("login invoice printer network email password payment shipping refund app".split())
TAGS = tuple("billing hardware account bug question outage vip legal".split())
LOAD = 6
"""Most open tickets of one agent."""


def _ticket(state: State, ticket: int) -> State:
    found: State | None = state["tickets"].get(str(ticket))
    if found is None:
        raise Refused(f"There is no ticket {ticket}.")
    return found


def _open(state: State, ticket: int) -> State:
    found = _ticket(state, ticket)
    if found["status"] == "closed":
        raise Refused(f"Ticket {ticket} is closed: reopen it first.")
    return found


def _load(state: State, agent: str) -> int:
    return sum(
        ticket["owner"] == agent and ticket["status"] == "open"
        for ticket in state["tickets"].values()
    )


def assign_ticket(state: State, ticket: int, agent: str) -> str:
    """Assign a ticket to an agent."""
    found = _open(state, ticket)
    if agent not in AGENTS:
        raise Refused(f"There is no agent {agent}. Agents: {listed(AGENTS)}.")
    if found["owner"] != agent and _load(state, agent) >= LOAD:
        free = [name for name in AGENTS if _load(state, name) < LOAD]
        raise Refused(f"{agent} has {LOAD} open tickets already. Free: {listed(free)}.")
    found["owner"] = agent
    return f"Ticket {ticket} belongs to {agent}."


def close_ticket(state: State, ticket: int) -> str:
    """Close a ticket."""
    _open(state, ticket)["status"] = "closed"
    return f"Ticket {ticket} is closed."


def reopen_ticket(state: State, ticket: int) -> str:
    """Reopen a closed ticket."""
    found = _ticket(state, ticket)
    if found["status"] == "open":
        raise Refused(f"Ticket {ticket} is open.")
    found["status"] = "open"
    return f"Ticket {ticket} is open."


def set_priority(state: State, ticket: int, priority: str) -> str:
    """Set the priority of a ticket: low, normal, high or urgent."""
    if priority not in PRIORITIES:
        raise Refused(f"A priority is one of {listed(PRIORITIES)}.")
    _open(state, ticket)["priority"] = priority
    return f"Ticket {ticket} has priority {priority}."


def add_tag(state: State, ticket: int, tag: str) -> str:
    """Add a tag to a ticket."""
    found = _open(state, ticket)
    found["tags"] = sorted({*found["tags"], tag})
    return f"Ticket {ticket} has tags {listed(found['tags'])}."


def show_ticket(state: State, ticket: int) -> str:
    """Show a ticket."""
    found = _ticket(state, ticket)
    return (
        f"{ticket}: {found['topic']}, from {found['customer']}, {found['status']}, "
        f"{found['priority']}, owner {found['owner'] or 'nobody'}, "
        f"tags {', '.join(found['tags']) or 'none'}"
    )


def search_tickets(state: State, topic: str) -> str:
    """List the tickets about a topic."""
    numbers = [n for n, found in state["tickets"].items() if found["topic"] == topic]
    return "\n".join(show_ticket(state, int(n)) for n in numbers) or f"Nothing about {topic}."


def list_tickets(state: State, status: str) -> str:
    """List the tickets with status open or closed."""
    numbers = [n for n, found in state["tickets"].items() if found["status"] == status]
    return "\n".join(show_ticket(state, int(n)) for n in numbers) or f"Nothing is {status}."


OPERATIONS: dict[str, Operation] = {
    made.__name__: made
    for made in (
        assign_ticket,
        close_ticket,
        reopen_ticket,
        set_priority,
        add_tag,
        show_ticket,
        search_tickets,
        list_tickets,
    )
}
TOOL_SETS = (("assign_ticket", "close_ticket"), ("add_tag", "close_ticket", "set_priority"))
SHOWN = (
    Shown(
        request="Ivo takes care of ticket 55.",
        call=call("assign_ticket", ticket=55, agent="Ivo"),
        result="Ticket 55 belongs to Ivo.",
    ),
    Shown(
        request="Ticket 55 is done.",
        call=call("close_ticket", ticket=55),
        result="Ticket 55 is closed.",
    ),
    Shown(
        request="Treat ticket 55 as normal.",
        call=call("set_priority", ticket=55, priority="normal"),
        result="Ticket 55 has priority normal.",
    ),
    Shown(
        request="Mark ticket 55 as spam.",
        call=call("add_tag", ticket=55, tag="spam"),
        result="Ticket 55 has tags spam.",
    ),
)


def desk(rng: random.Random, tickets: int) -> State:
    """Draw a desk with ``tickets`` open tickets."""
    numbers = sorted(rng.sample(range(10, 99), tickets))
    return {
        "tickets": {
            str(number): {
                "topic": rng.choice(TOPICS),
                "customer": f"C{rng.randint(1, 9)}",
                "status": "open",
                "priority": rng.choice(PRIORITIES[:2]),
                "owner": "",
                "tags": [],
            }
            for number in numbers
        }
    }


def _some(rng: random.Random, state: State) -> int:
    return int(rng.choice(list(state["tickets"])))


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {ticket}, {agent}, {priority}, {tag}."""

    def make(rng: random.Random) -> Case:
        state = desk(rng, 4)
        ticket, agent = _some(rng, state), rng.choice(AGENTS)
        priority, tag = rng.choice(PRIORITIES[2:]), rng.choice(TAGS)
        arguments: dict[str, dict[str, Any]] = {
            "assign_ticket": {"ticket": ticket, "agent": agent},
            "close_ticket": {"ticket": ticket},
            "set_priority": {"ticket": ticket, "priority": priority},
            "add_tag": {"ticket": ticket, "tag": tag},
        }
        request = text.format(ticket=ticket, agent=agent, priority=priority, tag=tag)
        return Case(request=request, state=state, calls=(call(tool, **arguments[tool]),))

    return make


LEVEL_1 = {
    "assign_ticket": (
        "Assign ticket {ticket} to {agent}.",
        "Please assign ticket {ticket} to {agent}.",
        "{agent} will work on {ticket}.",
        "Give {ticket} to {agent}.",
    ),
    "close_ticket": (
        "Close ticket {ticket}.",
        "Please close ticket {ticket}.",
        "{ticket} has been solved.",
        "Nothing is left to do for {ticket}.",
    ),
    "set_priority": (
        "Set the priority of ticket {ticket} to {priority}.",
        "Ticket {ticket} gets priority {priority}.",
        "{ticket} is {priority}.",
        "From now on {ticket} counts as {priority}.",
    ),
    "add_tag": (
        "Add the tag {tag} to ticket {ticket}.",
        "Ticket {ticket} needs the tag {tag}.",
        "{ticket} is about {tag}.",
        "Label {ticket} {tag}.",
    ),
}


def _take_urgent(rng: random.Random) -> Case:
    state = desk(rng, 6)
    ticket, agent = _some(rng, state), rng.choice(AGENTS)
    return Case(
        request=f"Ticket {ticket} is urgent now, and {agent} takes it.",
        state=state,
        calls=(
            call("set_priority", ticket=ticket, priority="urgent"),
            call("assign_ticket", ticket=ticket, agent=agent),
        ),
    )


def _topic_of(rng: random.Random) -> Case:
    state = desk(rng, 6)
    ticket = _some(rng, state)
    return Case(
        request=f"What is ticket {ticket} about? Answer with the topic.",
        state=state,
        calls=(call("show_ticket", ticket=ticket),),
        answer=state["tickets"][str(ticket)]["topic"],
    )


def _all_about(rng: random.Random) -> Case:
    state = desk(rng, 8)
    topic = state["tickets"][str(_some(rng, state))]["topic"]
    tag = rng.choice(TAGS)
    numbers = [int(n) for n, found in state["tickets"].items() if found["topic"] == topic]
    return Case(
        request=f"Add the tag {tag} to every ticket about {topic}. How many were there? Answer "
        "with the number.",
        state=state,
        calls=(
            call("search_tickets", topic=topic),
            *(call("add_tag", ticket=number, tag=tag) for number in numbers),
        ),
        answer=str(len(numbers)),
    )


def _of_customer(rng: random.Random) -> Case:
    state = desk(rng, 9)
    customer = state["tickets"][str(_some(rng, state))]["customer"]
    numbers = [int(n) for n, found in state["tickets"].items() if found["customer"] == customer]
    return Case(
        request=f"Close all open tickets of customer {customer}.",
        state=state,
        calls=(
            call("list_tickets", status="open"),
            *(call("close_ticket", ticket=number) for number in numbers),
        ),
    )


def _reopen_first(rng: random.Random) -> Case:
    """A closed ticket refuses changes, and the wanted agent may be full."""
    state = desk(rng, 14)
    full, spare = rng.sample(AGENTS, 2)
    numbers = list(state["tickets"])
    for number in numbers[:LOAD]:
        state["tickets"][number]["owner"] = full
    ticket = rng.choice(numbers[LOAD:])
    state["tickets"][ticket]["status"] = "closed"
    return Case(
        request=f"The customer of ticket {ticket} came back: it must be open again, high, and with "
        f"{full} (with {spare} if {full} has no room).",
        state=state,
        calls=(
            call("reopen_ticket", ticket=int(ticket)),
            call("set_priority", ticket=int(ticket), priority="high"),
            call("assign_ticket", ticket=int(ticket), agent=spare),
        ),
    )


def _triage(rng: random.Random) -> Case:
    """Rules by topic and customer, then a fair distribution in order."""
    state = desk(rng, 16)
    hot, dull = rng.sample(TOPICS, 2)
    for number in rng.sample(list(state["tickets"]), 7):
        state["tickets"][number]["topic"] = rng.choice((hot, dull))
    team = sorted(rng.sample(AGENTS, 3))
    vip = state["tickets"][str(_some(rng, state))]["customer"]
    calls, turn = [call("list_tickets", status="open")], 0
    for number, found in state["tickets"].items():
        ticket = int(number)
        if found["topic"] == dull and found["customer"] != vip:
            calls.append(call("close_ticket", ticket=ticket))
        elif found["topic"] == hot or found["customer"] == vip:
            wanted = "urgent" if found["customer"] == vip else "high"
            calls.append(call("set_priority", ticket=ticket, priority=wanted))
            calls.append(call("assign_ticket", ticket=ticket, agent=team[turn % 3]))
            turn += 1
    return Case(
        request=f"Triage the open tickets by ascending number. Tickets of customer {vip} become "
        f"urgent. Other tickets about {dull} are closed; other tickets about {hot} become high. "
        f"Those that became urgent or high are assigned to {listed(team)} in turn, in this "
        "order, one after the other. All the rest stays untouched.",
        state=state,
        calls=tuple(calls),
    )


def _no_number(rng: random.Random) -> Case:
    return Case(
        request=f"{rng.choice(AGENTS)} solved some ticket yesterday; I will tell you its number "
        "tomorrow. Change nothing and answer with the one word: waiting.",
        state=desk(rng, 6),
        answer="waiting",
    )


def _spell(rng: random.Random) -> Case:
    topic = rng.choice(TOPICS)
    return Case(
        request=f"How many letters does the word {topic} have? Answer with the number.",
        state=desk(rng, 6),
        answer=str(len(topic)),
    )


LEVELS: dict[int, tuple[Kind, ...]] = {
    1: tuple(
        Kind(name=f"{tool}-{number}", make=_one(text, tool), tools=(tool,))
        for tool, texts in LEVEL_1.items()
        for number, text in enumerate(texts)
    ),
    2: (Kind(name="take-urgent", make=_take_urgent), Kind(name="topic-of", make=_topic_of)),
    3: (Kind(name="all-about", make=_all_about), Kind(name="of-customer", make=_of_customer)),
    4: (Kind(name="reopen-first", make=_reopen_first),),
    5: (Kind(name="triage", make=_triage),),
}
NO_CALL = (Kind(name="no-number", make=_no_number), Kind(name="spell", make=_spell))

OFFICE = Office(
    name="tickets",
    operations=OPERATIONS,
    shown=SHOWN,
    tool_sets=TOOL_SETS,
    levels=LEVELS,
    no_call=NO_CALL,
)
