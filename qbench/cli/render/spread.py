"""Run-to-run spread as tables that fit 80 columns."""

from __future__ import annotations

from rich.text import Text

from qbench.cli.render.console import count, dim, draw, out, percent, plain, table
from qbench.cli.render.recovery import ends
from qbench.service.reports.noise_values import RunNoise, short_names


def noise(found: RunNoise) -> None:
    """Print the spread of each system over runs, and what it makes of differences."""
    out.print(
        f"{', '.join(dict.fromkeys(one.model for one in found.systems))} · {found.suite} ·"
        f" {len(found.runs)} runs",
        style="bold",
        markup=False,
    )
    out.print()
    _configurations(found)
    _spread(found)
    _outputs(found)
    if found.gaps:
        _gaps(found)
    for label, why in found.left_out.items():
        out.print(dim(f"· left out: {label} ({why})"))
    out.print(found.finding, style="bold", markup=False)


def _configurations(found: RunNoise) -> None:
    name = short_names(found.systems)
    made = table("System", "Run", "Differs in", "Pass %>", "Tokens>")
    for one in found.systems:
        shown = name[one.label]
        for each in one.configurations:
            values = ", ".join(f"{name} {value or '?'}" for name, value in each.values.items())
            made.add_row(
                plain(shown),
                plain(each.run_id),
                plain(values or "nothing recorded"),
                percent(each.pass_rate, 2),
                "–" if each.completion_tokens is None else f"{each.completion_tokens:,.1f}",
            )
            shown = ""
    made.caption = "tokens: written per attempt"
    draw(made)


def _spread(found: RunNoise) -> None:
    name = short_names(found.systems)
    made = table("System", "n>", "Pass %>", "Std@Acc>", "Std@Length>", "Unsteady %>", "95 %>")
    for one in found.systems:
        made.add_row(
            plain(name[one.label]),
            count(one.samples),
            percent(one.pass_rate, 2),
            f"{100 * one.std_accuracy:.2f}",
            "–" if one.std_length is None else f"{one.std_length:,.2f}",
            percent(one.unsteady.value),
            ends(one.unsteady),
        )
    made.caption = (
        "Std@Acc: points; Std@Length: tokens; unsteady: samples that pass in one run and fail in"
        " another; all on the n samples that every run scored"
    )
    draw(made)


def _outputs(found: RunNoise) -> None:
    name = short_names(found.systems)
    made = table("System", "Same output %>", "95 %>", "Divergence index>")
    for one in found.systems:
        made.add_row(
            plain(name[one.label]),
            percent(one.identical.value),
            ends(one.identical),
            count(one.divergence) if one.divergence is not None else "none",
        )
    made.caption = (
        f"divergence index: first of the {found.unit} at which outputs differ, from 0; the median"
        " over those that do"
    )
    draw(made)


def _gaps(found: RunNoise) -> None:
    name = short_names(found.systems)
    made = table("Against the baseline", "Points>", "By run>", "Std@Acc>", "")
    for one in found.gaps:
        made.add_row(
            plain(name[one.label]),
            f"{100 * one.difference:+.2f}",
            ", ".join(f"{100 * gap:+.1f}" for gap in one.by_configuration),
            f"{100 * one.std_accuracy:.2f}",
            Text("larger") if one.beyond else dim("no finding"),
        )
    made.caption = "no finding: not larger than the larger Std@Acc of the two"
    draw(made)
