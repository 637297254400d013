"""Two systems on the same samples: difference, test, verdict, and what would settle it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.clusters import Mean, clustered_mean
from qbench.benchmarks.analysis.rates import Z
from qbench.benchmarks.analysis.sums import Floats

Kind = Literal["equivalent", "worse", "better", "inconclusive"]

FLIPS = 10_000
POWER_Z = 0.8416212335729143
"""80 % point of the normal distribution."""
TOST_Z = 1.6448536269514722
"""95 % point: two one-sided tests at 5 % are a 90 % interval."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A system's pass rate minus the baseline's."""

    mean: Mean
    p: float
    """Two-sided, unadjusted."""
    both: int
    only_system: int
    only_baseline: int
    neither: int
    """Samples by what at least half of their attempts did."""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, never of width zero."""
        return widened(self.mean, 0.95)

    @property
    def narrow(self) -> tuple[float, float]:
        """The 90 % interval of the two one-sided tests."""
        return widened(self.mean, 0.90)


def widened(mean: Mean, level: float) -> tuple[float, float]:
    """When all samples agree, allow for the differences that n samples can hide."""
    if mean.error > 0:
        low, high = mean.interval(level)
    else:
        hidden = 1 - (1 - level) ** (1 / max(1, mean.clusters))
        low, high = mean.value - hidden, mean.value + hidden
    return max(-1.0, low), min(1.0, high)


def difference(
    system: Floats, baseline: Floats, family: NDArray[np.int32], *, epochs: int, seed: int = 0
) -> Difference | None:
    """Compare (S,) per-sample pass rates where both are known; None where that is nowhere.

    The test is McNemar's exact one where every sample is a family of its own with one attempt,
    else families' sums of differences are flipped in sign (``FLIPS`` seeded draws).
    """
    gap = system - baseline
    known = ~np.isnan(gap)
    if not known.any():
        return None
    mean = clustered_mean(gap, family)
    one, two = system[known] >= 0.5, baseline[known] >= 0.5
    counts = [int(x.sum()) for x in (one & two, one & ~two, ~one & two, ~one & ~two)]
    if epochs == 1 and mean.clusters == mean.n:
        p = mcnemar(counts[1], counts[2])
    else:
        p = sign_flip(gap[known], family[known], seed=seed)
    both, only_system, only_baseline, neither = counts
    return Difference(
        mean=mean,
        p=p,
        both=both,
        only_system=only_system,
        only_baseline=only_baseline,
        neither=neither,
    )


def mcnemar(one: int, two: int) -> float:
    """Return the exact two-sided p of ``one`` against ``two`` discordant pairs (McNemar 1947)."""
    n = one + two
    if n == 0:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(one, two), n, 0.5)))


def sign_flip(gap: Floats, family: NDArray[np.int32], *, seed: int) -> float:
    """Return the two-sided permutation p of a mean difference of zero, by family."""
    _, group = np.unique(family, return_inverse=True)
    totals = np.bincount(group, gap)
    observed = abs(totals.sum())
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, size=(FLIPS, len(totals)), dtype=np.int8) * 2.0 - 1.0
    extreme = int((np.abs(signs @ totals) >= observed - 1e-12).sum())
    return (1 + extreme) / (1 + FLIPS)


def verdict(found: Difference, adjusted_p: float, margin: float) -> Kind:
    """Judge a difference against a margin declared before the run.

    ``equivalent``: the 90 % interval lies within the margin on both sides (two one-sided tests
    at 5 %), even when the difference is significant. ``worse`` and ``better``: the 95 % interval
    excludes zero and the adjusted p is below 5 %. Everything else is ``inconclusive``.
    """
    low, high = found.narrow
    if -margin < low and high < margin:
        return "equivalent"
    low, high = found.interval
    if adjusted_p < 0.05 and high < 0:
        return "worse"
    if adjusted_p < 0.05 and low > 0:
        return "better"
    return "inconclusive"


def needed(found: Difference, margin: float) -> int | None:
    """Return the samples that settle a verdict at 80 % power, if what was seen is the truth.

    The smaller of what shows the difference and what shows equivalence; None when the data say
    nothing about their spread.
    """
    spread, gap = found.mean.error * math.sqrt(found.mean.n), abs(found.mean.value)
    if not spread > 0:
        return None
    wanted = []
    if gap:
        wanted.append(((Z + POWER_Z) * spread / gap) ** 2)
    if gap < margin:
        wanted.append(((TOST_Z + POWER_Z) * spread / (margin - gap)) ** 2)
    return math.ceil(max(min(wanted), found.mean.n + 1)) if wanted else None


def detectable(n: int, *, discordant: float = 0.3) -> float:
    """Return the pass-rate difference that ``n`` paired samples show at 80 % power.

    ``discordant`` is the share of samples on which two systems disagree.
    """
    return (Z + POWER_Z) * math.sqrt(discordant / n)
