"""The frontier over time, as a table with a line of bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from qbench.cli.render.console import dim, dollars, draw, out, percent, plain, table
from qbench.cli.render.timeline import sparkline
from qbench.service.reports.history.values import FrontierHistory, FrontierStep
from qbench.service.reports.values import Estimate


def moved(found: FrontierHistory) -> None:
    """Print what was measured, what prices alone did, and what that comes to."""
    expert = f"expert ${found.expert.dollars}" if found.expert else "no expert"
    out.print(
        f"Frontier of {found.suite} over time · {found.basis} · {found.runs} runs · "
        f"{found.problems} problems in {found.families} families · {expert}",
        style="bold",
        markup=False,
    )
    for title, why in (("Measured, as booked", "measured"), ("By prices alone", "prices")):
        steps = [step for step in found.steps if step.why == why]
        if steps:
            _part(title, steps)
    out.print(found.finding, markup=False)


def _part(title: str, steps: Sequence[FrontierStep]) -> None:
    out.print()
    bars = sparkline([_number(step) for step in steps])
    out.print(Text.assemble((title, "bold"), "  ", bars))
    made = table(
        "UTC", "New", "Systems>", "V>", "95 %>", "Fell by>", "Solved %>", "Cheapest", "Undominated"
    )
    for step in steps:
        made.add_row(*_row(step))
    draw(made)
    for step in steps:
        for label, why in step.left_out.items():
            out.print(dim(f"{step.at:%Y-%m-%d}: {label} does not count: {why}"))


def _number(step: FrontierStep) -> float | None:
    """Return V, or else the cheapest system's cost of pass; None where neither is finite."""
    shown = [e.value for e in (step.value, step.best_cost) if e and math.isfinite(e.value)]
    return shown[0] if shown else None


def _row(step: FrontierStep) -> tuple[str | Text, ...]:
    best, finite = step.best_cost, step.value and math.isfinite(step.value.value)
    shown = "" if finite else f" {_interval(best)}"  # without V this is the number to read
    return (
        f"{step.at:%Y-%m-%d}",
        plain(", ".join(step.came) or "nothing"),
        str(step.systems),
        dollars(step.value.value if step.value else None),
        _interval(step.value),
        _fall(step.fall),
        percent(step.solved),
        plain(f"{step.best} {dollars(best.value)}{shown}" if best else "nobody"),
        _changes(step),
    )


def _fall(found: Estimate | None) -> str:
    if found is None or math.isinf(found.value):
        return "–"
    return dollars(found.value) if found.value >= 0 else f"-{dollars(-found.value)}"


def _interval(found: Estimate | None) -> str:
    return f"[{dollars(found.low)}, {dollars(found.high)}]" if found else ""


def _changes(step: FrontierStep) -> Text:
    """Mark who came; name who left."""
    shown = Text(", ").join(
        Text(f"+{label}" if label in step.entered else label) for label in step.undominated
    )
    if step.left:
        shown.append(f" (without {', '.join(step.left)})", style="dim")
    return shown
