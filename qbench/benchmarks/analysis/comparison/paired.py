"""Two systems on the same samples: difference, test, verdict, and what would settle it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.clusters import ROUNDING, Mean, clustered_mean
from qbench.benchmarks.analysis.design import to_settle
from qbench.benchmarks.analysis.resampling import CELLS
from qbench.benchmarks.analysis.sums import Floats

Kind = Literal["equivalent", "non-inferior", "worse", "better", "inconclusive"]

FLIPS = 10_000
HIDDEN = 0.05
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
    """When all samples agree, allow for the differences that n samples can hide.

    All of G families agree with a chance of at most (1 - gap)^G. One of 5 % is ruled out at both
    levels: in the two one-sided tests of the 90 % interval that is each one's error.
    """
    if mean.error > 0:
        low, high = mean.interval(level)
    else:
        hidden = 1 - HIDDEN ** (1 / max(1, mean.clusters))
        low, high = mean.value - hidden, mean.value + hidden
    return max(-1.0, low), min(1.0, high)


def difference(
    system: Floats, baseline: Floats, family: NDArray[np.int32], *, epochs: int, seed: int = 0
) -> Difference | None:
    """Compare (S,) per-sample pass rates where both are known; None where that is nowhere.

    The test is McNemar's exact one where every sample is a family of its own with one attempt,
    else families' sums of differences are flipped in sign (``FLIPS`` seeded draws).
    """
    return differences([(system, baseline)], family, epochs=epochs, seed=seed)[0]


def differences(
    pairs: Sequence[tuple[Floats, Floats]],
    family: NDArray[np.int32],
    *,
    epochs: int,
    seed: int = 0,
) -> list[Difference | None]:
    """Do what ``difference`` does for many pairs, which share their flips."""
    found = [_paired(system, baseline, family, epochs) for system, baseline in pairs]
    flipped = [place for place, gap in enumerate(found) if gap is not None and math.isnan(gap.p)]
    totals = [_totals(pairs[place][0] - pairs[place][1], family) for place in flipped]
    for place, p in zip(flipped, sign_flips(totals, seed=seed), strict=True):
        gap = found[place]
        assert gap is not None
        found[place] = replace(gap, p=p)
    return found


def _paired(
    system: Floats, baseline: Floats, family: NDArray[np.int32], epochs: int
) -> Difference | None:
    """Compare two systems; p is NaN where it must be found by flipping."""
    gap = system - baseline
    known = ~np.isnan(gap)
    if not known.any():
        return None
    mean = clustered_mean(gap, family)
    one, two = system[known] >= 0.5, baseline[known] >= 0.5
    both, only_system, only_baseline, neither = (
        int(x.sum()) for x in (one & two, one & ~two, ~one & two, ~one & ~two)
    )
    exact = epochs == 1 and mean.clusters == mean.n
    return Difference(
        mean=mean,
        p=mcnemar(only_system, only_baseline) if exact else math.nan,
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
    return sign_flips([_totals(gap, family)], seed=seed)[0]


def _totals(gap: Floats, family: NDArray[np.int32]) -> Floats:
    """Add (S,) differences up by family, NaN left out."""
    return np.bincount(family, np.nan_to_num(gap)).astype(np.float64, copy=False)


def sign_flips(totals: Sequence[Floats], *, seed: int) -> list[float]:
    """Return the two-sided permutation p of each pair's (G,) sums of differences by family.

    All pairs see the same ``FLIPS`` seeded draws, so what one pair finds does not depend on the
    others; a family without a difference changes nothing.
    """
    if not totals:
        return []
    sums = np.stack(totals, axis=1)
    whole = sums.sum(axis=0)
    least = np.abs(whole) - ROUNDING * np.abs(sums).sum(axis=0)
    extreme = np.zeros(len(totals), dtype=np.int64)
    for plus in flips(len(sums), seed=seed):
        extreme += (np.abs(2 * (plus @ sums) - whole) >= least).sum(axis=0)
    return [(1 + int(number)) / (1 + FLIPS) for number in extreme]


def flips(families: int, *, seed: int) -> Iterator[Floats]:
    """Yield blocks (B, G) of ``FLIPS`` fair draws in all: 1 where a family keeps its sign, or 0."""
    rng, width = np.random.default_rng(seed), -(-families // 8)
    rows = max(1, min(FLIPS, CELLS // max(1, families)))
    for start in range(0, FLIPS, rows):
        drawn = rng.bytes(min(rows, FLIPS - start) * width)
        packed = np.frombuffer(drawn, dtype=np.uint8).reshape(-1, width)
        yield np.unpackbits(packed, axis=1, count=families).astype(np.float64)


class Bounded(Protocol):
    """A difference with its two intervals, paired or not."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""

    @property
    def narrow(self) -> tuple[float, float]:
        """90 %."""


def equivalence_p(found: Difference, margin: float) -> float:
    """Return the p of two one-sided tests against differences of the margin or more.

    Below 5 % exactly where the 90 % interval lies within the margin (Schuirmann 1987).
    """
    return max(_beyond(found.mean, margin), _beyond(_turned(found.mean), margin))


def non_inferiority_p(found: Difference, margin: float) -> float:
    """Return the one-sided p against a pass rate that is lower by the margin or more."""
    return _beyond(found.mean, margin)


def _turned(mean: Mean) -> Mean:
    turned: Mean = replace(mean, value=-mean.value)
    return turned


def _beyond(mean: Mean, margin: float) -> float:
    """Return the p of a true difference of at most ``-margin``."""
    room = mean.value + margin
    if mean.clusters < 2:
        return 1.0
    if mean.error > 0:
        return float(special.stdtr(mean.quantile_freedom, -room / mean.error))
    return min(1.0, max(0.0, 1 - room) ** mean.clusters) if room > 0 else 1.0


def verdict(found: Bounded, adjusted_p: float, margin: float, *, one_sided: bool = False) -> Kind:
    """Judge a difference against a margin declared before the run.

    ``equivalent``: the 90 % interval lies within the margin on both sides (two one-sided tests
    at 5 %), even when the difference is significant. ``worse`` and ``better``: the 95 % interval
    excludes zero and the adjusted p is below 5 %. ``non-inferior``, where ``one_sided`` asks for
    it: nothing of that, but the 90 % interval lies above minus the margin. Everything else is
    ``inconclusive``.
    """
    below, above = found.narrow
    if -margin < below and above < margin:
        return "equivalent"
    low, high = found.interval
    if adjusted_p < 0.05 and high < 0:
        return "worse"
    if adjusted_p < 0.05 and low > 0:
        return "better"
    return "non-inferior" if one_sided and below > -margin else "inconclusive"


def needed(found: Difference, margin: float) -> int | None:
    """Return the samples that settle a verdict at 80 % power, if what was seen is the truth.

    More than there are; None when the data say nothing about their spread.
    """
    wanted = to_settle(found.mean, margin)
    if wanted is None or math.isinf(wanted):
        return None
    return math.ceil(max(wanted, found.mean.n + 1))
