"""Means of samples that come in families, and their uncertainty.

Samples of one family share a template, so they are not independent: the variance of a mean is
taken between families (cluster-robust, as in Miller, arXiv 2411.00640, eq. 4). Its bias where
families are few or of unequal size is taken out (CR2; Bell and McCaffrey, Survey Methodology 28,
2002), and Student's t gets the degrees of freedom that such a variance has.
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
    """Cluster-robust standard error, bias-reduced; for families of one size Miller's."""
    n: int
    """Samples."""
    clusters: int
    freedom: float = math.nan
    """Degrees of freedom of ``error``; NaN stands for ``clusters - 1``."""
    worth: float = math.nan
    """Families of one size that these are worth (Kish): what is left of the samples if all of a
    family always agree. NaN stands for ``clusters``."""

    @property
    def quantile_freedom(self) -> float:
        """Degrees of freedom of Student's t."""
        return self.clusters - 1 if math.isnan(self.freedom) else self.freedom

    def student(self, level: float = 0.95) -> float:
        """Return the two-sided quantile of Student's t; needs two families."""
        return float(special.stdtrit(self.quantile_freedom, 0.5 + level / 2))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the t interval; unbounded with fewer than two families."""
        if self.clusters < 2:
            return -math.inf, math.inf
        half = self.student(level) * self.error
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
    sizes = np.bincount(group).astype(np.float64)
    residuals = np.bincount(group, kept - mean)
    residuals[np.abs(residuals) <= ROUNDING * np.abs(kept).sum()] = 0.0
    if len(sizes) < 2:
        return Mean(value=mean, error=math.nan, n=n, clusters=len(sizes))
    squares = residuals**2 / (1 - sizes / n)
    error = math.sqrt(float(squares.sum())) / n
    freedom = _freedom(squares, sizes, float(kept.var()))
    return Mean(
        value=mean,
        error=error,
        n=n,
        clusters=len(sizes),
        freedom=freedom,
        worth=n**2 / float(sizes @ sizes),
    )


def _freedom(squares: Floats, sizes: Floats, variance: float) -> float:
    """Return the degrees of freedom of a sum of families' squares.

    Satterthwaite's under normal samples that correlate within families as these seem to; but no
    more than what the squares' own spread shows, 2 sum(q)^2 / (sum(q^2) - sum(q)^2 / G): where a
    few families hold all the difference, there is little to learn a variance from. At least 1.
    """
    total = float(squares.sum())
    if total <= 0:
        return len(sizes) - 1.0
    spread = float(squares @ squares) - total**2 / len(sizes)
    seen = 2 * total**2 / spread if spread > 0 else math.inf
    return max(1.0, min(_satterthwaite(sizes, _correlation(total, sizes, variance)), seen))


def _correlation(total: float, sizes: Floats, variance: float) -> float:
    """Return the correlation within families that a sum of squares speaks of, from 0 to 1."""
    n, pairs = float(sizes.sum()), float(sizes @ sizes - sizes.sum())
    if not (pairs > 0 and variance > 0):
        return 0.0
    return min(1.0, max(0.0, (total / variance - n) / pairs))


def _satterthwaite(sizes: Floats, correlation: float) -> float:
    """Return tr(M)^2 / tr(M^2) of the covariance M of the families' adjusted residual sums.

    M = W^(1/2) (I - h 1') V (I - 1 h') W^(1/2) with h a family's share of the samples,
    W = 1 / (1 - h) and V the variance of its sum (Bell and McCaffrey 2002; Pustejovsky and
    Tipton, arXiv 1601.01981, section 2.2), written out so that it takes time in proportion to G.
    Families of one size have G - 1.
    """
    if float(sizes.min()) == float(sizes.max()):
        return len(sizes) - 1.0
    share = sizes / sizes.sum()
    weight = 1 / (1 - share)
    own = sizes * (1 + (sizes - 1) * correlation)
    whole = float(own.sum())
    a, b, c = (
        float((weight * share**2).sum()),
        float((weight * own**2).sum()),
        float((weight * share * own).sum()),
    )
    between = share * (share * whole - 2 * own)
    trace = float((weight * (own + between)).sum())
    squared = 2 * a * b + 2 * c**2 + (whole * a) ** 2 - 4 * whole * a * c
    squared += float((weight**2 * own * (own + 2 * between)).sum())
    return trace**2 / squared


def standard_error(
    values: Floats, family: NDArray[np.int32] | None = None, *, correction: bool = True
) -> float:
    """Return the standard error of the mean of (S,) values as other harnesses print it.

    Without families that of the central limit theorem, sample deviation / sqrt(n) (lm-eval's
    ``mean_stderr``, inspect's ``stderr()``); with families inspect's ``stderr(cluster=...)``, which
    multiplies Miller's variance (arXiv 2411.00640, eq. 4) by C / (C - 1). ``correction=False`` is
    the paper's form. 0 where there are fewer than two samples or families, as in both.
    """
    kept = values[~np.isnan(values)]
    if family is None:
        return float(kept.std(ddof=1)) / math.sqrt(len(kept)) if len(kept) > 1 else 0.0
    _, group = np.unique(family[~np.isnan(values)], return_inverse=True)
    if not len(kept) or group.max() < 1:
        return 0.0
    residuals = np.bincount(group, kept - kept.mean())
    scale = len(residuals) / (len(residuals) - 1) if correction else 1.0
    return math.sqrt(scale * float(residuals @ residuals)) / len(kept)


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

    Wilson's interval where every sample is a family of its own and was tried once. Otherwise
    Wilson's on the *effective* number of independent attempts p (1 - p) / error^2, with Student's
    quantile in place of the normal one (Korn and Graubard, Survey Methodology 24, 1998; Franco et
    al., J. Survey Statistics and Methodology 7, 2019); with fewer than ``FEW`` families no narrower
    than Wilson's on the number of families, which alone is left where all of them agree. Never
    wider than Wilson's on what the families are worth: more than that cannot correlate, and where
    one family of many holds all the difference, Student's quantile knows next to nothing. No
    interval has width zero. None when nothing was scored.
    """
    mean = clustered_mean(rates, family)
    if not mean.n:
        return None
    if mean.clusters == mean.n and float(np.nanmax(attempts)) == 1:
        low, high = wilson(mean.value * mean.n, mean.n)
        method = "wilson"
    else:
        low, high, method = _of_families(mean)
    return PassRate(
        value=mean.value,
        low=low,
        high=high,
        method=method,
        n=mean.n,
        clusters=mean.clusters,
    )


def _of_families(mean: Mean) -> tuple[float, float, str]:
    plain = wilson(mean.value * mean.clusters, mean.clusters)
    if not mean.error > 0:
        return (*plain, "wilson")
    trials = mean.value * (1 - mean.value) / mean.error**2
    low, high = wilson(mean.value * trials, trials, mean.student())
    if mean.clusters < FEW:
        return min(low, plain[0]), max(high, plain[1]), "cluster-robust"
    least = wilson(mean.value * mean.worth, mean.worth)
    if high - low > least[1] - least[0]:
        low, high = least
    return low, high, "cluster-robust"
