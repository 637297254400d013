"""Profiles as tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from qbench.cli.render.console import (
    count,
    dim,
    dollars,
    draw,
    out,
    percent,
    plain,
    seconds,
    table,
)
from qbench.service.profiles import Profile
from qbench.service.reports.efficiency.profile_values import Metric, Profiled, Profiles
from qbench.service.reports.values import Estimate


def report(found: Profiles) -> None:
    """Print fits, use cases and metrics of profiles, and one sentence."""
    first = found.rows[0]
    model = first.label.removesuffix(f" {first.format}")
    machine = f"{first.hardware or 'unknown machine'} · {dollars(first.per_hour)}"
    out.print(
        f"{model} · {first.engine} · {machine}" + ("/h" if first.per_hour else ""),
        style="bold",
        markup=False,
    )
    out.print()
    _fits(found.rows)
    _table_of_first_tokens(found.rows)
    _cases(found.rows)
    _metrics(found.rows)
    for note in found.notes:
        out.print(dim(f"· {note}"))
    out.print(found.finding, style="bold", markup=False)


def milliseconds(value: float | None) -> str:
    """Write milliseconds with three digits where they are few."""
    if value is None:
        return "–"
    scaled = 1000 * value
    return (
        f"{scaled:,.2f}" if scaled < 10 else f"{scaled:,.1f}" if scaled < 1000 else f"{scaled:,.0f}"
    )


def _ends(one: Estimate, scale: float = 1000) -> str:
    low, high = scale * one.low, scale * one.high
    digits = 2 if high < 10 else 1 if high < 1000 else 0
    return f"{low:,.{digits}f} to {high:,.{digits}f}"


def _fits(rows: Sequence[Profiled]) -> None:
    made = table(
        "Format", "ms/token>", "95 %>", "fastest>", "R²>", "Worst %>", "By prompt %>", "Term",
        caption="ms/token: g of T(p,o) = F(p) + (o-1) g; fastest: g of the fastest repeats; worst:"
        " largest residual; by prompt: how much longer a token takes after the longest prompt than"
        " after the shortest; term: whether the fit has it"
        + ("; fitted: the fastest repeats" if any(row.fitted.denoised for row in rows) else ""),
    )  # fmt: skip
    for row in rows:
        fitted, trend = row.fitted, row.fitted.trend
        made.add_row(
            plain(row.format),
            milliseconds(fitted.per_token.value),
            _ends(fitted.per_token),
            milliseconds(fitted.denoised_per_token),
            f"{fitted.r_squared:.4f}",
            percent(fitted.worst),
            "–" if trend is None else f"{100 * trend.change.value:+.1f} {_pm(trend.change)}",
            "context" if trend and trend.used else dim("none"),
        )
    draw(made)


def _pm(one: Estimate) -> str:
    return f"± {100 * (one.high - one.low) / 2:.1f}"


def _table_of_first_tokens(rows: Sequence[Profiled]) -> None:
    made = table(
        "Format", "Prompt>", "First token ms>", "95 %>", "Then ms/token>",
        caption="first token: F(p); then: slope at this prompt alone",
    )  # fmt: skip
    for row in rows:
        shown = row.format
        for one in row.fitted.firsts:
            made.add_row(
                plain(shown),
                count(one.prompt),
                milliseconds(one.seconds.value),
                _ends(one.seconds),
                milliseconds(one.per_token),
            )
            shown = ""
    draw(made)


def _cases(rows: Sequence[Profiled]) -> None:
    streams = max(row.streams for row in rows)
    throughput = [f"{row.format} q/$ x{row.streams}>" for row in rows if streams]
    heads = [head for row in rows for head in (f"{row.format} s>", "q/$>")]
    made = table(
        "Use case", "Tokens>", *heads, *throughput,
        caption="s: idealized, one request at a time; q/$: queries per dollar"
        + (", and at the measured throughput" if streams else "")
        + "; *: outside the grid",
    )  # fmt: skip
    for place, case in enumerate(rows[0].cases):
        cells: list[str] = []
        for row in rows:
            mine = row.cases[place]
            bought = mine.synchronous
            cells += [
                f"{mine.seconds.value:,.2f}{'*' if mine.extended else ''}",
                "unpriced" if bought is None else f"{bought.value:,.0f}",
            ]
        if streams:
            cells += [_count(row.cases[place].asynchronous) for row in rows]
        made.add_row(plain(case.name), f"{case.prompt:,}/{case.output:,}", *cells)
    draw(made)


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _metrics(rows: Sequence[Profiled]) -> None:
    made = table(
        "Metric", *(f"{row.format}>" for row in rows), "Of",
        caption="after EfficientLLM (arXiv 2505.13840), as docs/efficiency.md defines them",
    )  # fmt: skip
    for place, metric in enumerate(rows[0].metrics):
        cells = [_value(row.metrics[place]) for row in rows]
        made.add_row(metric.name, *cells, dim(f"{metric.unit}: {metric.why}"))
    draw(made)


def _value(metric: Metric) -> str:
    if metric.value is None:
        return "unknown"
    if metric.unit == "share":
        return f"{percent(metric.value)} %"
    return f"{metric.value:.4g}"


def listed(found: Sequence[Profile]) -> None:
    """Print all kept profiles."""
    if not found:
        out.print("Nothing was profiled yet: qbench profile MODEL --formats bf16.", markup=False)
        return
    made = table("Id", "Model", "Format", "Engine", "Machine", "ms/token>", "R²>", "Made")
    for one in found:
        made.add_row(
            one.id,
            plain(one.label.removesuffix(f" {one.format}")),
            one.format,
            one.engine,
            plain(one.hardware or "unknown"),
            milliseconds(one.fit.per_token),
            f"{one.fit.r_squared:.4f}",
            f"{one.made_at:%Y-%m-%d %H:%M}",
        )
    draw(made)
    number = "1 profile" if len(found) == 1 else f"{len(found)} profiles"
    out.print(f"{number}; the newest took {seconds(_took(found[0]))} of requests.", markup=False)


def _took(one: Profile) -> float:
    return sum(timed.seconds for timed in one.timings)
