"""Groups of systems whose part in the frontier is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from qbench.errors import NotFound
from qbench.service.domain import Strategy, System


class Group(Struct, frozen=True, kw_only=True):
    """Some of the compared systems."""

    kind: str
    name: str
    ids: frozenset[str]
    labels: tuple[str, ...]


def groups(systems: Sequence[System], patterns: dict[str, str]) -> tuple[Group, ...]:
    """Return the groups by model, format and model family, and those given by pattern.

    A kind with one group, or with a group for each system, says nothing new and is left out.

    Args:
        systems: the compared ones.
        patterns: name to a shell pattern of ``MODEL@FORMAT``, in any case.

    Raises:
        NotFound: a pattern fits no system.

    """
    found = [group for kind, name_of in KINDS.items() for group in _kind(systems, kind, name_of)]
    return (*found, *(_given(systems, name, pattern) for name, pattern in patterns.items()))


def model_family(system: System) -> str:
    """Return the letters that the model's name begins with: ``llama`` of ``Llama-3.1-8B``."""
    name = system.model.rsplit("/", 1)[-1].lower().removeprefix("meta-")
    found = re.match(r"[a-z]+", name)
    return found.group() if found else name


KINDS: dict[str, Callable[[System], str]] = {
    "model": lambda system: system.model,
    "format": lambda system: system.format,
    "model family": model_family,
}


def _kind(
    systems: Sequence[System], kind: str, name_of: Callable[[System], str]
) -> Iterator[Group]:
    by_name: dict[str, list[System]] = {}
    for system in systems:
        by_name.setdefault(name_of(system), []).append(system)
    if 1 < len(by_name) < len(systems):
        for name, members in by_name.items():
            yield _group(kind, name, members)


def _given(systems: Sequence[System], name: str, pattern: str) -> Group:
    members = [s for s in systems if fnmatchcase(s.ref.lower(), pattern.lower())]
    if not members:
        raise NotFound.among("compared system", pattern, [system.ref for system in systems])
    return _group("given", name, members)


def _group(kind: str, name: str, members: Sequence[System]) -> Group:
    return Group(
        kind=kind,
        name=name,
        ids=frozenset(system.id for system in members),
        labels=tuple(system.label for system in members),
    )


def techniques(systems: Sequence[System], plain: Strategy) -> tuple[Group, ...]:
    """Return the systems of each strategy other than the plain one; none where all are plain."""
    others: dict[str, list[System]] = {}
    for system in systems:
        if system.strategy != plain:
            others.setdefault(_strategy(system.strategy, plain), []).append(system)
    return tuple(_group("strategy", name, members) for name, members in others.items())


def _strategy(one: Strategy, plain: Strategy) -> str:
    """Name what a strategy does that the plain one does not."""
    told = [one.short] if one.spelled != plain.spelled else []
    told += [
        f"{name} {value}".lower()
        for name in ("tool_protocol", "examples")
        if (value := getattr(one, name)) != getattr(plain, name)
    ]
    return ", ".join(told)
