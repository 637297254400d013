"""A published table, recomputed: what is inconsistent, and each row with its uncertainty."""

from __future__ import annotations

from rich.text import Text

from qbench.cli.render.console import (
    count,
    dim,
    dollars,
    draw,
    out,
    percent,
    plain,
    plus_minus,
    table,
)
from qbench.service.reports.audit.values import Audit, AuditRow
from qbench.service.reports.values import Verdict

MOST = 12
"""Inconsistent rows shown of each check; --json has all."""


def audit(found: Audit) -> None:
    """Print the checks, the rows by group, and what follows."""
    taken = ", ".join(f"{role} = {column}" for role, column in found.columns.items())
    out.print(
        f"{found.table} · {len(found.rows)} rows with an accuracy", style="bold", markup=False
    )
    out.print(dim(f"taken as: {taken}"))
    if found.ignored:
        out.print(dim(f"not used: {', '.join(found.ignored)}"))
    out.print()
    _checks(found)
    _misses(found)
    for group in dict.fromkeys(row.group for row in found.rows):
        _rows(found, group)
    for note in found.notes:
        out.print(dim(f"· {note}"))
    out.print(found.finding, style="bold", markup=False)


def _checks(found: Audit) -> None:
    made = table("Check", "Recomputed as", "Rows>", "Consistent>", "Off by at most %>")
    for one in found.checks:
        off = [abs(miss.off) for miss in one.misses if miss.off is not None]
        made.add_row(
            plain(one.name),
            plain(one.formula),
            count(one.checked),
            count(one.checked - len(one.misses)),
            percent(max(off)) if off else "–",
        )
    made.caption = "consistent: some numbers that round to the printed ones fit"
    if found.checks:
        draw(made)


def _misses(found: Audit) -> None:
    made = table("Row>", "Name", "Inconsistent")
    left = 0
    for one in found.checks:
        for miss in one.misses[:MOST]:
            made.add_row(str(miss.row), plain(miss.name), plain(f"{one.name}: {miss.said}"))
        left += max(0, len(one.misses) - MOST)
    made.caption = f"and {left} more: --json" if left else None
    if made.row_count:
        draw(made)


def _rows(found: Audit, group: str) -> None:
    base = found.baselines.get(group)
    headers = ["System", "n>", "Pass %>"]
    priced = any(row.cost is not None for row in found.rows)
    headers += ["Cost>", "$/pass>", "Front>"] if priced else []
    headers += ["Points>", "Verdict"] if found.baselines else []
    made = table(*headers, title=group)
    for row in (one for one in found.rows if one.group == group):
        cells: list[str | Text] = [plain(row.system), count(row.n), _rate(row)]
        cells += [*_money(row)] if priced else []
        cells += [*_verdict(row.verdict)] if found.baselines else []
        made.add_row(*cells)
    said = (
        ["cost: dollars per attempt; front: % of draws on the frontier, * undominated"]
        if priced
        else []
    )
    said += [f"points and verdict: against {base}"] if base else []
    made.caption = "; ".join(said)
    draw(made)


def _rate(row: AuditRow) -> str:
    if row.low is None or row.high is None:
        return percent(row.accuracy)
    return f"{percent(row.accuracy)} {plus_minus(row.low, row.high)}"


def _money(row: AuditRow) -> tuple[str, str, str]:
    if row.cost is None:
        return "unpriced", "–", "–"
    share = "yes" if row.undominated else "–"
    if row.on_frontier is not None:
        share = f"{'*' if row.undominated else ''}{percent(row.on_frontier, 0)}"
    return dollars(row.cost), dollars(row.cost_of_pass), share


def _verdict(verdict: Verdict | None) -> tuple[str, Text]:
    if verdict is None:
        return "–", plain("–")
    if verdict.difference is None:
        return "", dim(verdict.kind)
    gap = verdict.difference
    text = Text(verdict.kind) if verdict.kind != "inconclusive" else dim(verdict.kind)
    return f"{100 * gap.value:+.1f} {plus_minus(gap.low, gap.high)}", text
