"""Choosing from a frontier: the best at a budget, the cheapest that reaches, and mixtures.

``quality`` is better when larger, ``spend`` when smaller; both (B, Y) over the same resamples, or
(1, Y) for what was measured. Nobody is chosen where nobody qualifies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.sums import Floats

Bools = NDArray[np.bool_]


def best_within(quality: Floats, spend: Floats, budget: float | Floats) -> Bools:
    """Return (B, Y): the best of those whose spend is within the budget; the cheaper of equals.

    ``budget`` is one number, or (B, 1) of each resample's own.
    """
    with np.errstate(invalid="ignore"):
        allowed = (spend <= budget) & ~np.isnan(quality)
    best = np.where(allowed, quality, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    tied = allowed & (quality == best)
    least = np.where(tied, spend, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    chosen: Bools = tied & (spend == least)
    return chosen


def cheapest_reaching(quality: Floats, spend: Floats, wanted: float) -> Bools:
    """Return (B, Y): the cheapest of those whose quality reaches ``wanted``; the better of equals.

    An unknown or infinite spend is no choice.
    """
    with np.errstate(invalid="ignore"):
        allowed = (quality >= wanted) & np.isfinite(spend)
    least = np.where(allowed, spend, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    tied = allowed & (spend == least)
    best = np.where(tied, quality, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    chosen: Bools = tied & (quality == best)
    return chosen


def reached(quality: Floats, chosen: Bools) -> Floats:
    """Return (B,) quality of whoever was chosen; 0 where nobody was: no answer is never right."""
    got = np.where(chosen, quality, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(chosen.any(axis=1), got, 0.0)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Attempts sent at random to one of two systems."""

    cheaper: int
    dearer: int
    share: float
    """Of attempts that go to the dearer one; spend on average is the budget."""
    quality: float


def mixture(quality: Floats, spend: Floats, budget: float) -> Mixture | None:
    """Return the two of (Y,) systems that reach most together at a budget, on average.

    With a share w to the dearer one, spend is (1 - w) s1 + w s2 and quality (1 - w) q1 + w q2: the
    chord between them, so the best mixtures are the upper convex hull. None where a single system
    within the budget does as well.
    """
    finite = np.flatnonzero(np.isfinite(quality) & np.isfinite(spend))
    known = [int(place) for place in finite]
    within = [place for place in known if spend[place] <= budget]
    beyond = [place for place in known if spend[place] > budget]
    if not within or not beyond:
        return None
    made = [_mixed(quality, spend, budget, (one, two)) for one in within for two in beyond]
    best = max(made, key=lambda mix: mix.quality)
    return best if best.quality > max(quality[place] for place in within) else None


def _mixed(quality: Floats, spend: Floats, budget: float, pair: tuple[int, int]) -> Mixture:
    one, two = pair
    share = float((budget - spend[one]) / (spend[two] - spend[one]))
    told = float((1 - share) * quality[one] + share * quality[two])
    return Mixture(cheaper=one, dearer=two, share=share, quality=told)
