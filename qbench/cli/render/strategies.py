"""Strategies side by side as tables, with one sentence at the end."""

from __future__ import annotations

from rich.table import Table

from qbench.cli.render.console import clip, count, dim, draw, out, percent, plain, table
from qbench.cli.render.tables import scaled, unit_for
from qbench.service.reports.strategies.values import Block, StrategyReport, StrategyRow
from qbench.service.reports.values import Estimate

NAME = 26


def strategies(found: StrategyReport) -> None:
    """Print the strategies of each suite, then of all, and what was found."""
    several = len({block.base for block in found.blocks}) > 1
    for block in found.blocks:
        where = block.suite or ("all suites" if len(found.blocks) > 1 else "")
        title = " · ".join(filter(None, (where, block.base if several else "")))
        if title:
            out.print(f"{title}, {block.samples:,} samples", style="bold", markup=False)
        draw(_accuracy(block))
        draw(_costs(block))
        if any(row.candidates for row in block.rows):
            draw(_candidates(block))
    for note in found.notes:
        out.print(dim(f"· {note}"))
    out.print(found.finding, style="bold", markup=False)


def _name(row: StrategyRow) -> str:
    return clip(row.shown, NAME) + ("*" if row.caveat else "")


def _accuracy(block: Block) -> Table:
    made = table("Strategy", "Pass %>", "95 %>", "Verdict", "Points>", "95 %>", "p>")
    for row in block.rows:
        gap = row.verdict.difference
        made.add_row(
            plain(_name(row)),
            percent(row.pass_rate.value if row.pass_rate else None),
            _span(row.pass_rate),
            "INVALID" if row.invalid else row.verdict.kind,
            f"{100 * gap.value:+.1f}" if gap else "",
            _span(gap, sign="+") if gap else "",
            f"{row.verdict.p:.2g}" if row.verdict.p is not None else "",
        )
    bound = any(row.caveat for row in block.rows)
    made.caption = "points: against the first, on the same samples; p: Holm-adjusted" + (
        "; *: upper bound" if bound else ""
    )
    return made


def _span(found: Estimate | None, *, sign: str = "") -> str:
    if found is None:
        return "–"
    return f"[{100 * found.low:{sign}.1f}, {100 * found.high:{sign}.1f}]"


def _costs(block: Block) -> Table:
    known = (part for row in block.rows for part in (row.cost, row.cost_of_pass) if part)
    scale, unit = unit_for(part.value for part in known)
    others = any(row.others_calls for row in block.rows)
    extra = ("Others>",) if others else ()
    heads = ("Tokens waited>", "total>", "Calls>", *extra, f"{unit}/attempt>", f"{unit}/pass>")
    made = table("Strategy", *heads, "95 %>")
    for row in block.rows:
        cells = [count(row.accepted_tokens), count(row.total_tokens), f"{row.calls:.1f}"]
        cells += [f"{row.others_calls:.1f}"] if others else []
        made.add_row(
            plain(_name(row)),
            *cells,
            scaled(row.cost.value, scale) if row.cost else "–",
            scaled(row.cost_of_pass.value, scale) if row.cost_of_pass else "–",
            _range(row.cost_of_pass, scale),
        )
    made.caption = (
        "tokens and calls of the system itself, prompts included: along the path one waits for,"
        " and in all" + ("; others: calls of other models" if others else "")
    )
    return made


def _range(found: Estimate | None, scale: float) -> str:
    return f"[{scaled(found.low, scale)}, {scaled(found.high, scale)}]" if found else "–"


def _candidates(block: Block) -> Table:
    made = table(
        "Candidates", "n>", "mean %>", "majority %>", "best %>", "worst %>", "pass@k, ^k %"
    )
    for row in block.rows:
        one = row.candidates
        if one is not None:
            made.add_row(
                plain(_name(row)),
                f"{one.number:.1f}",
                percent(one.mean),
                percent(one.majority),
                percent(one.best),
                percent(one.worst),
                ", ".join(
                    f"{k}: {percent(one.any_passes[k], 0)} {percent(one.all_pass[k], 0)}"
                    for k in one.any_passes
                ),
            )
    made.caption = (
        "whole answers of an attempt; best: a perfect choice; pass@k and pass^k: unbiased, of"
        " independent draws alone"
    )
    return made
