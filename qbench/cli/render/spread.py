"""How far the same is from itself, as tables that fit 80 columns."""

from __future__ import annotations

import math

from rich.text import Text

from qbench.cli.render.console import count, dim, draw, out, percent, plain, plus_minus, table
from qbench.cli.render.recovery import ends
from qbench.service.reports.noise.values import RunNoise, SignalNoise, short_names
from qbench.service.reports.values import Estimate

MOST = 24
"""Parts shown: the clearest and the noisiest."""


def noise(found: RunNoise) -> None:
    """Print how far each system is from itself, and what it makes of differences."""
    models = dict.fromkeys(one.model for one in found.systems)
    models |= dict.fromkeys(one.model for one in found.variance)
    named = [*models, found.suite, f"{len(found.runs)} run{'s' if len(found.runs) > 1 else ''}"]
    out.print(" · ".join(named), style="bold", markup=False)
    out.print()
    if found.systems:
        _configurations(found)
        _spread(found)
        _outputs(found)
    if found.gaps:
        _gaps(found)
    if found.variance:
        _variance(found)
        _outlook(found)
    if found.scores:
        _scores(found)
    for note in found.notes:
        out.print(dim(f"· {note}"))
    for label, why in found.left_out.items():
        out.print(dim(f"· left out: {label} ({why})"))
    out.print(found.finding, style="bold", markup=False)


def _variance(found: RunNoise) -> None:
    name = short_names(found.variance)
    made = table("Variance", "n>", "Samples>", "Runs>", "Both>", "Epochs>")
    for one in found.variance:
        parts = [one.parts.get(name) for name in ("samples", "runs", "interaction", "epochs")]
        made.add_row(
            plain(name[one.label]),
            f"{one.samples}x{one.runs}x{one.epochs}",
            *(_thousandth(part) for part in parts),
        )
    made.caption = (
        "of an attempt, x 1,000 [95 %]: between samples, between runs, of samples between runs,"
        " within a sample; n: samples x runs x epochs"
    )
    draw(made)


def _thousandth(part: Estimate | None) -> str:
    if part is None:
        return "–"
    value, low, high = (_whole(1000 * end) for end in (part.value, part.low, part.high))
    return f"{value} [{low}, {high}]"


def _whole(value: float) -> str:
    """Write a number with a decimal where it is small, for an interval is never of width zero."""
    return "0" if value == 0 else f"{value:.0f}" if value >= 2 else f"{value:.1g}"


def _outlook(found: RunNoise) -> None:
    epochs = dict.fromkeys(at for one in found.variance for at in one.outlook)
    headers = [f"{'∞' if at == 'inf' else at}>" for at in epochs]
    name = short_names(found.variance)
    made = table("Standard error", "Now>", *headers, "2 x samples>", "Same>")
    for one in found.variance:
        made.add_row(
            plain(name[one.label]),
            *(_error(value) for value in (one.error, *map(one.outlook.get, epochs), one.doubled)),
            "–" if one.reliability is None else f"{one.reliability:.2f}",
        )
    made.caption = (
        "points; 1, 2, ...: with so many epochs of the same samples in each run; same: share of"
        " the variance of samples' means that is between samples (reliability)"
    )
    if epochs:
        draw(made)


def _error(value: float | None) -> str:
    return f"{100 * value:.2f}" if value else "–"


def _scores(found: RunNoise) -> None:
    made = table("System", "Score", "n>", "Difference>", "SNR>", "Needed n>", "Tau>")
    shown = ""
    for one in found.scores:
        gap = one.difference
        made.add_row(
            plain(one.label if one.label != shown else ""),
            plain(one.score.removeprefix("decision.")),
            count(one.samples),
            f"{100 * gap.value:+.1f} {plus_minus(gap.low, gap.high)}",
            "–" if one.snr is None else f"{one.snr:.2f}",
            "–" if one.needed is None else count(one.needed),
            "–" if one.monotone is None else f"{one.monotone.value:+.2f}",
        )
        shown = one.label
    made.caption = (
        f"against {found.scores[0].baseline}; SNR: difference / deviation of the samples'"
        " differences; needed n: samples that show it at 80 % power; tau: of level and score"
    )
    draw(made)


def signal(found: SignalNoise) -> None:
    """Print which parts of a suite tell its systems apart."""
    named = [found.suite, f"{len(found.systems)} systems", f"{found.repeats} repeats"]
    out.print(" · ".join(named), style="bold", markup=False)
    out.print()
    made = table(found.by.capitalize(), "n>", "Signal>", "Noise>", "SNR>", "95 %>", "Agree %>", "")
    half, left = MOST // 2, len(found.parts) - MOST
    shown = found.parts if left <= 0 else (*found.parts[:half], *found.parts[-half:])
    rows = [found.whole, *shown, *([found.kept] if found.kept else [])]
    for part in rows:
        made.add_row(
            plain(part.name),
            count(part.samples),
            _three(part.signal),
            _three(part.noise),
            "–" if part.snr is None else _ratio(part.snr.value),
            "–" if part.snr is None else f"[{_ratio(part.snr.low)}, {_ratio(part.snr.high)}]",
            percent(part.agreement, 0),
            dim("" if part.kept else "leave out"),
        )
    made.caption = (
        "signal: largest difference / mean; noise: deviation of repeats / mean; agree: pairs of"
        " systems that one repeat orders as the others do"
    )
    if left > 0:
        made.caption += f"; {left} between the clearest and the noisiest are left out: --json"
    draw(made)
    for option in found.options:
        out.print(plain(f"qbench run {option}"))
    for note in found.notes:
        out.print(dim(f"· {note}"))
    for label, why in found.left_out.items():
        out.print(dim(f"· left out: {label} ({why})"))
    out.print(found.finding, style="bold", markup=False)


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _ratio(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.1f}"


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
    made = table("System", "n>", "Pass %>", "Std@Acc>", "95 %>", "Std@Length>", "Unsteady %>")
    for one in found.systems:
        low, high = one.std_interval
        made.add_row(
            plain(name[one.label]),
            count(one.samples),
            percent(one.pass_rate, 2),
            f"{100 * one.std_accuracy:.2f}",
            f"[{100 * low:.2f}, {100 * high:.2f}]",
            "–" if one.std_length is None else f"{one.std_length:,.2f}",
            f"{percent(one.unsteady.value)} {ends(one.unsteady)}",
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
