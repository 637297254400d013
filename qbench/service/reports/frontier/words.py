"""What a frontier found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from qbench.benchmarks.analysis.clusters import FEW
from qbench.service.reports.cost.energy import energy_notes
from qbench.service.reports.frontier.planes import NOT_NATIVE, Plane
from qbench.service.reports.frontier.values import (
    AtAccuracy,
    AtBudget,
    Axis,
    Frontier,
    FrontierGroup,
    Point,
    Without,
)
from qbench.service.reports.values import Estimate

SEVERAL = 3
"""Systems up to which a sentence names them."""
CAUTION = (
    "Emulated systems stand there with the cost of their emulation, not of native hardware.",
    "Weight-only fallbacks stand there with their own cost, not that of native hardware.",
)


def finding_of(found: Frontier | FrontierGroup) -> str:
    """State who is on the frontier and how surely, where the knee is, and what to beware of."""
    if not found.points:
        names = {axis.name for axis in found.axes}
        priced = names <= {"accuracy", "cost", "cost-of-pass"}
        return f"No system is both valid and {'priced' if priced else 'known in all objectives'}."
    said = [_members(found.points), *_knee(found), *_volume(found)]
    if isinstance(found, Frontier):
        said += _answers(found)
    return " ".join((*said, *_cautions(found.points)))


def _members(points: Sequence[Point]) -> str:
    names = "; ".join(f"{p.label}{_chance(p.on_frontier)}" for p in points if p.undominated)
    return f"On the frontier: {names}."


def _chance(share: float | None) -> str:
    return "" if share is None else f" ({percent(share)} of resamples)"


def percent(share: float) -> str:
    """Write a probability; neither 0 nor 1 is ever claimed where a resample says otherwise."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"


def _knee(found: Frontier | FrontierGroup) -> Iterator[str]:
    knee = found.knee
    if knee and knee.label and sum(p.undominated for p in found.points) > 1:
        yield f"The knee is {knee.label}{_chance(knee.probability)}."


def _volume(found: Frontier | FrontierGroup) -> Iterator[str]:
    if found.hypervolume and found.families > 1:
        yield f"Its hypervolume is {_points(found.hypervolume)} % of the box."


def _points(one: Estimate) -> str:
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _answers(found: Frontier) -> Iterator[str]:
    axes = {axis.name: axis for axis in found.axes}
    if found.at_budget:
        yield _budget(found.at_budget, axes[found.at_budget.axis])
    if found.at_accuracy:
        yield _accuracy(found.at_accuracy, axes[found.at_accuracy.axis])
    if found.without:
        yield _without(found.without)


def amount(value: float, axis: Axis) -> str:
    """Write a number in the unit of an axis."""
    if axis.name == "accuracy":
        return f"{100 * value:.1f} %"
    return f"${value:.3g}" if axis.unit.startswith("$") else f"{value:,.4g} {axis.unit}"


def _budget(found: AtBudget, axis: Axis) -> str:
    within = f"Within {amount(found.budget, axis)} {_of(axis)}"
    if not found.label or not found.accuracy:
        return f"{within} there is no system."
    sure = found.best.get(found.label, 0.0)
    said = f"{within} the best is {found.label} with {_points(found.accuracy)} %"
    said += f", the best there in {percent(sure)} of resamples." if found.best else "."
    return said if found.mix is None else f"{said} {_mixed(found)}"


def _of(axis: Axis) -> str:
    return (
        "per pass" if axis.name == "cost-of-pass" else "per attempt" if axis.name == "cost" else ""
    )


def _mixed(found: AtBudget) -> str:
    mix = found.mix
    if mix is None:
        return ""
    return (
        f"Sending {percent(mix.share)} of attempts to {mix.dearer} and the others to "
        f"{mix.cheaper} spends as much on average and passes {_points(mix.accuracy)} %."
    )


def _accuracy(found: AtAccuracy, axis: Axis) -> str:
    wanted = f"{100 * found.accuracy:.4g} %"
    if not found.label or not found.spend:
        return f"No system reaches {wanted}."
    chance = "" if found.reaches is None else f" and does in {percent(found.reaches)} of resamples"
    said = f"The cheapest that reaches {wanted} is {found.label} at "
    said += f"{amount(found.spend.value, axis)} {_of(axis)}".rstrip() + chance
    if found.safe == found.label:
        return f"{said}; its interval lies above."
    if found.safe and found.safe_spend:
        return f"{said}; safe is {found.safe} at {amount(found.safe_spend.value, axis)}."
    return f"{said}; no system's interval lies above."


def _without(found: Without) -> str:
    many = len(found.systems) > SEVERAL
    names = f"the {len(found.systems)} systems of {found.pattern}"
    gone = f"Without {names if many else ', '.join(found.systems)}"
    if not found.lost or not found.share:
        return f"{gone} nothing is lost: nothing was commanded."
    return f"{gone} the frontier loses {_points(found.share)} % of its hypervolume."


def _cautions(points: Sequence[Point]) -> Iterator[str]:
    members = {point.path for point in points if point.undominated and point.caution}
    for path, said in zip(NOT_NATIVE, CAUTION, strict=True):
        if path in members:
            yield said


def notes_of(plane: Plane, points: Sequence[Point], axes: Sequence[Axis]) -> tuple[str, ...]:
    """Say what a reader must know beside the finding."""
    return tuple(_notes(plane, points, axes))


def _energy(plane: Plane) -> Iterator[str]:
    """Say what stands behind electricity, where it is an objective or all of the cost."""
    evidence, names = plane.cut.evidence, {one.name for one in plane.objectives}
    if names & {"cost", "cost-of-pass"}:
        yield from energy_notes(evidence, plane.systems)
    elif "energy" in names:
        yield "energy: the electricity of the devices alone, without host, cooling or the machine"
        yield from tuple(energy_notes(replace(evidence, basis="energy"), plane.systems))[1:]


def _places(plane: Plane) -> Iterator[int]:
    for system in plane.systems:
        place = plane.cut.evidence.place(system.id)
        if place is not None:
            yield place


def _notes(plane: Plane, points: Sequence[Point], axes: Sequence[Axis]) -> Iterator[str]:
    if not points:
        return
    families = plane.cut.sums.families
    if families < 2:
        yield "All samples are of one family: nothing can be resampled, so no probability is told."
    elif families < FEW:
        yield f"Only {families} families of samples: probabilities and intervals are rough."
    timed = [axis.name for axis in axes if plane.objectives[axes.index(axis)].timed]
    for path in NOT_NATIVE:
        names = [point.label for point in points if point.path == path and point.caution]
        if names:
            what = " or ".join(timed)
            yield f"{path}: {', '.join(names)}. Not to be ranked on {what} as its format."
    for source in ("documented", "packed size"):
        told = {
            f"{p.label} {name}" for p in points for name, one in p.sources.items() if one == source
        }
        if told:
            yield f"Not measured but {source}: {', '.join(sorted(told))}."
    yield from _energy(plane)
    tried = [int((plane.cut.sums.n[place] > 0).sum()) for place in _places(plane)]
    if min(tried) < 0.95 * max(tried):
        few, many = min(tried), max(tried)
        yield f"Systems were scored on {few:,} to {many:,} samples, not all on the same."
    if any(axis.name == "latency" for axis in axes):
        several = plane.cut.evidence.run.controls.concurrency
        yield f"Seconds are wall seconds with up to {several} attempts at a time."
