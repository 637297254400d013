"""Signal and noise of a benchmark (Heineman et al., arXiv 2508.13144).

There, the systems are models of about one size and the noise is that of the last checkpoints of
one. Here the systems are those of a run, and the noise is that of the same measured again: runs,
epochs, A/A copies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special

from qbench.benchmarks.analysis.noise.flips import std_interval
from qbench.benchmarks.analysis.resampling import (
    RESAMPLES,
    expanded,
    percentile_interval,
    weights,
)
from qbench.benchmarks.analysis.sums import Floats

ROUNDING = 1e-12
"""Relative differences up to this are rounding."""


def signal(means: Sequence[float] | Floats) -> float:
    """Return max |m_j - m_k| / mean(m) over systems; NaN where all are 0."""
    values = np.asarray(means, dtype=np.float64)
    mean = float(values.mean())
    return float(np.ptp(values)) / mean if mean else math.nan


def noise(repeats: Sequence[float] | Floats) -> float:
    """Return std(ddof 0) / mean of the same measured again; NaN where all are 0."""
    values = np.asarray(repeats, dtype=np.float64)
    mean = float(values.mean())
    return float(values.std()) / mean if mean else math.nan


def decision_accuracy(one: Sequence[float] | Floats, two: Sequence[float] | Floats) -> float:
    """Return the share of pairs of systems that both orderings order alike.

    A pair that one of them ties counts half: a convention. NaN with fewer than 2 systems.
    """
    first, second = _order(one), _order(two)
    return float(np.mean((1 + first * second) / 2)) if len(first) else math.nan


def _order(scores: Sequence[float] | Floats) -> Floats:
    """Return the sign of every pair's difference; what differs by rounding is a tie."""
    values = np.asarray(scores, dtype=np.float64)
    one, two = np.triu_indices(len(values), 1)
    gaps = values[one] - values[two]
    least = ROUNDING * float(np.abs(values).max(initial=0.0))
    return np.where(np.abs(gaps) <= least, 0.0, np.sign(gaps))


def chance(systems: int, repeats: float) -> float:
    """Return the signal-to-noise ratio to expect where no two systems differ.

    The range of Y equal means of T repeats is d2(Y) x sigma / sqrt(T), with d2 the expected range
    of Y standard normal draws, and their noise sigma x sqrt((T - 1) / T).
    """
    if systems < 2 or repeats <= 1:
        return math.nan
    return _range(systems) / math.sqrt(repeats - 1)


def _range(number: int) -> float:
    """Return d2, the integral of 1 - Phi^n - (1 - Phi)^n."""

    def missing(x: float) -> float:
        low = float(special.ndtr(x))
        return float(1 - low**number - (1 - low) ** number)

    return float(integrate.quad(missing, -8, 8)[0])


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A part of a suite: how far systems are apart on it, and how far they are from themselves."""

    signal: float
    noise: float
    snr: float
    """Infinite where nothing ever changes; NaN where there is neither."""
    interval: tuple[float, float]
    """Of the ratio, 95 %."""
    agreement: float
    """Decision accuracy of one repeat against the mean of the others; NaN without."""
    chance: float
    """The ratio to expect where no two systems differ."""


def ratio(
    values: Floats, family: NDArray[np.int32], *, resamples: int = RESAMPLES, seed: int = 0
) -> Ratio:
    """Return the signal-to-noise ratio of a set of samples.

    With several systems the noise is pooled: the root of their mean variance over the mean of
    their means; with one it is the paper's.

    The interval joins two sources that know nothing of each other: the signal over the bootstrap
    of families, and the noise's variance over chi-square with as many degrees of freedom as there
    are repeats beyond the first (resampling samples would count their noise twice). Where systems
    hardly differ its lower end is too high, for a largest difference is never 0: see ``chance``.

    Args:
        values: (Y, T, S) results by system, repeat and sample; a system measured fewer times has
            NaN in its last repeats, for all samples alike.
        family: (S,).
        resamples: of families.
        seed: of the resamples.

    """
    rates = values.mean(axis=2)
    tries = (~np.isnan(rates)).sum(axis=1)
    means = _means(values)
    whole = means.mean(axis=1)
    heard = signal(whole)
    hiss, freedom = _pooled(rates, tries, whole)
    drawn = _signals(means, family, resamples, seed)
    families = len(np.unique(family))
    least = _hidden(families) / max(float(whole.mean()), ROUNDING)
    return Ratio(
        signal=heard,
        noise=hiss,
        snr=_over(heard, hiss),
        interval=_interval(drawn, (hiss, least), freedom, families, seed),
        agreement=_agreement(rates[:, : int(tries.min())]),
        chance=chance(len(values), float(tries[tries > 1].mean()) if freedom else 1.0),
    )


def _means(values: Floats) -> Floats:
    """(Y, S) means over the repeats that a system has."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1))


def _pooled(rates: Floats, tries: NDArray[np.int64], means: Floats) -> tuple[float, int]:
    """Return the relative noise of (Y, T) pass rates, and its degrees of freedom."""
    again = tries > 1
    if not again.any() or not means[again].mean():
        return math.nan, 0
    spread = np.nanvar(rates[again], axis=1).mean()
    return math.sqrt(spread) / float(means[again].mean()), int((tries[again] - 1).sum())


def _over(heard: float, hiss: float) -> float:
    if math.isnan(hiss) or math.isnan(heard):
        return math.nan
    if hiss <= ROUNDING:
        return math.inf if heard > ROUNDING else math.nan
    return heard / hiss


def _signals(means: Floats, family: NDArray[np.int32], resamples: int, seed: int) -> Floats:
    """Return (B,) signals over the bootstrap of families."""
    _, group = np.unique(family, return_inverse=True)
    totals = np.stack([np.bincount(group, row) for row in means], axis=1).astype(np.float64)
    counts = np.bincount(group).astype(np.float64)
    drawn = []
    for block in weights(len(counts), resamples=resamples, seed=seed):
        rates = (block @ totals) / (block @ counts)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn.append(np.ptp(rates, axis=1) / rates.mean(axis=1))
    return np.concatenate(drawn)


def _hidden(clusters: int) -> float:
    """Return the deviation that repeats which all agree can hide."""
    return std_interval(0.0, 2, clusters)[1]


def _interval(
    drawn: Floats, noises: tuple[float, float], freedom: int, families: int, seed: int
) -> tuple[float, float]:
    (hiss, least), level = noises, expanded(families)
    if math.isnan(hiss):
        return math.nan, math.nan
    if hiss <= ROUNDING:
        return percentile_interval(drawn / least, level)[0], math.inf
    rng = np.random.default_rng(seed)
    spread = np.sqrt(rng.chisquare(freedom, len(drawn)) / freedom)
    return percentile_interval(drawn / hiss * spread, level)


def _agreement(rates: Floats) -> float:
    """Order (Y, T) pass rates by one repeat and by the mean of its others, in turn."""
    systems, repeats = rates.shape
    if systems < 2 or repeats < 2:
        return math.nan
    total = rates.sum(axis=1)
    alike = [decision_accuracy(rates[:, at], total - rates[:, at]) for at in range(repeats)]
    return float(np.mean(alike))
