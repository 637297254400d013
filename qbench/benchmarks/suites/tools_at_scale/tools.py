"""The tools: every verb of every object, in each unit, and versions that were shut down."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.chat import ToolSpec
from qbench.benchmarks.suites.tools_at_scale.kinds import (
    Service,
    Thing,
    Verb,
    kinds,
    services,
)

RETIRED_SHARE = 0.06
"""Of the tools: those that have an older version, still listed, beside them."""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "title": {"type": "string", "description": "Title, as it is to appear."},
    "subject": {"type": "string", "description": "What it is about, in a few words."},
    "owner": {"type": "string", "description": "First name of the owner."},
    "assignee": {"type": "string", "description": "First name of who works on it."},
    "guest": {"type": "string", "description": "First name of the guest."},
    "reader": {"type": "string", "description": "First name of who may read it."},
    "watcher": {"type": "string", "description": "First name of who is told."},
    "recipient": {"type": "string", "description": "First name of who is told."},
    "signer": {"type": "string", "description": "First name of who signs."},
    "holder": {"type": "string", "description": "First name of who gets it."},
    "name": {"type": "string", "description": "First name."},
    "email": {"type": "string", "description": "Email address."},
    "phone": {"type": "string", "description": "Phone number, digits and dashes."},
    "group": {"type": "string", "description": "Name of the group."},
    "room": {"type": "string", "description": "Name of the room."},
    "occasion": {"type": "string", "description": "What the occasion is called."},
    "text": {"type": "string", "description": "The text, word for word."},
    "tag": {"type": "string", "description": "The tag."},
    "language": {
        "type": "string",
        "enum": ["English", "French", "German", "Polish", "Spanish", "Turkish"],
        "description": "Name of the language.",
    },
    "file_format": {"type": "string", "enum": ["csv", "docx", "html", "pdf"]},
    "priority": {"type": "string", "enum": ["low", "normal", "high", "urgent"]},
    "version": {"type": "string", "description": "Version, like 4.2."},
    "time": {"type": "string", "description": "Time of day, HH:MM."},
    "date": {"type": "string", "description": "Date, YYYY-MM-DD."},
    "day": {"type": "string", "description": "Date, YYYY-MM-DD."},
    "until": {"type": "string", "description": "Date, YYYY-MM-DD."},
    "copies": {"type": "integer", "minimum": 1, "description": "Number of copies."},
    "hours": {"type": "integer", "minimum": 1, "description": "Hours of work."},
    "minutes": {"type": "integer", "minimum": 1, "description": "Minutes to add."},
    "amount": {"type": "integer", "minimum": 1, "description": "Euros."},
    "stars": {"type": "integer", "minimum": 1, "maximum": 5, "description": "One to five."},
    "seats": {"type": "integer", "minimum": 1, "description": "Number of seats."},
    "level": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Percent."},
    "value": {"type": "integer", "description": "The value, in the tool's unit."},
    "limit": {"type": "integer", "description": "The limit, in the tool's unit."},
}
"""JSON Schemas of the arguments by name."""

CODE = {"type": "string", "description": "Code of the record, like Q417."}


class Tool(Struct, frozen=True, kw_only=True):
    """A tool of the catalogue."""

    name: str
    description: str
    thing: Thing
    verb: Verb
    unit: str = ""
    successor: str = ""
    """Of a version that was shut down: the tool to use in its place."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of the required arguments."""
        coded = self.verb.act not in ("add", "find")
        return (*(("code",) if coded else ()), *self.verb.takes)

    @property
    def spec(self) -> ToolSpec:
        """The tool as it is offered to a model."""
        return ToolSpec(
            name=self.name,
            description=self.description,
            parameters={
                "type": "object",
                "properties": {name: ARGUMENTS.get(name, CODE) for name in self.arguments},
                "required": list(self.arguments),
                "additionalProperties": False,
            },
        )


@cache
def universe() -> dict[str, Tool]:
    """Return all tools by name; a catalogue is a part of them."""
    every = (tool for service in services().values() for tool in _of_service(service))
    return {tool.name: tool for tool in every}


def tools_of(thing: Thing) -> tuple[Tool, ...]:
    """Return the tools of an object, in the order of its verbs."""
    service = services()[thing.service]
    return tuple(_of_thing(service, thing))


def _of_service(service: Service) -> Iterator[Tool]:
    for thing in service.things:
        if thing.served:
            yield from _of_thing(service, thing)


def _of_thing(service: Service, thing: Thing) -> Iterator[Tool]:
    for verb in kinds()[thing.kind].verbs.values():
        for unit in thing.units if verb.unit else ("",):
            tool = _tool(service, thing, verb, unit)
            yield tool
            if share(tool.name, "retired") < RETIRED_SHARE:
                yield _retired(tool)


def _tool(service: Service, thing: Thing, verb: Verb, unit: str) -> Tool:
    does = verb.does.format(object=thing.name, a=thing.article, unit=spoken(unit))
    name = _named(service, thing, verb.name.split("-"), unit)
    return Tool(
        name=name, description=_told(name, does, service), thing=thing, verb=verb, unit=unit
    )


def _told(name: str, does: str, service: Service) -> str:
    """Describe a tool: some tersely, some with their service, some with advice, as in the wild."""
    luck = share(name, "told")
    if luck < 0.4:
        return does
    if luck < 0.75:
        return f"{does} Part of the {service.name} service: {service.about.lower()}."
    return f"{does} Fails when there is no such record; dates are ISO 8601, names are first names."


def _retired(tool: Tool) -> Tool:
    mark = "V1" if services()[tool.thing.service].style == "camel" else "_v1"
    mark = "-v1" if "-" in tool.name else mark
    return replace(
        tool,
        name=f"{tool.name}{mark}",
        description=f"Deprecated: use {tool.name}. {tool.description}",
        successor=tool.name,
    )


def _named(service: Service, thing: Thing, verb: list[str], unit: str) -> str:
    thing_words = thing.name.replace("-", " ").split()
    units = unit.split("_") if unit else []
    match service.style:
        case "camel":
            first, *rest = [*verb, *thing_words, *units]
            return first + "".join(word.capitalize() for word in rest)
        case "kebab":
            return "-".join([*verb, *thing_words, *units])
        case "prefix":
            return "_".join([service.name, *verb, *thing_words, *units])
        case "object":
            return "_".join([*thing_words, *verb, *units])
        case _:
            return "_".join([*verb, *thing_words, *units])


def spoken(unit: str) -> str:
    """Write a unit as it is said."""
    return unit.replace("_", " ")


def share(*what: str) -> float:
    """Return a number in [0, 1) fixed by ``what``, the same on any machine."""
    digest = hashlib.blake2b(repr(what).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
