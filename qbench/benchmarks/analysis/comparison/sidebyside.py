"""One paired difference by many methods: what each says, and which of them know families.

The verdict rests on the first and on one of the two tests; the others are there to be read beside
it, and to compare with what other harnesses print.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.clusters import clustered_mean, standard_error
from qbench.benchmarks.analysis.comparison.cells import cells, newcombe
from qbench.benchmarks.analysis.comparison.paired import mcnemar, sign_flip, widened
from qbench.benchmarks.analysis.rates import Z
from qbench.benchmarks.analysis.resampling import RESAMPLES, percentile_interval, weights
from qbench.benchmarks.analysis.sums import Floats

Ints = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Method:
    """What one method says of a difference."""

    name: str
    interval: tuple[float, float] | None = None
    """95 %."""
    p: float | None = None
    """Two-sided, of no difference."""
    families: bool = True
    """It knows that samples of one family are alike."""


def methods(first: Floats, second: Floats, family: Ints, *, seed: int = 0) -> list[Method]:
    """Compare (S,) pass rates, first minus second, by every method; empty without a shared sample.

    Methods that need what the data do not have, such as two families, say nothing.
    """
    known = ~np.isnan(first - second)
    if not known.any():
        return []
    one, two, alike = first[known], second[known], family[known]
    return [
        _student(one - two, alike),
        _bootstrap(one - two, alike, seed),
        _flipped(one - two, alike, seed),
        *_of_others(one - two, alike),
        Method(name="Newcombe hybrid score", interval=newcombe(cells(one, two)), families=False),
        _majorities(one >= 0.5, two >= 0.5),
    ]


def _student(gap: Floats, family: Ints) -> Method:
    mean = clustered_mean(gap, family)
    p = None
    if mean.clusters > 1 and mean.error > 0:
        p = _two_sided(mean.value / mean.error, mean.quantile_freedom)
    interval = widened(mean, 0.95) if mean.clusters > 1 else None
    return Method(name="t, CR2 over families", interval=interval, p=p)


def _two_sided(t: float, freedom: float) -> float:
    return float(2 * special.stdtr(freedom, -abs(t)))


def _bootstrap(gap: Floats, family: Ints, seed: int) -> Method:
    """Draw whole families 10,000 times; p is twice the smaller share on the other side of zero."""
    name = "bootstrap of families"
    _, group = np.unique(family, return_inverse=True)
    columns = np.stack([np.bincount(group, gap), np.bincount(group)], axis=1)
    if len(columns) < 2:
        return Method(name=name)
    drawn = np.concatenate([block @ columns for block in weights(len(columns), seed=seed)])
    means = drawn[:, 0] / drawn[:, 1]
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * (1 + beyond) / (1 + RESAMPLES))
    return Method(name=name, interval=percentile_interval(means), p=p)


def _flipped(gap: Floats, family: Ints, seed: int) -> Method:
    return Method(name="sign flips of families", p=sign_flip(gap, family, seed=seed))


def _of_others(gap: Floats, family: Ints) -> Iterator[Method]:
    """Yield what inspect (clusters, t) and lm-eval (samples, normal) make of the differences."""
    value, groups = float(gap.mean()), len(np.unique(family))
    error = standard_error(gap, family)
    if groups > 1 and error > 0:
        half = float(special.stdtrit(groups - 1, 0.975)) * error
        p = _two_sided(value / error, groups - 1)
        yield Method(name="t, inspect's clusters", interval=(value - half, value + half), p=p)
    error = standard_error(gap)
    if error > 0:
        half, p = Z * error, float(2 * special.ndtr(-abs(value) / error))
        interval = (value - half, value + half)
        yield Method(name="normal, lm-eval's error", interval=interval, p=p, families=False)


def _majorities(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> Method:
    p = mcnemar(int((one & ~two).sum()), int((~one & two).sum()))
    return Method(name="McNemar exact", p=p, families=False)
