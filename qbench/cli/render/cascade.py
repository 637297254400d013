"""A cascade as tables, with one sentence at the end."""

from __future__ import annotations

from rich.table import Table

from qbench.cli.render.console import dim, draw, out, percent, plain, table
from qbench.cli.render.tables import scaled, unit_for
from qbench.service.reports.cascade.values import CascadeReport
from qbench.service.reports.values import Estimate

POINTS = 12
"""Most thresholds in a table."""


def cascade(found: CascadeReport) -> None:
    """Print the ways of answering, the curve over thresholds, and what was found."""
    known = (one.cost.value for one in found.policies if one.cost)
    scale, unit = unit_for(known)
    draw(_policies(found, scale, unit))
    draw(_curve(found, scale, unit))
    out.print(dim(f"· {_about(found)}"))
    out.print(found.finding, style="bold", markup=False)


def _policies(found: CascadeReport, scale: float, unit: str) -> Table:
    heads = ("Handed on %>", "Pass %>", "95 %>", f"{unit}/question>", f"{unit}/pass>", "95 %>")
    made = table("Answered by", *heads)
    for one in found.policies:
        made.add_row(
            plain(one.name),
            percent(one.handed, 0),
            percent(one.pass_rate.value),
            _span(one.pass_rate, 0.01, 1),
            _money(one.cost, scale),
            _money(one.cost_of_pass, scale),
            _ends(one.cost_of_pass, scale),
        )
    made.caption = "held out: each half of the families chose the threshold of the other"
    return made


def _curve(found: CascadeReport, scale: float, unit: str) -> Table:
    made = table("Sure below>", "Handed on %>", "Pass %>", "95 %>", f"{unit}/question>")
    step = max(1, -(-len(found.curve) // POINTS))
    shown = [*found.curve[:-1:step], found.curve[-1]]
    for point in shown:
        made.add_row(
            "always" if point.threshold is None else f"{point.threshold:.2f}",
            percent(point.handed, 0),
            percent(point.pass_rate.value),
            _span(point.pass_rate, 0.01, 1),
            _money(point.cost, scale),
        )
    made.caption = (
        "every threshold on the same attempts: what was best here would be less elsewhere"
    )
    return made


def _about(found: CascadeReport) -> str:
    if found.signal == "votes":
        taken = f"{found.votes} answers of {found.first} vote, and all of them are paid"
    else:
        taken = f"{found.first} is unsure where no answer could be read"
    shown = ["always" if one is None else f"below {one:.2f}" for one in found.thresholds]
    return f"{taken}; the halves chose to hand on {' and '.join(shown)}."


def _span(found: Estimate, scale: float, digits: int) -> str:
    return f"[{found.low / scale:.{digits}f}, {found.high / scale:.{digits}f}]"


def _money(found: Estimate | None, scale: float) -> str:
    return scaled(found.value, scale) if found else "–"


def _ends(found: Estimate | None, scale: float) -> str:
    return f"[{scaled(found.low, scale)}, {scaled(found.high, scale)}]" if found else "–"
