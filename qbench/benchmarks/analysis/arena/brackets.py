"""Who meets whom: a random single-elimination bracket per prompt, the anchor, or everybody.

A bracket is a balanced binary tree over a shuffled order: halves differ by one entrant at most,
so that nobody is spared more than one round, and the shuffle makes that luck the same for all.
Varco Arena (arXiv 2411.01281): M entrants meet in M - 1 matches a prompt, whatever M is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from msgspec import Struct

from qbench.benchmarks.worlds.cases import drawn

Design = Literal["single-elimination", "anchored", "round-robin"]
"""``anchored``: everybody meets one system, as in Arena-Hard; ``round-robin``: everybody meets
everybody."""


class Pairing(Struct, frozen=True, kw_only=True):
    """Two entrants that are to meet."""

    slot: str
    """Place in the design, unique within a prompt: ``f`` is the final, ``f0`` leads to it."""
    one: str
    two: str


def shuffled(entrants: Sequence[str], *what: object) -> tuple[str, ...]:
    """Return the entrants in an order fixed by ``what``, whatever order they came in."""
    order = sorted(entrants)
    drawn("bracket", *what).shuffle(order)
    return tuple(order)


def due(order: Sequence[str], won: Mapping[str, str]) -> tuple[Pairing, ...]:
    """Return the matches of a bracket that can be played now.

    Args:
        order: the leaves of the tree, from left to right.
        won: slot to who went on, of the matches that were played.

    """
    found: list[Pairing] = []

    def winner(low: int, high: int, slot: str) -> str | None:
        if high - low == 1:
            return order[low]
        middle = (low + high + 1) // 2
        one, two = winner(low, middle, f"{slot}0"), winner(middle, high, f"{slot}1")
        if one is None or two is None:
            return None
        if slot not in won:
            found.append(Pairing(slot=slot, one=one, two=two))
        return won.get(slot)

    if len(order) > 1:
        winner(0, len(order), "f")
    return tuple(found)


def every(entrants: Sequence[str], anchor: str = "") -> tuple[Pairing, ...]:
    """Return all matches of a round robin, or those of one ``anchor`` against all others."""
    order = sorted(entrants)
    pairs = combinations(order, 2)
    if anchor:
        pairs = ((anchor, other) for other in order if other != anchor)  # type: ignore[assignment]
    return tuple(Pairing(slot=f"{one}-{two}", one=one, two=two) for one, two in pairs)


def matches(entrants: int, prompts: int, design: Design, *, outside: bool = False) -> int:
    """Count the matches of a design.

    ``outside``: the anchor is no entrant, but an answer written beforehand, as in Arena-Hard. Ten
    entrants and 500 prompts: 4,500 by elimination, 5,000 against such answers, 22,500 all in all.
    """
    if entrants < 1:
        return 0
    if design == "round-robin":
        return entrants * (entrants - 1) // 2 * prompts
    return (entrants if outside and design == "anchored" else entrants - 1) * prompts
