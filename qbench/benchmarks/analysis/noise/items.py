"""What single samples contribute: difficulty, discrimination, flips, and how reliable all are.

Classical test theory: the rows of a results matrix are systems, each measured one or more times,
its columns are samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.comparison.multiplicity import discoveries
from qbench.benchmarks.analysis.sums import Floats


@dataclass(frozen=True, kw_only=True)
class ItemStatistics:
    """(S,) statistics of samples, and what they say together."""

    difficulty: Floats
    """Mean pass over systems: 1 is easy."""
    discrimination: Floats
    """Correlation of the sample with the sum of the others (item-rest); NaN without variation."""
    p: Floats
    """One-sided, of a discrimination below 0, Benjamini-Hochberg adjusted; NaN where untested."""
    flips: Floats
    """Share of the systems measured again whose repeats disagree; NaN where none was."""
    alpha: float
    """Cronbach's, which is Kuder and Richardson's formula 20 here; NaN with fewer than 2 rows."""
    alpha_interval: tuple[float, float]
    split_half: float
    """Correlation of samples' pass rates in odd and even repeats, stepped up (Spearman, Brown)."""


def item_statistics(values: Floats) -> ItemStatistics:
    """Describe every sample of (Y, T, S) results by system, repeat and sample.

    A system measured fewer times has NaN in its last repeats, for all samples alike.
    """
    with_all = np.asarray(~np.isnan(values).any(axis=2))
    rows = values[with_all]
    correlations = item_rest(rows)
    alpha = cronbach(rows)
    return ItemStatistics(
        difficulty=_system_means(values).mean(axis=0),
        discrimination=correlations,
        p=_below_zero(correlations, _freedom(with_all)),
        flips=_flips(values),
        alpha=alpha,
        alpha_interval=feldt(alpha, _persons(with_all), rows.shape[1]),
        split_half=split_half(values),
    )


def _system_means(values: Floats) -> Floats:
    """(Y, S) means over repeats."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1))


def item_rest(rows: Floats) -> Floats:
    """Return the (S,) correlation of each column of (N, S) rows with the sum of the others."""
    rest = rows.sum(axis=1, keepdims=True) - rows
    one, two = rows - rows.mean(axis=0), rest - rest.mean(axis=0)
    spread = np.sqrt((one**2).sum(axis=0) * (two**2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (one * two).sum(axis=0) / spread
    return np.where(spread > 1e-9, np.clip(found, -1.0, 1.0), np.nan)


def _persons(known: NDArray[np.bool_]) -> int:
    """Count what differs: systems where there are 3 or more, else the repeats of what is there."""
    systems = int(known.any(axis=1).sum())
    return systems if systems >= 3 else int(known.sum())


def _freedom(known: NDArray[np.bool_]) -> int:
    """Repeats of a system are no further systems: they do not count where there are several."""
    return _persons(known) - 2 if len(known) != 2 else 0


def _below_zero(correlations: Floats, freedom: int) -> Floats:
    found = np.full(len(correlations), np.nan)
    tested = ~np.isnan(correlations)
    if freedom < 1 or not tested.any():
        return found
    r = np.clip(correlations[tested], -1 + 1e-12, 1 - 1e-12)
    found[tested] = discoveries(special.stdtr(freedom, r * np.sqrt(freedom / (1 - r**2))))
    return found


def _flips(values: Floats) -> Floats:
    again = (~np.isnan(values).any(axis=2)).sum(axis=1) > 1
    if not again.any():
        return np.full(values.shape[2], np.nan)
    passes = values[again] >= 0.5
    known = ~np.isnan(values[again])
    some, every = (passes & known).any(axis=1), (passes | ~known).all(axis=1)
    return np.asarray((some & ~every).mean(axis=0), dtype=np.float64)


def cronbach(rows: Floats) -> float:
    """Return Cronbach's alpha (1951) of (N, S) rows; NaN where the sums do not differ.

    k / (k - 1) x (1 - sum of the items' variances / variance of the sums).
    """
    people, items = rows.shape
    if people < 2 or items < 2:
        return math.nan
    whole = float(rows.sum(axis=1).var(ddof=1))
    parts = float(rows.var(axis=0, ddof=1).sum())
    return items / (items - 1) * (1 - parts / whole) if whole > 1e-12 else math.nan


def feldt(alpha: float, people: int, items: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of an alpha over ``people`` rows (Feldt 1965)."""
    if math.isnan(alpha) or people < 2 or items < 2:
        return math.nan, math.nan
    one, two = people - 1, (people - 1) * (items - 1)
    tails = (special.fdtri(one, two, p) for p in ((1 + level) / 2, (1 - level) / 2))
    low, high = (1 - (1 - alpha) * float(f) for f in tails)
    return low, high


def split_half(values: Floats) -> float:
    """Return the reliability of samples' pass rates over repeats, mean over systems.

    The correlation of odd with even repeats of (Y, T, S) values, stepped up to all of them:
    2 r / (1 + r). NaN where no system was measured twice, or nothing varies.
    """
    found = [_halves(rows[~np.isnan(rows).any(axis=1)]) for rows in values]
    known = [2 * r / (1 + r) for r in found if not math.isnan(r) and r > -1]
    return float(np.mean(known)) if known else math.nan


def _halves(rows: Floats) -> float:
    even = len(rows) - len(rows) % 2
    if even < 2:
        return math.nan
    one, two = rows[0:even:2].mean(axis=0), rows[1:even:2].mean(axis=0)
    if one.std() < 1e-12 or two.std() < 1e-12:
        return math.nan
    return float(np.corrcoef(one, two)[0, 1])
