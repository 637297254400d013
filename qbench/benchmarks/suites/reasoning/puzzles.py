"""Puzzles of our own: a question, one right answer, and the facts by which any is verified."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

Facts = dict[str, Any]
_LIST = re.compile(r"[\[(]?\s*(-?\d+(?:\s*[,\s]\s*-?\d+)*)?\s*[\])]?")
LONGEST = 2000


class Puzzle(Struct, frozen=True, kw_only=True):
    """One instance."""

    question: str
    answer: str
    """A right answer; others may be right, too."""
    facts: Facts
    """JSON values that the check reads."""


class Kind(Struct, frozen=True, kw_only=True):
    """A kind of puzzle: a family of samples."""

    name: str
    make: Callable[[random.Random, int], Puzzle]
    """Draw an instance of a level, 1 to 5."""
    fault: Callable[[Facts, str], str]
    """Say in a sentence what is wrong with an answer; empty when it is right."""


def integers(text: str) -> list[int] | None:
    """Read a list of integers such as ``[3, 1, 4]`` or ``3 1 4``; None for anything else."""
    found = _LIST.fullmatch(text.strip()) if len(text) <= LONGEST else None
    return None if found is None else [int(part) for part in re.findall(r"-?\d+", found[1] or "")]


def listed(values: list[int]) -> str:
    """Write integers as the puzzles ask for them."""
    return ", ".join(map(str, values))
