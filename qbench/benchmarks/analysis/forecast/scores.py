"""Between counts and log odds, dollars and their logarithms: how the model of effects is fed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.forecast.effects import (
    Cells,
    Effects,
    Measured,
    at,
    fitted,
    likeliest,
)
from qbench.benchmarks.analysis.sums import Floats

LEVEL = 0.8
"""Of a forecast's interval: what is promised to hold four times in five."""
DRAWS = 2_000
LEAST_ERROR = 0.02
"""Relative error that a measured cost has at least: the same machine is not as fast every day."""
ROUNDS = 2
"""Of weighing cells by what is expected there."""
TRIED = 8
"""Newest runs that are held out, one at a time."""
COST_SCALE = 1.5
"""Prior spread of log costs: components usually differ by factors up to about twenty."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A forecast: half of the outcomes lie below ``middle``, ``LEVEL`` between the ends."""

    middle: float
    low: float
    high: float


def interval(draws: Floats, level: float = LEVEL) -> Interval:
    """Return the central interval of (B,) draws."""
    ends = (0.5, (1 - level) / 2, (1 + level) / 2)
    middle, low, high = (float(x) for x in np.quantile(draws, ends))
    return Interval(middle=middle, low=low, high=high)


def fitted_rates(
    cells: Cells, rate: Floats, trials: Floats, *, start: Floats | None = None
) -> Effects:
    """Fit log odds to (N,) pass rates over (N,) effective trials.

    Starts with the rates' own log odds and then weighs each cell by what the model expects there,
    not by what was seen: a cell without a pass must not look surer than it is (penalised
    quasi-likelihood, Breslow and Clayton 1993).
    """
    passed, failed = rate * trials + 0.5, (1 - rate) * trials + 0.5
    measured = Measured(
        cells=cells, value=np.log(passed / failed), variance=1 / passed + 1 / failed
    )
    for _ in range(ROUNDS):
        start = likeliest(measured, start=start)
        measured = _weighed(at(start, measured).means(cells), cells, rate, trials)
    return fitted(measured, start=start)


def _weighed(odds: Floats, cells: Cells, rate: Floats, trials: Floats) -> Measured:
    """Take (N,) rates to log odds at the log odds that are expected."""
    least = 0.5 / (trials + 1)
    expected = np.clip(special.expit(odds), least, 1 - least)
    slope = expected * (1 - expected)
    value = special.logit(expected) + (rate - expected) / slope
    return Measured(cells=cells, value=value, variance=1 / (trials * slope))


def log_costs(cells: Cells, cost: Floats, error: Floats) -> Measured:
    """Take (N,) mean dollars, above 0, with standard errors to their logarithms."""
    return Measured(
        cells=cells, value=np.log(cost), variance=np.maximum(error / cost, LEAST_ERROR) ** 2
    )


def effective_trials(rate: Floats, error: Floats, samples: Floats) -> Floats:
    """Return how many independent trials have this standard error, from 1 to ``samples``.

    Where the error is 0 all samples agree, and says nothing: half of them are counted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        trials = rate * (1 - rate) / error**2
    return np.asarray(np.clip(np.where(error > 0, trials, samples / 2), 1.0, samples))


def scores(effects: Effects, wanted: Cells, trials: Floats, *, seed: int = 0) -> Floats:
    """Return (B, M) draws of the pass rates that a run over (M,) effective trials will measure."""
    true = special.expit(effects.draws(wanted, DRAWS, seed=seed))
    whole = np.maximum(1, np.rint(trials)).astype(np.int64)
    return np.asarray(np.random.default_rng(seed + 1).binomial(whole, true) / whole)


def costs(effects: Effects, wanted: Cells, *, seed: int = 0) -> Floats:
    """Return (B, M) draws of mean dollars per attempt."""
    return np.asarray(np.exp(effects.draws(wanted, DRAWS, seed=seed)))


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How forecasts fared on runs that they had not seen."""

    covered: int
    """Means inside their interval."""
    total: int
    error: float
    """Mean absolute error of the middle, in the unit of the value."""


def held_out_scores(
    cells: Cells, rate: Floats, trials: Floats, run: NDArray[np.int64], owner: NDArray[np.int64]
) -> HeldOut:
    """Forecast each of the newest ``TRIED`` runs from all others.

    Args:
        cells: N cells.
        rate: (N,) pass rates as measured.
        trials: (N,) effective trials.
        run: (N,) run of each cell, newest first in number.
        owner: (N,) system of each cell; what is compared is a system's mean over its cells.

    """
    gaps: list[float] = []
    covered, start = 0, None
    for one in np.unique(run)[:TRIED]:
        out = run == one
        if out.all():
            continue
        effects = fitted_rates(cells.only(~out), rate[~out], trials[~out], start=start)
        start = np.median(effects.log_spreads, axis=0)
        drawn = scores(effects, cells.only(out), trials[out])
        for system in np.unique(owner[out]):
            mine = owner[out] == system
            told = interval(_weighted(drawn[:, mine], trials[out][mine]))
            seen = float(np.average(rate[out][mine], weights=trials[out][mine]))
            gaps.append(abs(seen - told.middle))
            covered += told.low <= seen <= told.high
    error = float(np.mean(gaps)) if gaps else np.nan
    return HeldOut(covered=int(covered), total=len(gaps), error=error)


def _weighted(draws: Floats, weights: Floats) -> Floats:
    return np.asarray(draws @ (weights / weights.sum()))
