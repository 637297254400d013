"""What the worlds share: operations on a state, and cases drawn from a seed. Pure, no servers.

An operation is a plain function ``(state, **arguments) -> text`` that changes the state in place
or raises Refused; the same functions serve as MCP tools and work out a case's end state.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from msgspec import Struct

from qbench.benchmarks.suite import ReferenceCall

State = dict[str, Any]
Operation = Callable[..., str]


class Refused(Exception):
    """A tool's answer that the call cannot be done, with what could be done instead."""


class Case(Struct, frozen=True, kw_only=True):
    """A request with its world and a shortest known solution."""

    request: str
    state: State
    calls: tuple[ReferenceCall, ...] = ()
    answer: str | None = None


class Kind(Struct, frozen=True, kw_only=True):
    """A kind of case: a family of samples."""

    name: str
    make: Callable[[random.Random], Case]
    tools: tuple[str, ...] = ()
    """Offered; empty: all of the world's."""


class Shown(Struct, frozen=True, kw_only=True):
    """A worked example: one request and the call that answers it."""

    request: str
    call: ReferenceCall
    result: str


class Office(Struct, frozen=True, kw_only=True):
    """A world: its operations, and its cases by level."""

    name: str
    operations: dict[str, Operation]
    shown: tuple[Shown, ...]
    """One worked example for each tool of level 1."""
    tool_sets: tuple[tuple[str, ...], ...]
    """What level 1 offers together: two to four tools."""
    levels: dict[int, tuple[Kind, ...]]
    no_call: tuple[Kind, ...]
    """Cases where the right move is to call nothing."""


def call(name: str, **arguments: Any) -> ReferenceCall:
    """Write a call of the reference solution."""
    return ReferenceCall(name=name, arguments=arguments)


def play(
    operations: Mapping[str, Operation], state: State, calls: Sequence[ReferenceCall]
) -> tuple[State, list[str]]:
    """Return the state after ``calls``, and each call's text; ``state`` is left alone.

    Raises:
        Refused: a call cannot be done.

    """
    after = deepcopy(state)
    said = [operations[made.name](after, **made.arguments) for made in calls]
    return after, said


def drawn(*what: object) -> random.Random:
    """Return a generator fixed by ``what``: the same on any machine and in any order."""
    digest = hashlib.blake2b(repr(what).encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest))  # noqa: S311 - reproducible, not secret


def listed(names: Sequence[str]) -> str:
    """Write ``A, B and C``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
