"""From two systems of a run to the cascade between them."""

from __future__ import annotations

import math

import numpy as np

from qbench.benchmarks.analysis.clusters import clustered_mean, pass_rate
from qbench.benchmarks.analysis.comparison.paired import difference
from qbench.benchmarks.analysis.economics.cascade import Both, HeldOut, held_out
from qbench.benchmarks.analysis.economics.costofpass import per_problem, ratio_interval
from qbench.benchmarks.analysis.economics.minima import drawn_means
from qbench.benchmarks.analysis.sums import Floats
from qbench.errors import ConfigError
from qbench.service.domain import Basis, Run, System
from qbench.service.reports.cascade.reading import asked_of
from qbench.service.reports.cascade.values import CascadeReport, Point, Policy
from qbench.service.reports.comparison.report import find_system
from qbench.service.reports.evidence import Evidence, estimate, judged
from qbench.service.reports.findings import against
from qbench.service.reports.values import Estimate, Verdict
from qbench.service.store import Store


def cascade_of(
    store: Store,
    run_ref: str,
    first: str,
    then: str,
    *,
    signal: str = "votes",
    basis: Basis = "saturated",
) -> CascadeReport:
    """Say what a cascade from ``first`` to ``then`` reaches and costs.

    Raises:
        NotFound: no such run, system or signal, or no sample that both were scored on.
        ConfigError: one system twice, an invalid one, or votes of one answer alone.

    """
    evidence = Evidence.of(store, run_ref, basis)
    systems = evidence.run.request.systems
    one, two = find_system(systems, first), find_system(systems, then)
    _check(evidence, one, two)
    asked = asked_of(store, evidence, one, two, signal)
    both, run = asked.both, evidence.run
    told = held_out(both, run.request.margin, seed=run.request.seed)
    verdict = _verdict(both, told, run)
    saved = _saved(both, told)
    policies = _policies(both, told, (one.label, two.label), run.request.seed)
    return CascadeReport(
        run_id=run.id,
        basis=basis,
        first=one.label,
        then=two.label,
        signal=signal,
        votes=asked.votes,
        samples=len(both.sure),
        margin=run.request.margin,
        curve=tuple(_point(both, float(t)) for t in both.thresholds()),
        policies=policies,
        thresholds=(_finite(told.thresholds[0]), _finite(told.thresholds[1])),
        difference=verdict,
        saved=saved,
        finding=_finding(policies, verdict, saved, run.request.margin),
    )


def _check(evidence: Evidence, one: System, two: System) -> None:
    if one.id == two.id:
        raise ConfigError(f"{one.label} cannot hand on to itself.", hint="Name two systems.")
    for system in (one, two):
        if why := evidence.invalid(system.id):
            raise ConfigError(f"{system.label} is INVALID ({why}).", hint="Resume the run.")


def _finite(threshold: float) -> float | None:
    return threshold if math.isfinite(threshold) else None


def _rate(passed: Floats, both: Both) -> Estimate:
    found = pass_rate(passed, np.ones(len(passed)), both.family)
    assert found is not None
    return estimate(found.value, (found.low, found.high))


def _cost(cost: Floats, both: Both) -> Estimate | None:
    if np.isnan(cost).any():
        return None
    mean = clustered_mean(cost, both.family)
    low, high = mean.interval()
    return estimate(mean.value, (max(0.0, low), high))


def _point(both: Both, threshold: float) -> Point:
    handed = both.handed_on(threshold)
    return Point(
        threshold=_finite(threshold),
        handed=float(handed.mean()),
        pass_rate=_rate(both.passed(handed), both),
        cost=_cost(both.cost(handed), both),
    )


def _policies(both: Both, told: HeldOut, names: tuple[str, str], seed: int) -> tuple[Policy, ...]:
    none, every = np.zeros(len(both.sure), bool), np.ones(len(both.sure), bool)
    ways = (
        (f"{names[0]} alone", both.cheap, both.cheap_cost, none),
        (f"{names[1]} alone", both.dear, both.dear_cost, every),
        ("cascade, held out", told.passed, told.cost, told.handed),
    )
    return tuple(
        Policy(
            name=name,
            handed=float(handed.mean()),
            pass_rate=_rate(passed, both),
            cost=_cost(cost, both),
            cost_of_pass=_per_pass(passed, cost, both, seed),
        )
        for name, passed, cost, handed in ways
    )


def _per_pass(passed: Floats, cost: Floats, both: Both, seed: int) -> Estimate | None:
    if np.isnan(cost).any():
        return None
    drawn = drawn_means(np.stack([cost, passed]), both.family, seed=seed)
    value = float(per_problem(drawn.means[:1], drawn.means[1:])[0])
    ends = ratio_interval(
        float(drawn.means[0]), drawn.families, drawn.draws[:, 0], drawn.draws[:, 1]
    )
    return estimate(value, ends)


def _verdict(both: Both, told: HeldOut, run: Run) -> Verdict:
    gap = difference(told.passed, both.dear, both.family, epochs=2)
    assert gap is not None
    return judged(gap, gap.p, run.request.margin)


def _saved(both: Both, told: HeldOut) -> Estimate | None:
    less = both.dear_cost - told.cost
    if np.isnan(less).any():
        return None
    mean = clustered_mean(less, both.family)
    alike = mean.value, mean.value
    return estimate(mean.value, mean.interval() if mean.error > 0 else alike)


def _finding(
    policies: tuple[Policy, ...], verdict: Verdict, saved: Estimate | None, margin: float
) -> str:
    _, dear, made = policies
    said = f"Against {dear.name}, the cascade {against(verdict, margin)} and hands on "
    said += f"{100 * made.handed:.0f} %"
    if saved is None or dear.cost is None or not dear.cost.value:
        return f"{said}; its dollars are not known."
    share = [100 * part / dear.cost.value for part in (saved.value, saved.low, saved.high)]
    word = "saves" if share[0] >= 0 else "costs more, saving"
    return f"{said}; it {word} {share[0]:.0f} % [{share[1]:.0f}, {share[2]:.0f}] of the dollars."
