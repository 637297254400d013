"""Ratios of sums over families whose parts are known with an error of their own."""

from __future__ import annotations

import math

import numpy as np

from qbench.benchmarks.analysis.comparison.recovery import Ratio
from qbench.benchmarks.analysis.efficiency.runtime import t_point
from qbench.benchmarks.analysis.sums import Floats


def ratio_of_sums(
    top: Floats, bottom: Floats, *, relative_variance: float = 0.0, freedom: float = math.inf
) -> Ratio | None:
    """Return sum(top) / sum(bottom) with its 95 % interval.

    The families' spread is linearised (Cochran, Sampling Techniques, section 6.3) and joined with
    the error that all families share, on a log scale; t with Satterthwaite's degrees of freedom.
    One family alone bounds nothing. None where the bottom is zero or something is unknown.

    Args:
        top: (G,) sums by family.
        bottom: (G,) likewise.
        relative_variance: squared relative standard error that all of the ratio shares.
        freedom: its degrees of freedom.

    """
    present = (top != 0) | (bottom != 0)
    above, below = top[present], bottom[present]
    if not len(above) or not below.sum() or np.isnan(above.sum() + below.sum()):
        return None
    value = float(above.sum() / below.sum())
    families = len(above)
    if not value:
        return Ratio(value=0.0, low=0.0, high=0.0)
    if families < 2:
        return Ratio(value=value, low=0.0, high=math.inf)
    left = above - value * below
    spread = families / (families - 1) * float(left @ left) / float(above.sum()) ** 2
    if not spread + relative_variance:
        return Ratio(value=value, low=value, high=value)
    point = t_point(_joint_freedom((spread, families - 1), (relative_variance, freedom)))
    factor = math.exp(point * math.sqrt(spread + relative_variance))
    return Ratio(value=value, low=value / factor, high=value * factor)


def _joint_freedom(*parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of (variance, freedom) parts (Satterthwaite 1946)."""
    whole = sum(variance for variance, _ in parts)
    left = sum((variance / whole) ** 2 / freedom for variance, freedom in parts)
    return 1 / left if left else math.inf
