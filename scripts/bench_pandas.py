"""The statistics of a leaderboard in plain pandas, beside ours: same draws, same numbers, time.

What an analyst would write: group by system and sample, pivot, draw families of the pivot table,
take percentiles, subtract the baseline, flip signs, correct for many. Both see the same draws, so
every number must agree to 1e-9::

    python scripts/bench_pandas.py [--attempts 1000000] [--families 200] [--resamples 10000]

Two ways of drawing: ``loop`` takes one resample of the table after the other, as a bootstrap is
usually written; ``matrix`` multiplies the table by a matrix of weights, which most would not think
of. The first is the yardstick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from bench_leaderboard import EPOCHS, generated, timed

from qbench.benchmarks.analysis.clusters import clustered_mean
from qbench.benchmarks.analysis.comparison.multiplicity import holm
from qbench.benchmarks.analysis.comparison.paired import differences, flips
from qbench.benchmarks.analysis.economics.costofpass import per_problem
from qbench.benchmarks.analysis.frontier.pareto import losses, members
from qbench.benchmarks.analysis.outcomes import Outcomes
from qbench.benchmarks.analysis.resampling import percentile_interval, resampled, weights
from qbench.benchmarks.analysis.sums import sums
from qbench.benchmarks.analysis.validity import count

Draw = Callable[[pd.DataFrame, pd.Series], pd.DataFrame]
Found = dict[str, Any]
"""Name of a statistic to its values by system."""

COUNTED = ("attempts", "prompt_tokens", "completion_tokens", "seconds", "retries")


def frame_of(outcomes: Outcomes) -> pd.DataFrame:
    """Return attempts as a table."""
    return pd.DataFrame(
        {
            "system": outcomes.system,
            "sample": outcomes.sample,
            "family": outcomes.sample_family[outcomes.sample],
            "passed": outcomes.passed,
            "cost": outcomes.cost["saturated"],
            "prompt_tokens": outcomes.prompt_tokens,
            "completion_tokens": outcomes.completion_tokens,
            "seconds": outcomes.seconds,
            "retries": outcomes.retries,
        }
    )


def in_pandas(frame: pd.DataFrame, draw: Draw) -> Found:
    """Do it in pandas; the first system is the baseline."""
    counts = frame.groupby("system").agg(
        attempts=("passed", "size"),
        prompt_tokens=("prompt_tokens", "mean"),
        completion_tokens=("completion_tokens", "mean"),
        seconds=("seconds", "median"),
        retries=("retries", "sum"),
    )
    means = frame.groupby(["sample", "system"]).agg(
        passed=("passed", "mean"), cost=("cost", "mean")
    )
    rates, costs = (means[name].unstack() for name in ("passed", "cost"))  # noqa: PD010
    family = frame.groupby("sample")["family"].first()
    sizes = family.groupby(family).size()
    rate_draws = draw(rates.groupby(family).sum(), sizes)
    cost_draws = draw(costs.groupby(family).sum(), sizes)
    gaps = rates.sub(rates[0], axis=0).drop(columns=0)
    p = flipped(gaps.groupby(family).sum())
    residuals = (rates - rates.mean()).groupby(family).sum()
    squares = (residuals**2).div(1 - sizes / len(rates), axis=0)
    return {
        "pass rate": rates.mean(),
        "its error": np.sqrt(squares.sum()) / len(rates),
        "cost": costs.mean(),
        "its interval": interval(cost_draws),
        "cost of pass": interval(cost_draws / rate_draws),
        "by problem": (costs / rates).median(),
        "difference": gaps.mean(),
        "p": p,
        "adjusted p": corrected(p),
        "on the frontier": on_frontier(rate_draws, cost_draws),
    } | {name: counts[name] for name in COUNTED}


def drawn(families: int) -> Iterator[np.ndarray]:
    """Yield how often each family is drawn, resample by resample."""
    for block in weights(families):
        yield from block


def loop(table: pd.DataFrame, sizes: pd.Series) -> pd.DataFrame:
    """Draw families with replacement, add up what was drawn, once per resample."""
    made = []
    places = np.arange(len(table))
    for times in drawn(len(table)):
        chosen = np.repeat(places, times.astype(int))
        made.append(table.take(chosen).sum() / sizes.take(chosen).sum())
    return pd.DataFrame(made)


def matrix(table: pd.DataFrame, sizes: pd.Series) -> pd.DataFrame:
    """Draw as ``loop`` does, in products of a matrix of weights."""
    made = []
    for block in weights(len(table)):
        times = pd.DataFrame(block, columns=table.index)
        made.append(times.dot(table).div(times.dot(sizes), axis=0))
    return pd.concat(made, ignore_index=True)


def interval(draws: pd.DataFrame) -> pd.DataFrame:
    """Return 95 % percentile intervals; the outer ones of the two nearest draws."""
    low = draws.quantile(0.025, interpolation="lower")
    high = draws.quantile(0.975, interpolation="higher")
    return pd.DataFrame({"low": low, "high": high})


def flipped(totals: pd.DataFrame) -> pd.Series:
    """Return p of a sign-flip test of each column."""
    seen = totals.sum().abs() - 1e-12 * totals.abs().sum()
    extreme, number = pd.Series(0, index=totals.columns), 0
    for block in flips(len(totals), seed=0):
        signs = pd.DataFrame(2 * block - 1, columns=totals.index)
        extreme += signs.dot(totals).abs().ge(seen).sum()
        number += len(block)
    return (1 + extreme) / (1 + number)


def corrected(p: pd.Series) -> pd.Series:
    """Return Holm's adjusted p."""
    ordered = p.sort_values()
    stepped = ordered * np.arange(len(p), 0, -1)
    return stepped.cummax().clip(upper=1.0).reindex(p.index)


def on_frontier(rates: pd.DataFrame, costs: pd.DataFrame) -> pd.Series:
    """Return in what share of draws a system is undominated."""
    rates = rates.round(12)  # equal ones must be equal, in whatever order they were added
    free = pd.DataFrame(True, index=rates.index, columns=rates.columns)
    for other in rates.columns:
        no_worse = rates.le(rates[other], axis=0) & costs.ge(costs[other], axis=0)
        better = rates.lt(rates[other], axis=0) | costs.gt(costs[other], axis=0)
        free &= ~(no_worse & better)
    return free.mean()


def ours(outcomes: Outcomes) -> Found:
    """Do it with qbench's functions."""
    reduced = sums(outcomes, "saturated")
    rates, costs = reduced.rates, reduced.costs
    rate_draws, cost_draws = resampled(reduced)
    pairs = [(rate, rates[0]) for rate in rates[1:]]
    gaps = [gap for gap in differences(pairs, reduced.family, epochs=EPOCHS) if gap is not None]
    p = [gap.p for gap in gaps]
    means = [clustered_mean(rate, reduced.family) for rate in rates]
    free = members(losses((rate_draws, True), (cost_draws, False)))
    counted = count(outcomes, "saturated")
    return {
        "pass rate": [mean.value for mean in means],
        "its error": [mean.error for mean in means],
        "cost": costs.mean(axis=1),
        "its interval": [percentile_interval(one) for one in cost_draws.T],
        "cost of pass": [percentile_interval(one) for one in per_problem(cost_draws, rate_draws).T],
        "by problem": np.median(per_problem(costs, rates), axis=1),
        "difference": [gap.mean.value for gap in gaps],
        "p": p,
        "adjusted p": holm(p),
        "on the frontier": free.mean(axis=0),
    } | {name: [getattr(one, name) for one in counted] for name in COUNTED}


def compared(one: Found, two: Found) -> float:
    """Return the largest relative difference; raise AssertionError where they disagree."""
    worst = 0.0
    for name, values in one.items():
        a, b = (np.asarray(found, dtype=np.float64) for found in (values, two[name]))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)
        known = np.isfinite(a) & (a != 0)
        worst = max(worst, float(np.abs(b[known] / a[known] - 1).max(initial=0)))
    return worst


def main() -> None:
    """Time all three, and compare every number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--families", type=int, default=0)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    outcomes = generated(given.attempts, given.families)
    frame = frame_of(outcomes)
    print(f"{len(frame):,} attempts, {len(outcomes.families):,} families, 10,000 resamples")
    kept: dict[str, Found] = {}
    wall, cpu = timed("qbench", lambda: kept.update(ours=ours(outcomes)), given.runs)
    ways: dict[str, Draw] = {"loop": loop, "matrix": matrix}
    for name, draw in ways.items():
        slow = timed(f"pandas, {name}", lambda d=draw: kept.update({"": in_pandas(frame, d)}), 1)
        worst, number = compared(kept["ours"], kept[""]), len(kept["ours"])
        print(
            f"  {slow[0] / wall:.1f} times as long ({slow[1] / cpu:.1f} times the CPU); "
            f"{number} statistics agree to {worst:.0e}"
        )


if __name__ == "__main__":
    main()
