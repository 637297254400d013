"""What a budget per sample buys: every system with every way of using its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.resampling import percentile_interval
from qbench.benchmarks.analysis.scaling.strategies import (
    Outlook,
    Strategy,
    affordable,
    outlooks,
    standing,
)
from qbench.benchmarks.analysis.scaling.tallies import Row
from qbench.benchmarks.analysis.scaling.weak import WeakTest
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.reports.evidence import estimate
from qbench.service.reports.scaling.curves import Bench
from qbench.service.reports.scaling.values import Choice, Group, Plan
from qbench.service.reports.values import Estimate

GROUPS: tuple[Group, ...] = ("within reach", "upper bound")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A plan before it is judged, with its place among the draws."""

    label: str
    strategy: Strategy
    k: int
    share: Estimate
    """Of right answers."""
    passed: Floats
    """(S,) with NaN where the system's curve does not go."""
    cost: Floats


def candidates(
    bench: Bench, rows: Sequence[tuple[str, Row, tuple[int, ...], WeakTest | None]]
) -> dict[Group, list[Candidate]]:
    """List the plans of all priced systems, by group."""
    found: dict[Group, list[Candidate]] = {group: [] for group in GROUPS}
    for label, row, ks, weak in rows:
        made = outlooks(row, ks, bench.verifier, at_once=bench.asked.at_once)
        if weak is not None:
            made.append(weak.outlook(ks, at_once=bench.asked.at_once))
        for outlook in made:
            found[group_of(outlook.strategy)] += _split(bench, label, row, outlook)
    return found


def group_of(strategy: Strategy) -> Group:
    """Say whether a strategy needs a verifier that is never wrong."""
    return "upper bound" if strategy == "until right" else "within reach"


def _split(bench: Bench, label: str, row: Row, outlook: Outlook) -> list[Candidate]:
    shares = bench.shares(row, outlook.passed)
    passed, cost = row.spread(outlook.passed), row.spread(outlook.cost)
    return [
        Candidate(
            label=label,
            strategy=outlook.strategy,
            k=k,
            share=shares[place],
            passed=passed[place],
            cost=cost[place],
        )
        for place, k in enumerate(outlook.ks)
        if k > 1 or outlook.strategy in {"once", "until right"}  # one attempt needs no choosing
    ]


def judged(
    bench: Bench, group: Group, found: Sequence[Candidate]
) -> tuple[list[Plan], list[Choice]]:
    """Say who of one group is worth considering, and what each budget buys."""
    if not found:
        return [], [Choice(budget=b, group=group, plan=None, chance=0.0) for b in _budgets(bench)]
    passed, cost = np.stack([c.passed for c in found]), np.stack([c.cost for c in found])
    draws = bench.redraws.means(passed), bench.redraws.means(cost)
    means = np.nanmean(passed, axis=1), np.nanmean(cost, axis=1)
    stands = standing(*means, draws)
    plans = [
        Plan(
            label=one.label,
            strategy=one.strategy,
            group=group,
            k=one.k,
            cost=estimate(float(means[1][place]), percentile_interval(draws[1][:, place])),
            passed=one.share,
            undominated=stands.undominated[place],
            on_frontier=stands.chance[place],
        )
        for place, one in enumerate(found)
    ]
    choices = []
    for budget in _budgets(bench):
        chosen = affordable(*means, draws, budget)
        choices.append(
            Choice(
                budget=budget,
                group=group,
                plan=plans[chosen[0]] if chosen else None,
                chance=chosen[1] if chosen else 0.0,
            )
        )
    return sorted(plans, key=lambda plan: plan.cost.value), choices


def _budgets(bench: Bench) -> list[float]:
    return sorted(set(bench.asked.budgets))
