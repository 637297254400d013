"""Frontiers as tables: who stands where, who beats whom, and what was asked besides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from qbench.cli.render.console import count, dim, draw, out, percent, plain, table
from qbench.cli.render.tables import MARKS, scaled, unit_for
from qbench.service.reports.frontier.values import Axis, Frontier, FrontierGroup, Point, Without
from qbench.service.reports.frontier.words import percent as chance
from qbench.service.reports.values import Estimate

MOST_BEATEN = 8
"""Systems up to which a table says who beats whom."""
SOURCES = {"documented": "*", "packed size": "°"}
"""Marks of numbers that were not measured."""


def frontier(found: Frontier) -> None:
    """Print a frontier: systems, who beats whom, what was asked besides, and the finding last."""
    if found.points:
        draw(_plane(found))
    if len(found.points) > 1 and found.families > 1:
        draw(_standing(found))
    if found.groups:
        draw(_groups(found))
    if found.at_budget or found.at_accuracy:
        draw(_choices(found))
    if found.without and found.without.steps:
        draw(_without(found.without, found.axes))
    for label, why in found.left_out.items():
        out.print(dim(f"· left out: {label} ({why})"))
    for note in found.notes:
        out.print(dim(f"· {note}"))
    out.print(found.finding, style="bold", markup=False)


def _plane(found: Frontier) -> Table:
    scales = [_scale(axis, found.points) for axis in found.axes]
    per_pass = {axis.name for axis in found.axes} == {"accuracy", "cost"}
    told = [point.cost_of_pass for point in found.points if point.cost_of_pass]
    scale, unit = unit_for(one.value for one in told)
    heads = [f"{name}>" for _, name in scales] + ([f"{unit}/pass>"] if per_pass else [])
    made = table("System", *heads, "On it", "P %>")
    for point in found.points:
        cells = [
            _cell(point, axis, size) for axis, (size, _) in zip(found.axes, scales, strict=True)
        ]
        if per_pass:
            cells.append(_ends(point.cost_of_pass, scale))
        made.add_row(
            plain(f"{point.label}{MARKS.get(point.path, '')}"),
            *cells,
            "yes" if point.undominated else "",
            _chance(point.on_frontier),
        )
    made.caption = _about(found)
    return made


def _chance(share: float | None) -> str:
    return "–" if share is None else chance(share).removesuffix(" %")


def _about(found: Frontier) -> str:
    stars = {SOURCES.get(source) for point in found.points for source in point.sources.values()}
    marks = "".join(f"; {mark} {name}" for name, mark in SOURCES.items() if mark in stars)
    basis = f"cost basis: {found.basis}{marks}"
    if found.families < 2:
        return basis
    drawn = f"{found.resamples:,} resamples of {found.families:,} families"
    return f"P: undominated in that share of {drawn}; {basis}"


def _scale(axis: Axis, points: Sequence[Point]) -> tuple[float, str]:
    """Return what an axis' numbers are divided by, and the column's head."""
    if axis.more:
        return 0.01, "Pass rate %"
    if not axis.unit.startswith("$"):
        return 1.0, axis.unit
    size, unit = unit_for(p.at[axis.name].value for p in points if axis.name in p.at)
    return size, axis.unit.replace("$", unit, 1)


def _cell(point: Point, axis: Axis, size: float) -> str:
    one = point.at.get(axis.name)
    if one is None:
        return "–"
    if point.sources.get(axis.name):
        mark = SOURCES.get(point.sources[axis.name], "")
        return f"{scaled(one.value, size)}{mark}"
    if axis.more:
        return f"{one.value / size:.1f} {_span(one, size)}"
    return f"{scaled(one.value, size)} ± {scaled((one.high - one.low) / 2, size)}"


def _span(one: Estimate, size: float) -> str:
    """Write half the interval's width where it is even, else both ends."""
    low, high = one.value - one.low, one.high - one.value
    if abs(low - high) <= 0.1 * (low + high):
        return f"± {(low + high) / 2 / size:.1f}"
    return f"[{one.low / size:.1f}, {one.high / size:.1f}]"


def _ends(one: Estimate | None, size: float) -> str:
    if one is None:
        return "unpriced"
    return f"{scaled(one.value, size)} [{scaled(one.low, size)}, {scaled(one.high, size)}]"


def _standing(found: Frontier) -> Table:
    """Tell the knee, what each adds, and how probably a row's system beats a column's."""
    points = found.points
    numbers = range(1, len(points) + 1) if len(points) <= MOST_BEATEN else ()
    made = table("System", "Knee %>", "Adds %>", *(f"{n}>" for n in numbers))
    for number, point in enumerate(points, 1):
        beaten = [
            "" if other is point else _chance(other.dominated_by.get(point.label))
            for other in points
        ]
        made.add_row(
            plain(f"{number} {point.label}"),
            _chance(point.knee),
            _adds(point.contribution),
            *(beaten if numbers else ()),
        )
    beats = f"; 1 to {len(points)}: probability of beating that one" if numbers else ""
    made.caption = (
        f"knee: probability; adds: share of the box up to {_corner(found.axes)} that nobody else "
        f"commands{beats}"
    )
    return made


def _adds(one: Estimate | None) -> str:
    return "–" if one is None else f"{percent(one.value)} {_span(one, 0.01)}"


def _corner(axes: Sequence[Axis]) -> str:
    return ", ".join(
        f"{axis.name} {percent(axis.reference)} %"
        if axis.more
        else f"{axis.name} {axis.reference:.3g}"
        for axis in axes
    )


def _groups(found: Frontier) -> Table:
    made = table(found.by.capitalize(), "Samples>", "On the frontier (P %)", "Knee", "Commands %>")
    for group in found.groups:
        volume = group.hypervolume
        made.add_row(
            plain(group.name),
            count(group.samples),
            plain(_members(group) or "nobody is known in all objectives"),
            plain(group.knee.label if group.knee else ""),
            f"{percent(volume.value)} {_span(volume, 0.01)}" if volume else "–",
        )
    made.caption = "commands: share of one box for all groups"
    return made


def _members(group: FrontierGroup) -> str:
    return ", ".join(
        f"{point.label}{MARKS.get(point.path, '')} ({_chance(point.on_frontier)})"
        for point in group.points
        if point.undominated
    )


def _choices(found: Frontier) -> Table:
    budget, wanted = found.at_budget, found.at_accuracy
    made = table("System", "Best within the budget %>", "Cheapest that reaches %>")
    for label in _either(budget.best if budget else {}, wanted.best if wanted else {}):
        made.add_row(
            plain(label),
            _chance(budget.best.get(label, 0.0)) if budget else "",
            _chance(wanted.best.get(label, 0.0)) if wanted else "",
        )
    return made


def _either(*shares: dict[str, float]) -> Iterable[str]:
    return dict.fromkeys(label for one in shares for label in one)


def _without(found: Without, axes: Sequence[Axis]) -> Table:
    spend = next((axis for axis in axes if not axis.more), axes[0])
    size, unit = unit_for(step.spend for step in found.steps)
    head = spend.unit.replace("$", unit, 1) if spend.unit.startswith("$") else spend.unit
    if not spend.unit.startswith("$"):
        size = 1.0
    made = table("At the spend of", f"{head}>", "Best %>", f"Without {found.pattern} %>", "Lost %>")
    for step in found.steps:
        made.add_row(
            plain(step.budget),
            scaled(step.spend, size),
            percent(step.best.value),
            percent(step.without.value),
            f"{percent(step.lost.value)} {_span(step.lost, 0.01)}",
        )
    return made
