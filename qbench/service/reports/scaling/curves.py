"""From one system's attempts to its curves, their fit, and what a verifier makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.clusters import pass_rate
from qbench.benchmarks.analysis.resampling import percentile_interval
from qbench.benchmarks.analysis.scaling.coverage import coverage, points, reliability, voted
from qbench.benchmarks.analysis.scaling.difficulty import TYPES, rates_of
from qbench.benchmarks.analysis.scaling.saturation import (
    FEWEST,
    Model,
    fitted,
    levelled,
    unevenness,
)
from qbench.benchmarks.analysis.scaling.strategies import PERFECT, spent
from qbench.benchmarks.analysis.scaling.tallies import Redraws, Row
from qbench.benchmarks.analysis.scaling.verifier import (
    Stakes,
    Verifier,
    answers,
    best_cap,
    measured,
    reward,
    unlimited,
)
from qbench.benchmarks.analysis.scaling.weak import WeakTest, errors
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.reports.evidence import estimate
from qbench.service.reports.scaling.values import (
    Accepted,
    Against,
    Checked,
    Depth,
    Reach,
    Saturation,
    ScalingAsked,
    Tested,
)
from qbench.service.reports.values import Estimate

REFITS = 200
"""Resampled curves that are fitted, for the intervals of a fit."""
OPEN_END = 0.1
"""Share of F_max still missing at the last k, from which F_max is called extrapolated."""
LEVEL = 0.01
"""Share of F_max still missing up to which the last k has reached it."""
WIDE = 0.2
"""Interval of F_max from which it is called unknown."""
MISFIT = 0.01
"""Distance between fit and curve from which one p_x for all samples is doubted."""
EXTRAPOLATED = "the curve ends below 90 % of F_max, which is extrapolated"
TOGETHER = "F_max and p_x cannot be told apart: more attempts per sample would"
UNEVEN = 0.1
"""Share of resamples that allow equally hard samples, below which they are said to differ."""
MIXED = "samples differ in difficulty, which the model does not know: F_max is a lower bound"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every system of a run is measured with."""

    asked: ScalingAsked
    redraws: Redraws
    verifier: Verifier | None

    @property
    def stakes(self) -> Stakes:
        """What answers and attempts are worth."""
        asked = self.asked
        return Stakes(false_positive=asked.false_positive_cost, attempt=asked.attempt_cost)

    def shares(self, row: Row, values: Floats) -> list[Estimate]:
        """Estimate the means of (S', K) shares, with the interval of a pass rate."""
        family = self.redraws.family[row.kept]
        found = [pass_rate(one, row.n.astype(np.float64), family) for one in values.T]
        return [estimate(one.value, (one.low, one.high)) for one in found if one]

    def amounts(self, row: Row, values: Floats) -> list[Estimate] | None:
        """Estimate the means of (S', K) amounts; None when one is unknown."""
        if np.isnan(values).any():
            return None
        draws = self.redraws.means(row.spread(values))
        return [
            estimate(float(mean), percentile_interval(draws[:, place]))
            for place, mean in enumerate(values.mean(axis=0))
        ]


def depths(bench: Bench, row: Row, ks: Sequence[int]) -> tuple[Depth, ...]:
    """Tell what k attempts reach, for each k."""
    some, every, vote = (
        bench.shares(row, curve(row.n, row.passed, ks)) for curve in (coverage, reliability, voted)
    )
    places = np.asarray(ks) - 1
    tries = measured(row.n, row.passed, PERFECT, max(ks))
    stopping = bench.amounts(row, spent(row, tries)[:, places])
    at_once = bench.amounts(row, row.cost[:, None] * np.asarray(ks))
    return tuple(
        Depth(
            k=k,
            coverage=some[place],
            reliability=every[place],
            vote=vote[place],
            cost=stopping[place] if stopping else None,
            cost_at_once=at_once[place] if at_once else None,
        )
        for place, k in enumerate(ks)
    )


def saturation(bench: Bench, row: Row) -> Saturation | None:
    """Fit the performance model; None where there is too little to fit."""
    if row.most < FEWEST or not row.passed.any():
        return None
    ks, least = points(row.most), bench.asked.least_gain
    values = coverage(row.n, row.passed, ks)
    draws = bench.redraws.means(row.spread(values))
    draws = draws[~np.isnan(draws).any(axis=1)]
    curve = values.mean(axis=0)
    found, again = fitted(ks, curve[None]), fitted(ks, draws[:REFITS])
    whole = coverage(row.n, row.passed, range(1, row.most + 1)).mean(axis=0)
    tries = np.asarray(ks, dtype=np.float64)
    error = float(np.abs(found.reached(tries)[0] - curve).max())
    most = _most(found, again, bench.shares(row, values[:, -1:])[0], row.most)
    mixed = error > MISFIT or _uneven(bench, row)
    return Saturation(
        most=most,
        hit=_spread(found.hit, again.hit),
        point=_spread(found.saturation(least), again.saturation(least)),
        seen=levelled(whole, least),
        gain=float(found.gain(tries[-1:])[0, 0]),
        error=error,
        lower_bound=mixed,
        cautions=_cautions(found, most, row.most, mixed=mixed),
    )


def _spread(value: Floats, draws: Floats) -> Estimate:
    return estimate(float(value[0]), percentile_interval(draws))


def _most(found: Model, again: Model, last: Estimate, tries: int) -> Estimate:
    """Estimate F_max; where the curve has reached it, no surer than the curve's last point.

    Resamples cannot show the samples that are never solved where none was seen.
    """
    most = _spread(found.most, again.most)
    if float((1 - found.hit[0]) ** tries) > LEVEL:
        return most
    return estimate(most.value, (min(most.low, last.low), most.high))


def _uneven(bench: Bench, row: Row) -> bool:
    draws = bench.redraws.means(row.spread(reliability(row.n, row.passed, (1, 2, 3))))
    return unevenness(draws) < UNEVEN


def _cautions(found: Model, most: Estimate, last: int, *, mixed: bool) -> tuple[str, ...]:
    said = []
    missing = float((1 - found.hit[0]) ** last)
    if missing > OPEN_END:
        said.append(EXTRAPOLATED)
    if most.high - most.low > WIDE or (missing > OPEN_END and most.high >= 1):
        said.append(TOGETHER)
    if mixed:
        said.append(MIXED)
    return tuple(said)


def checked(bench: Bench, row: Row, ks: Sequence[int]) -> Checked | None:
    """Tell what resampling until the verifier accepts reaches; None where none is supposed."""
    verifier, stakes = bench.verifier, bench.stakes
    if verifier is None:
        return None
    tries = measured(row.n, row.passed, verifier, row.most)
    curve = reward(tries, verifier, stakes)
    draws = bench.redraws.means(row.spread(curve))
    draws = draws[~np.isnan(draws).any(axis=1)]
    best, _ = best_cap(curve.mean(axis=0))
    low, high = percentile_interval(np.array([best_cap(one)[0] for one in draws], dtype=float))
    right, _ = answers(tries, verifier)
    at_least = bench.shares(row, right[:, -1:])[0]
    at_most = _at_most(bench, row, verifier)
    ceiling, best_of_all = _by_law(bench, row, verifier)
    return Checked(
        depths=_accepted(bench, row, verifier, ks),
        at_least=at_least,
        ceiling=_between(ceiling, at_least.value, at_most.value) if ceiling else None,
        at_most=at_most,
        best=best,
        best_low=min(int(low), best),
        best_high=max(int(high), best),
        rising=best == row.most,
        best_of_all=best_of_all,
    )


def tested(bench: Bench, weak: WeakTest, ks: Sequence[int]) -> Tested:
    """Tell what resampling until a recorded weak test accepts reaches."""
    row, stakes = weak.row, bench.stakes
    right, false = weak.answers(ks)
    gained = right - stakes.false_positive * false - stakes.attempt * weak.made(ks)
    shares = bench.shares(row, right), bench.shares(row, false)
    rewards, cost = (
        bench.amounts(row, gained),
        bench.amounts(row, weak.outlook(ks, at_once=False).cost),
    )
    assert rewards is not None
    completeness, soundness, accuracy = _errors(bench, weak)
    return Tested(
        completeness=completeness,
        soundness=soundness,
        accuracy=accuracy,
        depths=tuple(
            Accepted(
                k=k,
                right=shares[0][place],
                false=shares[1][place],
                reward=rewards[place],
                attempts=float(weak.made((k,)).mean()),
                cost=cost[place] if cost else None,
            )
            for place, k in enumerate(ks)
        ),
    )


def _errors(bench: Bench, weak: WeakTest) -> list[Estimate | None]:
    shares = weak.shares()
    draws = errors(bench.redraws.means(weak.row.spread(shares.T)).T)
    return [
        None if np.isnan(value) else _spread(np.array([value]), again)
        for value, again in zip(errors(shares.mean(axis=1)), draws, strict=True)
    ]


def _by_law(bench: Bench, row: Row, verifier: Verifier) -> tuple[Estimate | None, float | None]:
    """Return the ceiling and the best K of all under the beta law; None where it is unknown."""
    if row.most < 2:
        return None, None
    values = reliability(row.n, row.passed, (1, 2))
    draws = bench.redraws.means(row.spread(values))[:REFITS]
    rates = rates_of(*values.mean(axis=0)[:, None])
    again = rates_of(*draws[~np.isnan(draws).any(axis=1)].T)
    ceilings = verifier.ceiling(rates).mean(axis=1), verifier.ceiling(again).mean(axis=1)
    even = np.full(TYPES, 1 / TYPES)
    return _spread(*ceilings), unlimited(rates[0], even, verifier, bench.stakes)[0]


def _between(found: Estimate, low: float, high: float) -> Estimate:
    """Keep an estimate's value between two bounds; its interval keeps its ends."""
    return estimate(min(max(found.value, low), high), (found.low, found.high))


def _accepted(
    bench: Bench, row: Row, verifier: Verifier, ks: Sequence[int]
) -> tuple[Accepted, ...]:
    places = np.asarray(ks) - 1
    tries = measured(row.n, row.passed, verifier, max(ks))
    right, false = (bench.shares(row, one[:, places]) for one in answers(tries, verifier))
    gained = bench.amounts(row, reward(tries, verifier, bench.stakes)[:, places])
    cost = bench.amounts(row, spent(row, tries)[:, places])
    assert gained is not None
    return tuple(
        Accepted(
            k=k,
            right=right[place],
            false=false[place],
            reward=gained[place],
            attempts=float(tries.made[:, k - 1].mean()),
            cost=cost[place] if cost else None,
        )
        for place, k in enumerate(ks)
    )


def _at_most(bench: Bench, row: Row, verifier: Verifier) -> Estimate:
    rate = bench.shares(row, row.rates[:, None])[0]
    value, low, high = verifier.ceiling(np.array([rate.value, rate.low, rate.high]))
    return Estimate(value=float(value), low=float(low), high=float(high))


def against(bench: Bench, weak: Row, strong: Row, name: str) -> Against | None:
    """Compare the verifier's ceiling of a system with one attempt of the strongest."""
    verifier = bench.verifier
    if verifier is None:
        return None
    right, _ = answers(measured(weak.n, weak.passed, verifier, weak.most), verifier)
    reached = right[:, -1:]
    rows = (weak.spread(weak.rates[:, None]), weak.spread(reached))
    alone = strong.spread(strong.rates[:, None])
    draws = bench.redraws.means(np.concatenate([*rows, alone]))
    pass_rate = float(strong.rates.mean())
    most = float(verifier.ceiling(np.array(weak.rates.mean())))
    ceiling = estimate(
        most - pass_rate, percentile_interval(verifier.ceiling(draws[:, 0]) - draws[:, 2])
    )
    gap = estimate(
        float(reached.mean()) - pass_rate, percentile_interval(draws[:, 1] - draws[:, 2])
    )
    return Against(
        strongest=name,
        pass_rate=pass_rate,
        ceiling_gap=ceiling,
        reached_gap=gap,
        reach=_reach(ceiling, gap),
    )


def _reach(ceiling: Estimate, reached: Estimate) -> Reach:
    if ceiling.high < 0:
        return "never"
    return "yes" if reached.low > 0 else "open"
