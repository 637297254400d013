"""Frontiers of published tables, which tell one row per system and no attempts.

What is not told must be assumed, and the assumptions go with the result: tasks are taken as
independent (clusters are unknown), systems as independent of each other (pairs are unknown, which
makes differences look less certain than they are), and a mean cost without an error as exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.economics.costofpass import per_problem, ratio_interval
from qbench.benchmarks.analysis.frontier.pareto import dominance, losses, members
from qbench.benchmarks.analysis.resampling import RESAMPLES, percentile_interval
from qbench.benchmarks.analysis.sums import Floats

ASSUMED = (
    "tasks are independent (clusters are not told)",
    "systems are independent of each other (pairs are not told)",
    "pass rates are drawn from Beta(passed + 1/2, failed + 1/2)",
    "mean costs are drawn from a normal distribution where an error is told, else taken as exact",
)
"""What a frontier of aggregates rests on, for people."""


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """A row of a published table."""

    name: str
    n: float
    """Independent trials: the tasks, where each was tried several times, or an effective size."""
    passed: float
    """Of n; a mean over several tries need not be whole."""
    cost: float | None = None
    """Mean dollars per attempt. None, or anything not above 0, is unknown: nothing is free."""
    cost_error: float | None = None
    """Standard error of the mean cost; None where it is not told."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a row stands."""

    name: str
    pass_rate: float
    interval: tuple[float, float]
    cost_of_pass: float | None
    """None where the cost is unknown."""
    cost_of_pass_interval: tuple[float, float] | None
    undominated: bool
    on_frontier: float | None
    """Probability; None where the cost is unknown."""
    dominated_by: dict[str, float]


def parametric(
    rows: Sequence[Aggregate], *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return (B, Y) drawn pass rates and mean costs; unknown costs are NaN.

    Jeffreys' prior for rates (Brown, Cai and DasGupta 2001). A drawn cost below 0 is cut to 0.

    Raises:
        ValueError: passes outside 0 to n, or no trial.

    """
    wrong = [row.name for row in rows if row.n < 1 or not 0 <= row.passed <= row.n]
    if wrong:
        raise ValueError(f"passes must be from 0 to n: {', '.join(wrong)}")
    rng = np.random.default_rng(seed)
    shape = (resamples, len(rows))
    passed = np.array([row.passed for row in rows])
    failed = np.array([row.n - row.passed for row in rows])
    rates = rng.beta(passed + 0.5, failed + 0.5, size=shape)
    costs = np.array([_cost(row) for row in rows])
    errors = np.array([row.cost_error or 0.0 for row in rows])
    return rates, np.maximum(costs + errors * rng.standard_normal(shape), 0.0)


def _cost(row: Aggregate) -> float:
    return row.cost if row.cost is not None and row.cost > 0 else math.nan


def standings(
    rows: Sequence[Aggregate], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Standing]:
    """Return where each row stands on the accuracy-cost plane, in the order given.

    Raises:
        ValueError: passes outside 0 to n, or no trial.

    """
    if not rows:
        return []
    rates, costs = parametric(rows, resamples=resamples, seed=seed)
    drawn = losses((rates, True), (costs, False))
    shares, beats = members(drawn).mean(axis=0), dominance(drawn)
    value = np.array([[row.passed / row.n for row in rows]])
    price = np.array([[_cost(row) for row in rows]])
    now = members(losses((value, True), (price, False)))[0]
    return [
        Standing(
            name=row.name,
            pass_rate=float(value[0, at]),
            interval=percentile_interval(rates[:, at]),
            cost_of_pass=_known(float(per_problem(price, value)[0, at])),
            cost_of_pass_interval=_per_pass(row, costs[:, at], rates[:, at]),
            undominated=bool(now[at]),
            on_frontier=None if math.isnan(price[0, at]) else float(shares[at]),
            dominated_by={rows[o].name: float(beats[o, at]) for o in _places(beats[:, at] > 0)},
        )
        for at, row in enumerate(rows)
    ]


def _places(where: NDArray[np.bool_]) -> list[int]:
    return [int(place) for place in np.flatnonzero(where)]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _per_pass(row: Aggregate, costs: Floats, rates: Floats) -> tuple[float, float] | None:
    price = _cost(row)
    if math.isnan(price):
        return None
    if not row.passed:
        return ratio_interval(price, int(row.n), costs, np.zeros_like(rates))
    return percentile_interval(per_problem(costs, rates))
