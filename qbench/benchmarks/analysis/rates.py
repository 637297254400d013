"""Pass rates and their intervals in plain arithmetic: a live display uses them too."""

from __future__ import annotations

import math

Z = 1.959963984540054
"""97.5 % point of the normal distribution."""


def wilson(passed: float, n: float, z: float = Z) -> tuple[float, float]:
    """Return the score interval of a proportion (Wilson 1927), within [0, 1].

    Args:
        passed: successes; may be a sum of per-sample means.
        n: trials, more than 0.
        z: normal quantile; the default gives 95 %.

    """
    share = passed / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def zero_pass_bound(n: int, alpha: float = 0.025) -> float:
    """Return the exact upper bound of a pass rate when none of ``n`` passed (Clopper-Pearson)."""
    return 1 - float(alpha ** (1 / n))


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased P(at least one of k passes), given c of n (Chen et al. 2021, eq. 1)."""
    if not 0 < k <= n:
        raise ValueError(f"k must be from 1 to {n}, not {k}")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def pass_hat_k(n: int, c: int, k: int) -> float:
    """Return the unbiased P(all of k pass), given c of n (tau-bench, arXiv 2406.12045)."""
    if not 0 < k <= n:
        raise ValueError(f"k must be from 1 to {n}, not {k}")
    return math.comb(c, k) / math.comb(n, k)
