"""What is asked: one tool, several, in the tool's words or others, or something no tool does."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from msgspec import Struct

from qbench.benchmarks.suite import ReferenceCall
from qbench.benchmarks.suites.tools_at_scale.catalogue import CORE, catalogue
from qbench.benchmarks.suites.tools_at_scale.kinds import (
    ACTS_THAT_ANSWER,
    Thing,
    kinds,
    services,
)
from qbench.benchmarks.suites.tools_at_scale.tools import Tool, spoken, tools_of, universe
from qbench.benchmarks.suites.tools_at_scale.world import carry_out
from qbench.benchmarks.worlds.cases import drawn

PLAN = (
    "single/other",
    "multi/loose",
    "single/loose",
    "none/loose",
    "multi/other",
    "single/direct",
    "single/loose",
    "multi/direct",
    "single/other",
    "multi/loose",
)
"""Kinds of requests in turn: 5 of 10 need one tool, 4 two to four, 1 none.

``direct``: in the tool's words. ``other``: no word of it. ``loose``: the verb or the object in
other words, not both.
"""

PEOPLE = tuple("Amir Berta Chen Dora Elif Femi Gita Hans Ines Jonas Kofi Lena".split())
TITLES = tuple("Aurora Basalt Cobalt Delta Ember Falcon Granite Harbor Indigo Juniper".split())
ROOMS = ("the annex", "hall 4", "the loft", "wing B", "bay 7", "the basement")
GROUPS = ("Blue", "Green", "Red", "North", "South", "East")
TAGS = ("alpha", "kilo", "sierra", "tango", "zulu")
LINKS = (". Then ", "; ", ", and after that ", ". Also, ")
"""Between the parts of a request."""

_VALUES: dict[str, Callable[[random.Random], Any]] = {
    "person": lambda rng: rng.choice(PEOPLE),
    "title": lambda rng: f"{rng.choice(TITLES)} {rng.randint(2, 99)}",
    "date": lambda rng: f"2027-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
    "number": lambda rng: rng.randint(2, 95),
    "room": lambda rng: rng.choice(ROOMS),
    "group": lambda rng: rng.choice(GROUPS),
    "email": lambda rng: f"{rng.choice(PEOPLE).lower()}{rng.randint(1, 99)}@example.org",
    "phone": lambda rng: f"555-{rng.randint(1000, 9999)}",
    "language": lambda rng: rng.choice(("French", "German", "Polish", "Spanish", "Turkish")),
    "file_format": lambda rng: rng.choice(("csv", "docx", "html", "pdf")),
    "priority": lambda rng: rng.choice(("low", "high", "urgent")),
    "version": lambda rng: f"{rng.randint(2, 9)}.{rng.randint(0, 20)}",
    "time": lambda rng: f"{rng.randint(5, 22):02}:{rng.choice((0, 15, 30, 45)):02}",
    "stars": lambda rng: rng.randint(1, 5),
    "tag": lambda rng: rng.choice(TAGS),
}
_FILLED = {
    "person": "owner assignee guest reader watcher recipient signer holder name",
    "title": "subject text occasion",
    "date": "day until",
    "number": "copies hours minutes amount seats level value limit",
}
_FILL = {name: kind for kind, names in _FILLED.items() for name in names.split()}


class Request(Struct, frozen=True, kw_only=True):
    """A request with its records and a shortest known solution."""

    prompt: str
    kind: str
    """``single``, ``multi`` or ``none``, a slash, ``direct``, ``loose`` or ``other``."""
    family: str
    records: dict[str, Any]
    after: dict[str, Any]
    """The records when it is done."""
    calls: tuple[ReferenceCall, ...] = ()
    answer: str | None = None


class _Part(Struct, frozen=True, kw_only=True):
    """What one tool is to do."""

    text: str
    tool: Tool
    code: str
    record: dict[str, Any]
    arguments: dict[str, Any]
    answer: str | None


def request(seed: int, number: int) -> Request:
    """Draw a request about the tools that every catalogue of ``seed`` has."""
    rng = drawn("tools-at-scale", "request", seed, number)
    kind = PLAN[number % len(PLAN)]
    many, _, words = kind.partition("/")
    core = catalogue(seed, CORE)
    if many == "none":
        return _none(rng, kind, core)
    tools = [tool for tool in core if not tool.successor]
    count = rng.randint(2, 4) if many == "multi" else 1
    chosen = _distinct(rng, tools, count)
    parts = [_part(rng, tool, words, place) for place, tool in enumerate(chosen)]
    return _joined(rng, kind, parts, core)


def _distinct(rng: random.Random, tools: Sequence[Tool], count: int) -> list[Tool]:
    """Choose tools of different objects; at most the last one is asked for a value."""
    rest = rng.sample(list(tools), len(tools))
    first = rest[0]
    chosen = [first]
    for tool in rest[1:]:
        new = all(tool.thing != other.thing for other in chosen)
        if len(chosen) < count and new and tool.verb.act not in ACTS_THAT_ANSWER:
            chosen.append(tool)
    return [*chosen[1:], first]


def _part(rng: random.Random, tool: Tool, words: str, place: int) -> _Part:
    rules = kinds()[tool.thing.kind]
    code = f"{'PQRS'[place]}{rng.randint(100, 999)}"
    record = {key: _value(rng, fill, tool.thing) for key, fill in rules.start.items()}
    arguments = {name: _fresh(rng, name, record) for name in tool.verb.takes}
    if tool.verb.act == "find":
        (key,) = tool.verb.takes
        arguments[key] = record[key]
    field = rng.choice(list(record))
    text = _worded(rng, tool, words).format(
        code=code,
        field=field,
        unit=spoken(tool.unit),
        **arguments,
    )
    answer = {"read": str(record[field]), "find": code}.get(tool.verb.act)
    if "code" in tool.arguments:
        arguments = {"code": code} | arguments
    return _Part(text=text, tool=tool, code=code, record=record, arguments=arguments, answer=answer)


def _worded(rng: random.Random, tool: Tool, words: str) -> str:
    """Return a template in these words; its values are still to be filled in."""
    same_verb = words == "direct" or (words == "loose" and rng.random() < 0.5)
    same_object = words == "direct" or (words == "loose" and not same_verb)
    template = rng.choice(tool.verb.direct if same_verb else tool.verb.other)
    called = tool.thing.name if same_object else tool.thing.alias
    article = tool.thing.article if same_object else "a"
    template = template.replace("{object}", called).replace("{alias}", called)
    return template.replace("{a}", article)


def _value(rng: random.Random, fill: str, thing: Thing) -> Any:
    if fill == "unit":
        return thing.units[0]
    return _VALUES[fill](rng) if fill in _VALUES else fill


def _fresh(rng: random.Random, name: str, record: dict[str, Any]) -> Any:
    """Draw a value that the record does not have yet."""
    draw = _VALUES[_FILL.get(name, name)]
    while (value := draw(rng)) == record.get(name):
        pass
    return value


def _joined(rng: random.Random, kind: str, parts: Sequence[_Part], core: Sequence[Tool]) -> Request:
    records = _records(rng, parts, core)
    state = {"records": deepcopy(records)}
    calls = tuple(ReferenceCall(name=part.tool.name, arguments=part.arguments) for part in parts)
    for part in parts:
        carry_out(state, part.tool, part.arguments)
    asked = parts[-1].tool
    return Request(
        prompt=_said(rng, [part.text for part in parts]),
        kind=kind,
        family=f"{kind}/{asked.thing.name}/{asked.verb.name}",
        records=records,
        after=state["records"],
        calls=calls,
        answer=parts[-1].answer,
    )


def _records(rng: random.Random, parts: Sequence[_Part], core: Sequence[Tool]) -> dict[str, Any]:
    """Return the records that the parts are about, among others that no part means."""
    records = {
        part.tool.thing.name: {part.code: part.record} if part.tool.verb.act != "add" else {}
        for part in parts
    }
    for tool in rng.sample(list(core), 4):
        start = kinds()[tool.thing.kind].start
        other = {key: _value(rng, fill, tool.thing) for key, fill in start.items()}
        if tool.thing.name not in records:
            records[tool.thing.name] = {f"T{rng.randint(100, 999)}": other}
    return records


def _said(rng: random.Random, texts: Sequence[str]) -> str:
    said = texts[0]
    for text in texts[1:]:
        link = rng.choice(LINKS)
        said = f"{said.rstrip('.?')}{link}{text}"
    said = said[0].upper() + said[1:]
    return said if said.endswith(("?", ".")) else f"{said}."


def _none(rng: random.Random, kind: str, core: Sequence[Tool]) -> Request:
    """Ask for something about an object that no tool handles, of a service that is there."""
    near = sorted({tool.thing.service for tool in core})
    missing = [thing for name in near for thing in services()[name].things if not thing.served]
    tool = rng.choice([tool for tool in tools_of(rng.choice(missing)) if not tool.successor])
    part = _part(rng, tool, kind.partition("/")[2], 0)
    records = _records(rng, [], core)
    return Request(
        prompt=_said(rng, [part.text]),
        kind=kind,
        family=f"{kind}/{tool.thing.name}/{tool.verb.name}",
        records=records,
        after=records,
    )


def gold(made: Request) -> tuple[str, ...]:
    """Return the names of the tools that the request needs, without repetition."""
    names = dict.fromkeys(call.name for call in made.calls)
    assert all(name in universe() for name in names)
    return tuple(names)
