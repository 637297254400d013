"""All systems of a run on the plane of some objectives, and who is undominated there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from qbench.benchmarks.analysis.frontier.hypervolume import contributions
from qbench.benchmarks.analysis.frontier.pareto import dominance
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.domain import Basis
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.frontier.choice import Choice
from qbench.service.reports.frontier.groups import parts_of
from qbench.service.reports.frontier.objectives import Cut
from qbench.service.reports.frontier.options import at_accuracy, at_budget, without
from qbench.service.reports.frontier.planes import (
    NOT_NATIVE,
    Plane,
    axes_of,
    estimate_of,
    path_of,
    plane_of,
)
from qbench.service.reports.frontier.runs import evidence_of
from qbench.service.reports.frontier.values import Axis, Frontier, FrontierGroup, Knee, Point
from qbench.service.reports.frontier.words import finding_of, notes_of
from qbench.service.reports.values import Estimate
from qbench.service.store import Store

CAUTIONS = {
    "emulated": "money and seconds are those of its emulation",
    "weight-only fallback": "money and seconds are those of a weight-only fallback",
}

SEVERAL_RUNS = "Several runs: money and seconds were measured at different times."


def frontier_of(
    store: Store, run_ref: str, basis: Basis = "saturated", choice: Choice | None = None
) -> Frontier:
    """Say which systems of a run are worth considering.

    Args:
        store: where the run is.
        run_ref: its id, the beginning of it, or ``last``.
        basis: of local systems.
        choice: what is asked; None: accuracy against cost.

    Raises:
        NotFound: no such run, or a pattern that fits no system.
        ConfigError: further runs that tried other samples.

    """
    asked = choice or Choice()
    refs = (run_ref, *asked.also)
    found = of_evidence(evidence_of(store, refs, basis), asked)
    runs = tuple(dict.fromkeys(store.run(ref).id for ref in refs))
    if len(runs) == 1:
        return found
    return replace(found, runs=runs, notes=(*found.notes, SEVERAL_RUNS))


def of_evidence(evidence: Evidence, choice: Choice) -> Frontier:
    """Say the same of what was read. Raises NotFound."""
    cut = Cut(evidence)
    plane = plane_of(cut, evidence.run.request.systems, choice)
    axes = axes_of([plane], choice)
    points, knee = _points(plane, axes), _knee(plane)
    volume = _hypervolume(plane, axes)
    some = bool(plane.systems)
    made = Frontier(
        run_id=evidence.run.id,
        basis=evidence.basis,
        points=points,
        left_out=plane.left_out,
        finding="",
        axes=axes,
        families=cut.sums.families,
        resamples=len(plane.draws),
        hypervolume=volume,
        knee=knee,
        by=choice.by,
        groups=_groups(cut, choice),
        without=without(plane, axes, choice.without) if choice.without and some else None,
        at_budget=at_budget(plane, choice.budget) if choice.budget is not None and some else None,
        at_accuracy=(
            at_accuracy(plane, choice.accuracy) if choice.accuracy is not None and some else None
        ),
        notes=notes_of(plane, points, axes),
    )
    return replace(made, finding=finding_of(made))


def _points(plane: Plane, axes: Sequence[Axis]) -> tuple[Point, ...]:
    """Make the points, cheapest first."""
    if not plane.systems:
        return ()
    candidates = plane.members.any(axis=0) | plane.standing
    lost = contributions(plane.boxed(plane.losses, axes), candidates)
    now = contributions(plane.boxed(plane.now, axes), candidates)[0]
    beats = dominance(plane.losses)
    made = [_point(plane, at, (float(now[at]), lost[:, at]), beats) for at in range(len(now))]
    spends = next((at for at, axis in enumerate(axes) if not axis.more), 0)
    order = sorted(range(len(made)), key=lambda at: (plane.values[at, spends], made[at].label))
    return tuple(made[at] for at in order)


def _point(plane: Plane, at: int, lost: tuple[float, Floats], beats: Floats) -> Point:
    system, cut = plane.systems[at], plane.cut
    path = path_of(cut.evidence, system)
    timed = any(one.timed for one in plane.objectives)
    others = [place for place in range(len(plane.systems)) if place != at]
    return Point(
        system_id=system.id,
        label=plane.labels[at],
        path=path,
        pass_rate=estimate_of(cut, "accuracy", system),
        cost=estimate_of(cut, "cost", system),
        cost_of_pass=estimate_of(cut, "cost-of-pass", system),
        undominated=bool(plane.standing[at]),
        on_frontier=float(plane.members[:, at].mean()) if plane.resampled else None,
        dominated_by={plane.labels[o]: float(beats[o, at]) for o in others},
        at=_estimates(plane, at),
        sources=plane.sources[at],
        knee=float(plane.knees[:, at].mean()) if plane.resampled else None,
        contribution=plane.told(*lost),
        caution=CAUTIONS[path] if timed and path in NOT_NATIVE else "",
    )


def _estimates(plane: Plane, at: int) -> dict[str, Estimate]:
    found = {
        one.name: estimate_of(plane.cut, one.name, plane.systems[at]) for one in plane.objectives
    }
    return {name: told for name, told in found.items() if told is not None}


def _hypervolume(plane: Plane, axes: Sequence[Axis]) -> Estimate | None:
    return plane.told(*plane.hypervolume(axes)) if plane.systems else None


def _knee(plane: Plane) -> Knee | None:
    """Name the knee; equal systems share it, and the first of them is named."""
    if not plane.systems:
        return None
    if plane.knee.any():
        at = int(np.flatnonzero(plane.knee)[0])
        share, label = float(plane.knees[:, at].mean()), plane.labels[at]
    else:
        share, label = 1.0 - float(plane.knees.any(axis=1).mean()), ""
    return Knee(label=label, probability=share if plane.resampled else None)


def _groups(cut: Cut, choice: Choice) -> tuple[FrontierGroup, ...]:
    """Make the frontier of each group, all in one box so that hypervolumes can be compared."""
    named = [
        (name, plane_of(part, systems, choice)) for name, part, systems in parts_of(cut, choice)
    ]
    axes = axes_of([plane for _, plane in named], choice)
    return tuple(_group(name, plane, axes) for name, plane in named)


def _group(name: str, plane: Plane, axes: tuple[Axis, ...]) -> FrontierGroup:
    points, knee = _points(plane, axes), _knee(plane)
    volume = _hypervolume(plane, axes)
    made = FrontierGroup(
        name=name,
        samples=int((plane.cut.sums.n > 0).any(axis=0).sum()),
        families=plane.cut.sums.families,
        axes=axes,
        points=points,
        left_out=plane.left_out,
        hypervolume=volume,
        knee=knee,
        finding="",
    )
    return replace(made, finding=finding_of(made))
