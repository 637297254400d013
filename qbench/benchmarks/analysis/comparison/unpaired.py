"""Two pass rates of which nobody knows the samples: what a published table allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from qbench.benchmarks.analysis.comparison.paired import TOST_Z
from qbench.benchmarks.analysis.rates import Z, wilson


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A pass rate minus another one."""

    value: float
    interval: tuple[float, float]
    """95 %."""
    narrow: tuple[float, float]
    """90 %, of the two one-sided tests."""
    p: float
    """Two-sided, unadjusted."""


def gap(one: tuple[float, float], two: tuple[float, float]) -> Gap:
    """Compare (pass rate, number of independent attempts) with another such pair."""
    return Gap(
        value=one[0] - two[0],
        interval=newcombe(one, two, Z),
        narrow=newcombe(one, two, TOST_Z),
        p=two_proportions(one, two),
    )


def newcombe(
    one: tuple[float, float], two: tuple[float, float], z: float = Z
) -> tuple[float, float]:
    """Return the interval of p1 - p2 from two Wilson intervals (Newcombe 1998, method 10)."""
    (p, n), (q, m) = one, two
    (low, high), (bottom, top) = wilson(p * n, n, z), wilson(q * m, m, z)
    difference = p - q
    return (
        difference - math.hypot(p - low, top - q),
        difference + math.hypot(high - p, q - bottom),
    )


def two_proportions(one: tuple[float, float], two: tuple[float, float]) -> float:
    """Return the two-sided p of equal pass rates: the pooled z test."""
    (p, n), (q, m) = one, two
    pooled = (p * n + q * m) / (n + m)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return float(2 * special.ndtr(-abs(p - q) / error)) if error else 1.0
