"""Means of samples that come in families, and their uncertainty.

Samples of one family share a template, so they are not independent: the variance of a mean is
taken between families (cluster-robust, as in Miller, arXiv 2411.00640, eq. 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.rates import wilson
from qbench.benchmarks.analysis.sums import Floats

FEW = 8
"""Families below which a t interval is not trusted."""

ROUNDING = 1e-12
"""Residuals below this share of the total are rounding: thirds must not look like spread."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over samples with what its uncertainty needs."""

    value: float
    error: float
    """Cluster-robust standard error."""
    n: int
    """Samples."""
    clusters: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the t interval with ``clusters - 1`` degrees of freedom."""
        if self.clusters < 2:
            return -math.inf, math.inf
        half = float(special.stdtrit(self.clusters - 1, 0.5 + level / 2)) * self.error
        return self.value - half, self.value + half


def clustered_mean(values: Floats, family: NDArray[np.int32]) -> Mean:
    """Return the mean of (S,) values, NaN left out, with its error between families."""
    known = ~np.isnan(values)
    kept, groups = values[known], family[known]
    n = len(kept)
    if not n:
        return Mean(value=math.nan, error=math.nan, n=0, clusters=0)
    mean = float(kept.mean())
    _, group = np.unique(groups, return_inverse=True)
    residuals = np.bincount(group, kept - mean)
    residuals[np.abs(residuals) <= ROUNDING * np.abs(kept).sum()] = 0.0
    count = len(residuals)
    scale = count / (count - 1) if count > 1 else math.nan
    error = math.sqrt(scale * float(residuals @ residuals)) / n
    return Mean(value=mean, error=error, n=n, clusters=count)


@dataclass(frozen=True, kw_only=True)
class PassRate:
    """A pass rate with its 95 % interval."""

    value: float
    low: float
    high: float
    method: str
    """``wilson`` or ``cluster-robust``."""
    n: int
    clusters: int


def pass_rate(rates: Floats, attempts: Floats, family: NDArray[np.int32]) -> PassRate | None:
    """Estimate a pass rate from (S,) per-sample means and numbers of attempts.

    Wilson where every sample is a family of its own and was tried once; cluster-robust
    otherwise. With fewer than ``FEW`` families, or when all of them agree, Wilson on the number
    of families: wide, and never of width zero. None when nothing was scored.
    """
    mean = clustered_mean(rates, family)
    if not mean.n:
        return None
    alone = mean.clusters == mean.n and float(np.nanmax(attempts)) == 1
    if alone or mean.clusters < FEW or mean.error == 0:
        trials = mean.n if alone else mean.clusters
        low, high = wilson(mean.value * trials, trials)
        method = "wilson"
    else:
        low, high = mean.interval()
        method = "cluster-robust"
    return PassRate(
        value=mean.value,
        low=max(0.0, low),
        high=min(1.0, high),
        method=method,
        n=mean.n,
        clusters=mean.clusters,
    )
