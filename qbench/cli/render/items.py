"""What single samples contribute, as tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from qbench.cli.render.console import clip, count, dim, draw, out, percent, plain, table
from qbench.service.reports.noise.values import Item, ItemReport

MOST = 10
"""Samples shown; --json has all."""


def items(found: ItemReport) -> None:
    """Print the samples of each task by what they tell, and the worst of them."""
    named = [found.suite, f"{len(found.systems)} systems", f"{found.repeats} repeats"]
    out.print(" · ".join(named), style="bold", markup=False)
    out.print()
    _tasks(found)
    _list("Against the others", [one for one in found.items if _odd(one)])
    flipping = sorted(found.items, key=lambda one: -(one.flips or 0.0))
    _list("Most unsteady", [one for one in flipping if one.flips])
    for note in found.notes:
        out.print(dim(f"· {note}"))
    for label, why in found.left_out.items():
        out.print(dim(f"· left out: {label} ({why})"))
    out.print(found.finding, style="bold", markup=False)


def _tasks(found: ItemReport) -> None:
    made = table(
        "Task", "n>", "Pass %>", "All pass>", "All fail>", "Flip>", "Discr.>", "< 0>", "p < .05>"
    )
    for one in (found.whole, *found.tasks):
        made.add_row(
            plain(one.name),
            count(one.samples),
            percent(one.difficulty),
            count(one.all_pass),
            count(one.all_fail),
            count(one.flipping),
            "–" if one.discrimination is None else f"{one.discrimination:+.2f}",
            count(one.negative),
            count(one.suspicious),
        )
    made.caption = (
        "flip: samples on which a system disagrees with itself; discr.: mean correlation of a"
        " sample with the sum of the others; < 0: samples where it is negative"
    )
    if found.split_half is not None:
        made.caption += f"; a sample's pass rate is repeatable by {found.split_half:.2f}"
    draw(made)


def _odd(one: Item) -> bool:
    return one.discrimination is not None and one.discrimination < 0


def _list(title: str, chosen: Sequence[Item]) -> None:
    made = table(title, "Task", "Level>", "Pass %>", "Discr.>", "p>", "Flips %>")
    for one in chosen[:MOST]:
        made.add_row(
            plain(clip(one.sample, 24)),
            plain(one.task),
            str(one.level),
            percent(one.difficulty),
            "–" if one.discrimination is None else f"{one.discrimination:+.2f}",
            "–" if one.p is None else f"{one.p:.2g}",
            percent(one.flips, 0),
        )
    left = len(chosen) - MOST
    made.caption = f"and {left} more: --json" if left > 0 else None
    if chosen:
        draw(made)
