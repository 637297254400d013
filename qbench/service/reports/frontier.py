"""All systems of a run on the accuracy-cost plane."""

from __future__ import annotations

import numpy as np

from qbench.benchmarks.analysis.pareto import losses, members
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.domain import Basis, System
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.leaderboard import costs_of, on_frontier
from qbench.service.reports.values import Frontier, Point
from qbench.service.store import Store


def frontier_of(store: Store, run_ref: str, basis: Basis = "saturated") -> Frontier:
    """Say which systems of a run are worth considering. Raises NotFound."""
    evidence = Evidence.of(store, run_ref, basis)
    systems = evidence.run.request.systems
    left_out = {s.label: why for s in systems if (why := _why_not(evidence, s))}
    ranked = [system for system in systems if system.label not in left_out]
    points = _points(evidence, ranked)
    return Frontier(
        run_id=evidence.run.id,
        basis=basis,
        points=tuple(sorted(points, key=lambda point: point.cost.value)),
        left_out=left_out,
        finding=_finding(points),
    )


def _why_not(evidence: Evidence, system: System) -> str:
    if system.replica:
        return "the noise floor: the baseline measured once more"
    reason = evidence.invalid(system.id)
    if reason:
        return reason
    return "" if costs_of(evidence, system.id)[0] else "unpriced"


def _points(evidence: Evidence, ranked: list[System]) -> list[Point]:
    if not ranked:
        return []
    places = [evidence.outcomes.systems.index(system.id) for system in ranked]
    rates, costs = (part[:, places] for part in evidence.draws)
    means = [(evidence.pass_rate(s.id), costs_of(evidence, s.id)) for s in ranked]
    value = np.array([[rate.value if rate else np.nan for rate, _ in means]])
    price = np.array([[cost[0].value if cost[0] else np.nan for _, cost in means]])
    now = members(losses((value, True), (price, False)))[0]
    shares = on_frontier(evidence)
    made = []
    for at, (system, (rate, (cost, per_pass, _, _))) in enumerate(zip(ranked, means, strict=True)):
        assert rate is not None
        assert cost is not None
        assert per_pass is not None
        endpoint = evidence.endpoint(system)
        made.append(
            Point(
                system_id=system.id,
                label=system.label,
                path=endpoint.path if endpoint else "unknown",
                pass_rate=estimate(rate.value, (rate.low, rate.high)),
                cost=cost,
                cost_of_pass=per_pass,
                undominated=bool(now[at]),
                on_frontier=shares.get(system.id, 0.0),
                dominated_by=_dominators(ranked, rates, costs, at),
            )
        )
    return made


def _dominators(ranked: list[System], rates: Floats, costs: Floats, at: int) -> dict[str, float]:
    """Return how probably each other system is at least as good and as cheap as ``at``."""
    found = {}
    for other, system in enumerate(ranked):
        if other != at:
            beats = (rates[:, other] >= rates[:, at]) & (costs[:, other] <= costs[:, at])
            found[system.label] = float(beats.mean())
    return found


def _finding(points: list[Point]) -> str:
    if not points:
        return "No system is both valid and priced."
    members = [p for p in points if p.undominated]
    said = [f"{p.label} ({100 * p.on_frontier:.0f} % of resamples)" for p in members]
    emulated = [p.label for p in members if p.path == "emulated"]
    caution = (
        " Emulated systems stand there with the cost of their emulation, not of native hardware."
        if emulated
        else ""
    )
    return f"On the frontier: {'; '.join(said)}.{caution}"
