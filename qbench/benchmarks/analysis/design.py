"""How many samples a question needs: power of paired comparisons, before a run.

Miller, arXiv 2411.00640, section 5: n = (z_alpha/2 + z_beta)^2 (w^2 + s_A^2 / K_A + s_B^2 / K_B)
/ gap^2. ``Spread`` keeps w^2 and the two s^2 apart, because only the latter shrink with epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.clusters import Mean, clustered_mean
from qbench.benchmarks.analysis.sums import Floats

ALPHA = 0.05
POWER = 0.8
DISCORDANT = 0.3
"""Share of samples on which two systems are assumed to disagree before anything is measured."""
HALVINGS = 80
TINY = 1e-12
"""Differences that are none."""
GRID = 401
"""Differences at which an interval of needed samples is looked up."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Variance of one sample's paired difference."""

    between: float
    """Of what the samples' true differences are, families included: epochs do not shrink it."""
    within: float = 0.0
    """Of one attempt with each system: E[s_A^2] + E[s_B^2]; K epochs divide it by K."""
    effect: float = 1.0
    """Design effect: the variance with families over that without. Told, not applied again."""

    def variance(self, epochs: int) -> float:
        """Return the variance of one sample's difference over ``epochs`` attempts each."""
        return self.between + self.within / epochs


def assumed(discordant: float = DISCORDANT) -> Spread:
    """Return the spread where a share of the samples is discordant: its own share, at most."""
    return Spread(between=discordant)


def measured(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats], family: NDArray[np.int32]
) -> Spread | None:
    """Estimate a spread from (rates, attempts), each (S,), of two systems.

    The variance of an attempt is estimated from samples that both tried twice or more: with k of
    K passed, k/K (1 - k/K) K / (K - 1). With one attempt it cannot be told apart, and all is
    counted as between samples: more epochs are then not expected to help. None without spread.
    """
    mean = clustered_mean(first[0] - second[0], family)
    if mean.clusters < 2 or not mean.error > 0:
        return None
    whole = mean.error**2 * mean.n
    noise = [_within(*one) for one in (first, second)]
    known = ~np.isnan(noise[0][0] + noise[1][0])
    within, shrunk = 0.0, 0.0
    if known.any():
        within = float((noise[0][0] + noise[1][0])[known].mean())
        shrunk = float((noise[0][1] + noise[1][1])[known].mean())
    plain = float(np.nanvar(first[0] - second[0], ddof=1))
    return Spread(between=max(0.0, whole - shrunk), within=within, effect=whole / plain)


def _within(rates: Floats, attempts: Floats) -> tuple[Floats, Floats]:
    """Return (S,) variances of one attempt, and of the mean of a sample's; NaN if tried once."""
    tries = np.where(attempts > 1, attempts, np.nan)
    one = rates * (1 - rates) * tries / (tries - 1)
    return one, one / tries


def quantile(tail: float) -> float:
    """Return the point of the normal distribution with ``tail`` above it."""
    return float(-special.ndtri(tail))


def detectable(
    n: float, variance: float, *, alpha: float = ALPHA, power: float = POWER, exact: bool = False
) -> float:
    """Return the difference that n pairs show in a two-sided test; see ``for_difference``."""
    return (_reach(alpha, power) * math.sqrt(variance * n) + exact) / n


def for_difference(
    gap: float,
    variance: float,
    *,
    alpha: float = ALPHA,
    power: float = POWER,
    exact: bool = False,
) -> float:
    """Return the pairs that show a true difference; infinite for none.

    ``exact`` plans for McNemar's exact test, which needs one discordant pair more than the normal
    one: n gap = z sqrt(n variance) + 1 (the continuity correction).
    """
    spread, size = _reach(alpha, power) * math.sqrt(variance), abs(gap)
    root = (spread + math.sqrt(spread**2 + 4 * size * exact)) / 2
    return (root / size) ** 2 if size > TINY else math.inf


def _reach(alpha: float, power: float) -> float:
    """Return how many standard errors a difference must be to be shown."""
    return quantile(alpha / 2) + quantile(1 - power)


def for_equivalence(
    margin: float, variance: float, *, gap: float = 0.0, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Return the pairs that show equivalence by two one-sided tests if ``gap`` is the truth."""
    return float(_for_equivalence(np.array([gap]), np.array([variance]), margin, alpha, power)[0])


def _for_equivalence(
    gap: Floats, variance: Floats, margin: float, alpha: float, power: float
) -> Floats:
    """Find by halving the standard error at which both tests reject with ``power``."""
    room = np.maximum(margin - np.abs(gap), 0.0)
    low, high = np.zeros_like(room), np.where(room > 0, margin / quantile(alpha), 0.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = _both_reject(gap, middle, margin, alpha) >= power
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    with np.errstate(divide="ignore"):
        found: Floats = variance / low**2
    return found


def _both_reject(gap: Floats, error: Floats, margin: float, alpha: float) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        above = special.ndtr((margin - gap) / error - quantile(alpha))
        below = special.ndtr((margin + gap) / error - quantile(alpha))
    both: Floats = np.nan_to_num(above + below - 1)
    return both


def for_non_inferiority(
    margin: float, variance: float, *, gap: float = 0.0, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Return the pairs that show the difference to be above minus the margin, one-sided."""
    room = margin + gap
    if room <= 0:
        return math.inf
    return (quantile(alpha) + quantile(1 - power)) ** 2 * variance / room**2


def to_settle(mean: Mean, margin: float) -> float | None:
    """Return the samples that settle a verdict at 80 % power, if what was seen is the truth.

    The smaller of what shows the difference and what shows equivalence. None when the data say
    nothing about their spread.
    """
    if not mean.error > 0:
        return None
    variance = mean.error**2 * mean.n
    shown = for_difference(mean.value, variance, exact=mean.clusters == mean.n)
    return min(shown, for_equivalence(margin, variance, gap=mean.value))


def settling_interval(mean: Mean, margin: float) -> tuple[float, float] | None:
    """Return what ``to_settle`` may be at 80 %, for the difference it rests on is uncertain.

    The range of ``to_settle`` over all differences within their 80 % t interval, at the spread
    that was seen. It is wide: needed samples go with the inverse square of a difference, and have
    a peak between the differences that show themselves and those that show equivalence. None
    where ``to_settle`` is.
    """
    if not mean.error > 0 or mean.clusters < 2:
        return None
    variance, exact = mean.error**2 * mean.n, mean.clusters == mean.n
    gaps = np.linspace(*mean.interval(0.8), GRID)
    shown = [for_difference(float(gap), variance, exact=exact) for gap in gaps]
    same = _for_equivalence(gaps, np.full(GRID, variance), margin, ALPHA, POWER)
    each = np.fmin(shown, same)
    return float(each.min()), float(each.max())
