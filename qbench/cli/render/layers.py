"""What ``sensitivity`` draws: the units that suffer most, the choice, and its check."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from qbench.cli.render.console import dim, draw, out, plain, table
from qbench.workers.sensitivity import Check, Report, Unit

SHOWN = 15
"""Units in the table; ``--json`` has all."""


def report(found: Report, file: str) -> None:
    """Print the most sensitive units, what was chosen, and how it compares."""
    what = "KL alone" if found.measure == "kl" else "Error²"
    others = [choice.format for choice in found.units[0].choices[1:]]
    drawn = table("Layers", f"{what}>", "Output %>", "Weights %>", "Bits>", "Chosen")
    order = sorted(range(len(found.units)), key=lambda at: -found.units[at].choices[0].error)
    for at in order[:SHOWN]:
        _row(drawn, found.units[at], found.suggestion.formats[at], found.format)
    draw(drawn)
    if len(order) > SHOWN:
        out.print(dim(f"{len(order) - SHOWN} more units suffer less; --json has all of them"))
    out.print(dim(_explained(found, others)), soft_wrap=True)
    out.print()
    if found.checks:
        _checks(found.checks)
    out.print(closing(found, file), style="bold", markup=False, soft_wrap=True)


def _row(drawn: Table, unit: Unit, chosen: str, usual: str) -> None:
    first = unit.choices[0]
    parent, _, end = unit.names[0].rpartition(".")
    ends = ", ".join([end, *(name.rpartition(".")[2] for name in unit.names[1:])])
    drawn.add_row(
        plain(f"{parent} {ends}"),
        f"{first.error:.2e}",
        f"{100 * first.output_error:.2f}",
        f"{100 * first.weight_error**0.5:.2f}",
        f"{first.bits / unit.weights:.3f}",
        plain(chosen) if chosen != usual else dim(chosen),
    )


def _explained(found: Report, others: Sequence[str]) -> str:
    measured = (
        "KL alone: mean divergence from the unquantized model with only these layers in "
        f"{found.format}, nats per token (ZeroQ, arXiv 2001.00281)"
        if found.measure == "kl"
        else f"Error²: squared relative error of these layers' own outputs in {found.format}"
    )
    return (
        f"{measured}; {found.tokens:,} tokens, {found.recipe}, {found.seconds:.0f} s; "
        f"instead of it: {', '.join(others) or 'nothing'}"
    )


def _checks(checks: Sequence[Check]) -> None:
    drawn = table("Whole model, on text of its own", "Bits per weight>", "KL>", "Summed>")
    for check in checks:
        drawn.add_row(
            plain(check.name),
            f"{check.bits_per_weight:.3f}",
            f"{check.error:.4f}",
            "–" if check.predicted is None else f"{check.predicted:.4f}",
        )
    draw(drawn)


def closing(found: Report, file: str) -> str:
    """Say in one sentence what was chosen and whether it pays."""
    wide = len(found.layers)
    chosen = (
        f"{wide} of {len(found.units)} units wider than {found.format}: "
        f"{found.suggestion.bits_per_weight:.3f} bits per weight"
    )
    if not found.checks:
        return chosen + _next(file)
    mine = found.checks[1].error
    rivals = [check.error for check in found.checks[2:]]
    beaten = sum(mine < error for error in rivals)
    return f"{chosen}; less error than {beaten} of {len(rivals)} blind choices" + _next(file)


def _next(file: str) -> str:
    return f". Now: qbench quantize --layers {file}" if file else ". Add --out FILE to use it."
