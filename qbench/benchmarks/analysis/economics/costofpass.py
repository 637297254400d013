"""Cost-of-pass: expected dollars for one correct answer (Erol et al., arXiv 2504.13359).

Two statistics that must not be mixed: *per problem*, cost / pass rate of each sample (Eq. 2), the
minimum over systems first and the mean over problems second (Eq. 8); and the *ratio of means*,
mean cost / mean pass rate. An unsolved problem costs infinity, which is a value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from qbench.benchmarks.analysis.rates import zero_pass_bound
from qbench.benchmarks.analysis.resampling import expanded, percentile_interval
from qbench.benchmarks.analysis.sums import Floats


def per_problem(costs: Floats, rates: Floats) -> Floats:
    """Return v = C / R elementwise; infinity where R is 0, NaN where either is unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        v = costs / rates
    return np.where(np.isnan(costs) | np.isnan(rates), np.nan, np.where(rates == 0, np.inf, v))


def ratio_of_means(costs: Floats, rates: Floats) -> float:
    """Return mean cost / mean pass rate over the samples where both are known."""
    known = ~(np.isnan(costs) | np.isnan(rates))
    if not known.any():
        return float("nan")
    passed = float(rates[known].mean())
    return float(costs[known].mean()) / passed if passed else float("inf")


def ratio_interval(
    cost: float, clusters: int, draws_cost: Floats, draws_rate: Floats
) -> tuple[float, float]:
    """Return the 95 % interval of a ratio of means from joint (B,) draws of ``clusters`` families.

    Without any pass the draws say nothing: the lower end is then the mean cost over the exact
    upper bound of the pass rate, the upper end infinity.
    """
    if not np.nansum(draws_rate):
        return cost / zero_pass_bound(max(1, clusters)), float("inf")
    return percentile_interval(per_problem(draws_cost, draws_rate), expanded(clusters))


def frontier(v: Mapping[str, Floats], expert: float | Floats = np.inf) -> Floats:
    """Return V_p = min over models and the expert, for each problem (Eqs. 3-5).

    Raises:
        ValueError: a model lacks a problem that others have.

    """
    rows = list(v.values())
    if any(np.isnan(row).any() for row in rows):
        raise ValueError("a model has no record for a problem: run it, or leave the problem out")
    start = np.asarray(expert, dtype=np.float64)
    return np.minimum.reduce([*rows, np.broadcast_to(start, rows[0].shape)]) if rows else start


def gain(v: Mapping[str, Floats], new: str, expert: float | Floats) -> float:
    """Return the mean fall of the frontier when ``new`` joins the other models (Eq. 9)."""
    others = {name: row for name, row in v.items() if name != new}
    before = frontier(others, expert) if others else np.broadcast_to(expert, v[new].shape)
    return float(np.mean(before - frontier(v, expert)))


def essentialness(v: Mapping[str, Floats], family: Collection[str], expert: float) -> float:
    """Return (V_without - V_all) / V_without for a family of models, from 0 to 1.

    0 where nothing costs anything.

    Raises:
        ValueError: no finite expert bounds a problem that the others do not solve.

    """
    others = {name: row for name, row in v.items() if name not in family}
    some = next(iter(v.values()))
    without = frontier(others, expert) if others else np.broadcast_to(expert, some.shape)
    before = float(np.mean(without))
    if not np.isfinite(before):
        raise ValueError("a problem is unsolved without the family: give the cost of an expert")
    if before == 0:
        return 0.0
    return (before - float(np.mean(frontier(v, expert)))) / before


def capped_retries(cost: float, rate: float, attempts: int) -> tuple[float, float]:
    """Return (success, expected cost) of at most ``attempts`` tries at C and R each.

    Success is 1 - (1 - R)^K and the expected cost C x success / R, so their ratio stays C / R.
    """
    success = 1 - (1 - rate) ** attempts
    return success, cost * (success / rate if rate else attempts)


def with_fallback(cost: float, rate: float, attempts: int, expert: float) -> float:
    """Return the expected cost when an expert takes over after ``attempts`` failures."""
    success, spent = capped_retries(cost, rate, attempts)
    return spent + (1 - success) * expert
