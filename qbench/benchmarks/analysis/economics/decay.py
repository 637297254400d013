"""How fast a frontier falls: V(t) = a exp(-b t) + c and its halving time (arXiv 2504.13359)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.resampling import percentile_interval
from qbench.benchmarks.analysis.sums import Floats

DAYS_PER_MONTH = 365.25 / 12
FEWEST = 4
"""Dates: three parameters need a fourth point to say anything about their fit."""

GRID = 400
"""Rates that are tried, evenly in their logarithm."""
FASTEST = 12.0
"""Rates up to this many over the shortest step between dates, ..."""
SLOWEST = 0.02
"""... down to this one over the whole span: slower ones look like straight lines."""
FLAT = 1e-9
"""A fall below this share of V is no fall."""


@dataclass(frozen=True, kw_only=True)
class Decay:
    """A fitted fall."""

    a: float
    b: float
    """Per unit of t."""
    c: float
    interval: tuple[float, float]
    """Of b, 95 %, from the resamples; 0 or infinite at an end that the dates do not bound."""

    @property
    def halving(self) -> float:
        """Time in which what can fall halves: ln 2 / b."""
        return halving_time(self.b)

    @property
    def halving_interval(self) -> tuple[float, float]:
        """Of the halving time; infinite where a rate of zero is not excluded."""
        low, high = self.interval
        return halving_time(high), halving_time(low)


def halving_time(rate: float) -> float:
    """Return ln 2 / b; infinity for a rate of 0."""
    return math.log(2) / rate if rate > 0 else math.inf


def decay(times: Floats, values: Floats, draws: Floats) -> Decay | None:
    """Fit a exp(-b t) + c by least squares with a, c >= 0; None where nothing falls.

    For each b of a grid the best a and c are known in closed form; the best b is refined by a
    parabola. Draws are fitted alike. A draw that does not fall has b = 0.

    Args:
        times: (T,) from the first date on.
        values: (T,) finite V at those dates.
        draws: (B, T) resampled V; draws with infinity are left out.

    Raises:
        ValueError: fewer than ``FEWEST`` different times, or a value is infinite.

    """
    if len(np.unique(times)) < FEWEST:
        raise ValueError(f"a decay needs at least {FEWEST} dates")
    if not np.isfinite(values).all():
        raise ValueError("an infinite frontier has no decay: give the cost of an expert")
    since = times - times.min()
    a, b, c = (float(part[0]) for part in _fits(since, values[None, :]))
    if b == 0:
        return None
    kept = draws[np.isfinite(draws).all(axis=1)]
    drawn = _fits(since, kept)[1] if len(kept) else np.zeros(1)
    low, high = percentile_interval(drawn)
    return Decay(a=a, b=b, c=c, interval=_opened(min(low, b), max(high, b), _rates(since)))


def _opened(low: float, high: float, rates: Floats) -> tuple[float, float]:
    """Open an end that stands at an edge of the rates that were tried."""
    slow, fast = float(rates[1]), float(rates[-2])
    return (0.0 if low <= slow else low), (math.inf if high >= fast else high)


def _fits(times: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a, b, c of each of (B, T) rows; b and a are 0 where a row does not fall."""
    rates = _rates(times)
    misfits = np.empty((len(values), len(rates)))
    for place, rate in enumerate(rates):
        misfits[:, place] = _linear(np.exp(-rate * times), values)[2]
    at = misfits.argmin(axis=1)
    b = _refined(np.log(rates), misfits, at)
    a, c, best = _linear(np.exp(-b[:, None] * times), values)
    worse = best > misfits[np.arange(len(values)), at]
    b = np.where(worse, rates[at], b)
    a, c, _ = _linear(np.exp(-b[:, None] * times), values)
    falls = a > FLAT * np.abs(values).max(axis=1)
    return np.where(falls, a, 0.0), np.where(falls, b, 0.0), np.where(falls, c, values.mean(axis=1))


def _rates(times: Floats) -> Floats:
    steps = np.diff(np.unique(times))
    return np.geomspace(SLOWEST / float(times.max()), FASTEST / float(steps.min()), GRID)


def _linear(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a, c >= 0 of the best y = a x + c, and its sum of squares, row by row."""
    mx, my = x.mean(axis=-1), y.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = ((x * y).mean(axis=-1) - mx * my) / ((x * x).mean(axis=-1) - mx * mx)
        through = (x * y).sum(axis=-1) / (x * x).sum(axis=-1)
    a = np.maximum(0.0, np.nan_to_num(slope))
    c = my - a * mx
    a = np.where(c < 0, np.maximum(0.0, through), a)
    c = np.where(c < 0, 0.0, c)
    residual = y - a[:, None] * x - c[:, None]
    return a, c, (residual * residual).sum(axis=1)


def _refined(
    logs: Floats, misfits: Floats, at: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> Floats:
    """Return the rate at the vertex of the parabola through the best point and its neighbours."""
    middle = np.clip(at, 1, len(logs) - 2)
    rows = np.arange(len(at))
    left, mid, right = (misfits[rows, middle + step] for step in (-1, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        move = np.nan_to_num((left - right) / (2 * (left - 2 * mid + right)))
    best: Floats = np.exp(logs[middle] + np.clip(move, -1.0, 1.0) * (logs[1] - logs[0]))
    return best
