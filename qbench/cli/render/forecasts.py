"""A forecast as a table that cannot be taken for a measured one."""

from __future__ import annotations

from itertools import takewhile

from rich.table import Table

from qbench.cli.render.console import dim, draw, out, percent, plain, table
from qbench.cli.render.tables import scaled, unit_for
from qbench.service.reports.prospect.forecast import Forecast, Predicted, Range


def forecast(found: Forecast) -> None:
    """Print what is expected of each system, and how far such forecasts can be trusted."""
    if found.rows:
        draw(_table(found))
    out.print(dim(_basis(found)))
    out.print(found.finding, style="bold", markup=False)


def _table(found: Forecast) -> Table:
    each = unit_for(row.cost.value for row in found.rows if row.cost)
    whole = unit_for(row.dollars.value for row in found.rows if row.dollars)
    made = table(
        "Expected",
        "Pass %>",
        "80 %>",
        f"{each[1]}/attempt>",
        f"{whole[1]} in all>",
        "80 %>",
        "Known from",
    )
    for row, name in zip(found.rows, _names(found), strict=True):
        made.add_row(
            plain(name),
            percent(row.pass_rate.value),
            f"[{percent(row.pass_rate.low)}, {percent(row.pass_rate.high)}]",
            _value(row.cost, each[0]),
            _value(row.dollars, whole[0]),
            _ends(row, whole[0]),
            plain(row.seen),
        )
    return made


def _names(found: Forecast) -> list[str]:
    """Return labels without the words that all of them begin with: a model that they share."""
    labels = [row.label.split() for row in found.rows]
    alike = takewhile(lambda words: len(set(words)) == 1, zip(*labels, strict=False))
    shared = len(list(alike)) if len(labels) > 1 else 0
    return [" ".join(words[shared:] or words) for words in labels]


def _value(one: Range | None, scale: float) -> str:
    return "unpriced" if one is None else scaled(one.value, scale)


def _ends(row: Predicted, scale: float) -> str:
    one = row.dollars
    return "" if one is None else f"[{scaled(one.low, scale)}, {scaled(one.high, scale)}]"


def _basis(found: Forecast) -> str:
    return (
        f"forecast, not measured: from {found.cells} means of {found.runs} past runs, at the "
        "prices that those had"
    )
