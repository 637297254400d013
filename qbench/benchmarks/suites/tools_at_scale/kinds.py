"""What services keep and what can be done to it: read once from the tables beside this file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct

Style = Literal["snake", "camel", "kebab", "prefix", "object"]
"""How a service names its tools."""

Act = Literal["add", "read", "find", "remove", "set", "append", "mark"]
"""How a call changes the records; ``world`` carries them out."""

ACTS_THAT_ANSWER: tuple[Act, ...] = ("read", "find")


class Verb(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be done to an object."""

    name: str = ""
    does: str
    """The tool's description; ``{object}`` and ``{a}`` stand for the thing."""
    also: tuple[str, ...]
    """Other words for it, which enriched documents know."""
    act: Act
    takes: tuple[str, ...] = ()
    """Arguments beside the record's code; the last one is what ``set`` and ``append`` write."""
    sets: dict[str, str] = {}
    """What ``mark`` writes."""
    unit: bool = False
    """There is one such tool for each unit."""
    direct: tuple[str, ...]
    """Requests in the tool's own words."""
    other: tuple[str, ...]
    """Paraphrased requests."""


class Kind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of object: its fields, by what fills them, and its verbs."""

    start: dict[str, str]
    verbs: dict[str, Verb]


class Thing(Struct, frozen=True, kw_only=True):
    """An object that a service keeps records of."""

    name: str
    service: str
    kind: str
    alias: str
    """Other words for it: only paraphrased requests use them."""
    units: tuple[str, ...] = ()
    served: bool = True
    """False: no tool handles it."""

    @property
    def article(self) -> str:
        """``a`` or ``an``."""
        return "an" if self.name[0] in "aeio" else "a"


class Service(Struct, frozen=True, kw_only=True):
    """A service with tools."""

    name: str
    about: str
    topics: str
    style: Style
    things: tuple[Thing, ...]


@cache
def kinds() -> dict[str, Kind]:
    """Return the kinds of objects by name."""
    read = msgspec.convert(_read("verbs.yaml"), dict[str, Kind])
    return {
        name: msgspec.structs.replace(
            kind,
            verbs={
                key: msgspec.structs.replace(verb, name=key) for key, verb in kind.verbs.items()
            },
        )
        for name, kind in read.items()
    }


@cache
def services() -> dict[str, Service]:
    """Return the services by name."""
    return {name: _service(name, facts) for name, facts in _read("domains.yaml").items()}


def _service(name: str, facts: dict[str, Any]) -> Service:
    return Service(
        name=name,
        about=facts["about"],
        topics=facts["topics"],
        style=facts["style"],
        things=tuple(_thing(name, text) for text in facts["objects"]),
    )


def _thing(service: str, text: str) -> Thing:
    name, kind, alias = (part.strip() for part in text.split("|"))
    kind, _, units = kind.partition(":")
    return Thing(
        name=name.lstrip("! "),
        service=service,
        kind=kind,
        alias=alias,
        units=tuple(units.split("/")) if units else (),
        served=not name.startswith("!"),
    )


def _read(name: str) -> Any:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe
