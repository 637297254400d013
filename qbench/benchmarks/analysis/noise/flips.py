"""How far the same thing measured twice is apart: flipped answers, spread, divergence.

Spread over configurations as in "Give Me FP32 or Give Me Death?" (arXiv 2506.09501, section 3):
``Std@Acc``, ``Avg_Std@Output_Length`` and ``Div_Index``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.clusters import PassRate, pass_rate
from qbench.benchmarks.analysis.sums import Floats


@dataclass(frozen=True, kw_only=True)
class FlipRate:
    """Samples that one system passes and the other does not."""

    rate: PassRate
    """Of the paired samples, both directions together."""
    lost: int
    """The baseline passes, the system does not."""
    won: int


def flips(system: Floats, baseline: Floats, family: NDArray[np.int32]) -> FlipRate | None:
    """Count the samples on which pass and fail differ.

    Args:
        system: (S,) pass rate of each sample, NaN where nothing was scored. A sample counts as
            passed when at least half of its attempts passed.
        baseline: (S,) likewise.
        family: (S,) family of each sample.

    Returns:
        None without a sample that both know.

    """
    known = ~np.isnan(system - baseline)
    if not known.any():
        return None
    one, two = system >= 0.5, baseline >= 0.5
    differs = np.where(known, (one != two).astype(np.float64), np.nan)
    rate = pass_rate(differs, np.ones(len(differs)), family)
    assert rate is not None
    return FlipRate(
        rate=rate, lost=int((known & two & ~one).sum()), won=int((known & one & ~two).sum())
    )


def std_at_accuracy(accuracies: Sequence[float]) -> float | None:
    """Return the sample standard deviation (ddof 1) over configurations; None for fewer than 2."""
    return float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None


def length_spread(lengths: Floats) -> float | None:
    """Return the mean over samples of the standard deviation (ddof 1) of output length.

    Args:
        lengths: (C, S) tokens by configuration and sample; samples with an unknown one are left
            out.

    Returns:
        Tokens; None with fewer than 2 configurations or without a known sample.

    """
    known = ~np.isnan(lengths).any(axis=0)
    if len(lengths) < 2 or not known.any():
        return None
    return float(np.std(lengths[:, known], axis=0, ddof=1).mean())


def divergence(one: Sequence[object], two: Sequence[object]) -> int | None:
    """Return the first position, from 0, at which two outputs differ; None when they are equal.

    Where one is the beginning of the other, that is the length of the shorter.
    """
    if one == two:
        return None
    shorter = min(len(one), len(two))
    return next((place for place in range(shorter) if one[place] != two[place]), shorter)


def std_interval(spread: float, configurations: int, clusters: int) -> tuple[float, float]:
    """Return the 95 % interval of a standard deviation over configurations.

    Chi-square with ``configurations - 1`` degrees of freedom: of two, it spans a factor of 70.
    Where all configurations agree, the upper end is what the answers that ``clusters``
    independent samples can hide would make: sqrt(h / (2 n)) with h = 1 - 0.05^(1/n).
    """
    freedom = configurations - 1
    if spread <= 0:
        hidden = 1 - 0.05 ** (1 / max(1, clusters))
        return 0.0, math.sqrt(hidden / (2 * max(1, clusters)))
    ends = (float(special.chdtri(freedom, tail)) for tail in (0.025, 0.975))
    low, high = (spread * math.sqrt(freedom / chi) for chi in ends)
    return low, high
