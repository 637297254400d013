"""A problem with a ladder of reference solutions, from the slowest to the fastest."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from qbench.benchmarks.suites.code.problem import Constants, Family


class Climb(Struct, frozen=True, kw_only=True):
    """A family, solutions slower than its own, and inputs large enough to tell them apart."""

    family: Family
    slower: tuple[str, ...]
    """Slowest first; all right."""
    large: Callable[[random.Random, Constants], Sequence[Any]]


def plain(
    key: str,
    texts: tuple[str, str],
    slip: tuple[str, str],
    names: Sequence[Sequence[str]],
    **more: Any,
) -> Family:
    """Make a family in Python alone, from its statement and reference."""
    statement, python = texts
    functions, p, q = names
    return Family(
        key=key,
        names=tuple(functions),
        p=tuple(p),
        q=tuple(q),
        statement=statement,
        python=python,
        javascript="",
        python_slip=slip,
        javascript_slip=("", ""),
        **more,
    )
