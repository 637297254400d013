"""Looking at a run again and again: intervals and verdicts that hold at every look at once.

An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform
central limit theory and asymptotic confidence sequences, arXiv 2103.06476, theorem 2.2): Robbins'
normal mixture around a mean, here in *information* I = 1 / error² with the cluster-robust error
of ``clusters``, so that families may grow from look to look. A difference at z standard errors
lies outside at level alpha when

    z² >= (1 + rho / I) log((I + rho) / (rho alpha²)).

Two conventions of ours make it hold from small numbers on: the error counts ``HIDDEN`` more
families that disagree wholly (samples that all agree can hide differences), and z is read from
Student's t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.clusters import Mean, clustered_mean
from qbench.benchmarks.analysis.comparison.paired import Kind
from qbench.benchmarks.analysis.design import DISCORDANT
from qbench.benchmarks.analysis.sums import Floats

ALPHA = 0.05
TOST_ALPHA = 0.10
"""Two one-sided sequences at 5 % are a two-sided one at 10 %."""
MEDIAN = 0.6744897501960817
"""Of the size of a standard normal number: so far from zero is a difference seen that is none."""
HIDDEN = 1.5
"""Families of average size, disagreeing wholly, that are counted beside those that were seen: as
the passes and failures that Agresti and Coull (1998) add to a proportion. With 1, a rare
difference of one direction at the very margin was called equivalent in up to 7.4 % of simulated
runs; with 1.5, in 4.7 %."""
LEAST = 8
"""Families below which nothing is decided."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A mean as it was when somebody looked."""

    value: float
    error: float
    """Cluster-robust, with ``HIDDEN`` more families."""
    n: int
    """Samples."""
    clusters: int
    freedom: float
    """Degrees of freedom of ``error``."""

    @property
    def information(self) -> float:
        """1 / error²; 0 before anything is known."""
        return 1 / self.error**2 if self.clusters > 1 and self.error > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """A mean over all looks at it so far."""

    looks: tuple[Look, ...]
    rho: float
    """Of the mixture, in units of information; chosen before the first look."""

    @property
    def last(self) -> Look:
        """What is known now."""
        return self.looks[-1]

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """Return what no look has ruled out at level ``1 - alpha``: it only shrinks."""
        ends = [_ends(look, self.rho, alpha) for look in self.looks]
        return max(low for low, _ in ends), min(high for _, high in ends)

    def p(self, null: float = 0.0) -> float:
        """Return the two-sided p value of a mean of ``null``, valid at any time of stopping."""
        return min(_p(look, self.rho, null) for look in self.looks)


def tuned(margin: float, samples: int, *, alpha: float = ALPHA) -> float:
    """Return rho for which the sequence is tightest where it is needed.

    That is the information at which a width of ``margin`` is reached, or what ``samples`` will
    give if that is less (``DISCORDANT`` of them discordant). Both are known before the run.
    Formula: arXiv 2103.06476, appendix, in units of information.
    """
    logs = -2 * math.log(alpha)
    strength = logs + math.log(logs + 1)
    most = samples / DISCORDANT
    return min(most, (strength + 1) / margin**2) / strength


def boundary(information: float, rho: float, alpha: float) -> float:
    """Return how many standard errors away the sequence ends; infinite without information."""
    if not information > 0:
        return math.inf
    share = rho / information
    return math.sqrt((1 + share) * math.log((1 + share) / (share * alpha**2)))


def tracked(
    values: Floats,
    family: NDArray[np.int32],
    rounds: NDArray[np.int64],
    *,
    rho: float,
    unit: float = 1.0,
) -> Tracked | None:
    """Look at the mean of (S,) values after each round.

    Args:
        values: by sample; NaN is left out.
        family: (S,) cluster of each sample.
        rounds: (S,) number of the round in which each sample was asked, from 0.
        rho: see ``tuned``.
        unit: the most by which a value can be off its mean; 0 where that is not known.

    Returns:
        None when no value is known.

    """
    known = ~np.isnan(values)
    if not known.any():
        return None
    kept, groups, when = values[known], family[known], rounds[known]
    looks = [
        _look(kept[when <= number], groups[when <= number], unit) for number in np.unique(when)
    ]
    return Tracked(looks=tuple(looks), rho=rho)


def _look(values: Floats, family: NDArray[np.int32], unit: float) -> Look:
    mean = clustered_mean(values, family)
    hidden = HIDDEN * (unit / mean.clusters) ** 2
    own = mean.error**2 if mean.clusters > 1 else math.nan
    return Look(
        value=mean.value,
        error=math.sqrt(own + hidden),
        n=mean.n,
        clusters=mean.clusters,
        freedom=_freedom(mean, own, hidden),
    )


def _freedom(mean: Mean, own: float, hidden: float) -> float:
    """Return Satterthwaite's degrees of freedom of an estimated and a known variance together."""
    most = float(mean.clusters - 1)
    return min(most, mean.quantile_freedom * ((own + hidden) / own) ** 2) if own > 0 else most


def _ends(look: Look, rho: float, alpha: float) -> tuple[float, float]:
    if look.clusters < LEAST or not look.information:
        return -math.inf, math.inf
    z = boundary(look.information, rho, alpha)
    half = -float(special.stdtrit(look.freedom, special.ndtr(-z))) * look.error
    return look.value - half, look.value + half


def _p(look: Look, rho: float, null: float) -> float:
    if look.clusters < LEAST or not look.information:
        return 1.0
    t = -abs(look.value - null) / look.error
    z = float(special.ndtri(special.stdtr(look.freedom, t)))
    share = rho / look.information
    return min(1.0, math.sqrt((1 + share) / share) * math.exp(-z * z / (2 * (1 + share))))


def decision(found: Tracked, adjusted_p: float, margin: float) -> Kind:
    """Judge a difference against a margin declared before the run, at any look.

    ``equivalent``: the 90 % sequence lies within the margin on both sides. ``worse`` and
    ``better``: the 95 % sequence excludes zero and the adjusted p is below 5 %.
    """
    low, high = found.interval(TOST_ALPHA)
    if -margin < low and high < margin:
        return "equivalent"
    low, high = found.interval()
    if adjusted_p < ALPHA and high < 0:
        return "worse"
    if adjusted_p < ALPHA and low > 0:
        return "better"
    return "inconclusive"


def deciding(found: Tracked, margin: float, *, comparisons: int = 1) -> float:
    """Return the samples at which the verdict falls, if what is seen now is the truth.

    Infinite where no number of samples decides, or nothing is known yet.
    """
    look = found.last
    if not look.information:
        return math.inf
    differs = _reached(abs(look.value), found.rho, ALPHA / comparisons)
    wanted = min(differs, _reached(margin - abs(look.value), found.rho, TOST_ALPHA))
    return max(float(look.n), wanted * look.n / look.information)


def expected(
    gap: float, margin: float, samples: int, variance: float, *, comparisons: int = 1
) -> float:
    """Return the samples after which a true difference of ``gap`` is decided, half of the time.

    Args:
        gap: in pass rate.
        margin: of the run.
        samples: of the full design.
        variance: of a sample's paired difference, every sample a family of its own.
        comparisons: systems that are compared with the baseline.

    """
    rho = tuned(margin, samples)
    differs = _reached(abs(gap), rho, ALPHA / comparisons)
    same = _reached(margin - abs(gap), rho, TOST_ALPHA, away=MEDIAN)
    return variance * min(differs, same)


def _reached(gap: float, rho: float, alpha: float, *, away: float = 0.0) -> float:
    """Return the information at which a difference of ``gap`` crosses the boundary.

    ``away``: standard errors by which it is seen nearer than it is.
    """
    if not gap > 0:
        return math.inf

    def crossed(information: float) -> bool:
        return gap * math.sqrt(information) - away >= boundary(information, rho, alpha)

    low, high = 0.0, 1 / gap**2
    while not crossed(high):
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if crossed(middle) else (middle, high)
    return high
