"""One number from several axes, with weights of the user's choosing: qbench's own score.

It is like PeRFICS of "Democratizing LLMs" (arXiv 2310.07611) in that a user weighs performance
against cost, and is not that paper's formula. Each axis is the base-2 logarithm of the ratio to
the baseline, signed so that more is better: +1 is twice as accurate, or half as dear, slow or
large. The score is the weighted mean of the axes. The baseline scores 0 on every axis, whatever
the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.sums import Floats

DRAWS = 10_000
HIGHER = frozenset({"accuracy"})
"""Axes of which more is better; of all others less is."""


def axis(values: Floats, baseline: Floats, *, higher: bool) -> Floats:
    """Return log2 of the ratio to the baseline, more is better.

    Args:
        values: (..., Y) of the systems; 0 gives an infinite value, NaN stays NaN.
        baseline: (..., 1) of the baseline. Where it is 0 nothing can be said: NaN.
        higher: whether more of the quantity is better.

    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.log2(values / np.where(baseline == 0, np.nan, baseline))
    made: Floats = ratio if higher else -ratio
    return made


def composite(axes: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Return the weighted mean of (..., Y) axes; an axis without weight is not looked at."""
    chosen = {name: weight for name, weight in weights.items() if weight}
    whole = sum(chosen.values())
    with np.errstate(invalid="ignore"):
        parts = [axes[name] * (weight / whole) for name, weight in chosen.items()]
        made: Floats = np.sum(parts, axis=0)
    return made


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """How surely each of Y systems stands where."""

    first: Floats
    """(Y,) share of the draws in which no other scores more; equals share the place."""
    mean: Floats
    """(Y,) mean rank; 1 is best, equals have the better one."""


def ranks(scores: Floats) -> Ranks:
    """Rank (B, Y) drawn scores; a draw with an unknown score counts for nobody."""
    known = scores[~np.isnan(scores).any(axis=1)]
    if not len(known):
        unknown = np.full(scores.shape[1], np.nan)
        return Ranks(first=unknown, mean=unknown)
    better = np.zeros_like(known)
    for other in range(known.shape[1]):
        better += known[:, [other]] > known
    return Ranks(first=_shared(better == 0), mean=1 + better.mean(axis=0))


def _shared(best: Floats) -> Floats:
    """Return (Y,) the share of each of (B, Y) places, split among equals."""
    held = best / best.sum(axis=1, keepdims=True)
    share: Floats = held.mean(axis=0)
    return share


def simplex(axes: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Return (draws, axes) weights that add up to 1, all mixtures equally likely."""
    return np.random.default_rng(seed).dirichlet(np.ones(axes), size=draws)


def winning_shares(axes: Sequence[Floats], *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Return (Y,) the share of all weightings under which each system scores most.

    How far a choice depends on the weights. Equal systems share; a system with an unknown axis
    never wins.

    Args:
        axes: A axes of (Y,) values.
        draws: weightings drawn uniformly from the simplex.
        seed: of the draws.

    """
    values: Floats = np.stack(axes)
    unknown: NDArray[np.bool_] = np.asarray(np.isnan(values).any(axis=0))
    scores = np.where(
        unknown, -np.inf, simplex(len(values), draws=draws, seed=seed) @ np.nan_to_num(values)
    )
    if unknown.all():
        return np.full(len(unknown), np.nan)
    best = scores == scores.max(axis=1, keepdims=True)
    return _shared(best)
