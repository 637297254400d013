"""How far a judge can be trusted: position bias, consistency, accuracy, calibration.

ECE: Guo et al. (2017), equal-width bins weighted by their size. Brier (1950): mean squared
distance of the stated probability from what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from qbench.benchmarks.analysis.rates import wilson
from qbench.benchmarks.analysis.sums import Floats

Choice = Literal["first", "second", "tie", "unread"]
"""What a judge said of two answers in the order they were shown; ``unread``: no verdict could be
read from the reply."""

BINS = 10


class Share(Struct, frozen=True, kw_only=True):
    """A share of n with Wilson's 95 % interval."""

    value: float
    low: float
    high: float
    n: int


class Trust(Struct, frozen=True, kw_only=True):
    """What the two orders of the same pairs say about a judge."""

    pairs: int
    """Asked in both orders, both verdicts read."""
    consistent: Share | None
    """The same side, or a tie, in both orders."""
    primacy: int
    """Pairs in which the first shown was named both times."""
    recency: int
    """Pairs in which the second shown was named both times."""
    first: Share | None
    """Verdicts for the first shown, of those that name a side; 0.5 without a position bias where
    every pair is asked in both orders."""
    unread: int
    asked: int


def trust(orders: Sequence[Sequence[Choice]]) -> Trust:
    """Judge a judge by what it said of each pair: one choice, or two with the sides swapped."""
    said = [choice for pair in orders for choice in pair]
    both = [pair for pair in orders if len(pair) == 2 and "unread" not in pair]
    alike = sum(flipped(pair[1]) == pair[0] for pair in both)
    named = [choice for choice in said if choice in ("first", "second")]
    return Trust(
        pairs=len(both),
        consistent=share(alike, len(both)),
        primacy=sum(tuple(pair) == ("first", "first") for pair in both),
        recency=sum(tuple(pair) == ("second", "second") for pair in both),
        first=share(named.count("first"), len(named)),
        unread=said.count("unread"),
        asked=len(said),
    )


def flipped(choice: Choice) -> Choice:
    """Return the choice seen from the other order."""
    swapped: dict[Choice, Choice] = {"first": "second", "second": "first"}
    return swapped.get(choice, choice)


def share(count: int, n: int) -> Share | None:
    """Return a share; None of nothing."""
    if not n:
        return None
    low, high = wilson(count, n)
    return Share(value=count / n, low=min(low, count / n), high=max(high, count / n), n=n)


def points(pair: Sequence[Choice]) -> float | None:
    """Return what the side shown first in the first order earned: 1, 0.5 or 0.

    Orders that contradict each other are a tie; None where a verdict could not be read.
    """
    if not pair or "unread" in pair:
        return None
    told = {flipped(choice) if place else choice for place, choice in enumerate(pair)}
    if len(told) > 1:
        return 0.5
    return {"first": 1.0, "second": 0.0}.get(told.pop(), 0.5)


class Bin(Struct, frozen=True, kw_only=True):
    """Verdicts of about the same stated confidence."""

    n: int
    confidence: float
    right: float


class Calibration(Struct, frozen=True, kw_only=True):
    """Stated confidence against what was true."""

    n: int
    ece: float
    brier: float
    bins: tuple[Bin, ...]


def calibration(confidence: Sequence[float], right: Sequence[bool]) -> Calibration | None:
    """Compare the confidence of verdicts, 0 to 1, with whether they were right; None of none."""
    stated, true = np.asarray(confidence, float), np.asarray(right, float)
    if not len(stated):
        return None
    place = np.minimum((stated * BINS).astype(int), BINS - 1)
    bins = [_bin(stated[place == b], true[place == b]) for b in range(BINS) if (place == b).any()]
    return Calibration(
        n=len(stated),
        ece=sum(one.n * abs(one.confidence - one.right) for one in bins) / len(stated),
        brier=float(((stated - true) ** 2).mean()),
        bins=tuple(bins),
    )


def _bin(stated: Floats, true: Floats) -> Bin:
    return Bin(n=len(stated), confidence=float(stated.mean()), right=float(true.mean()))
