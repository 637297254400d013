"""The recovery report and the noise report as tables that fit 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.text import Text

from qbench.cli.render.console import count, dim, draw, out, percent, plain, table
from qbench.cli.render.tables import COLOURS, MARKS
from qbench.service.reports.recovery.values import FormatComparison, FormatReport, Kept, ModelReport
from qbench.service.reports.values import Estimate, Flips


def by_format(found: FormatComparison) -> None:
    """Print what each format keeps of its baseline, model by model; the finding comes last."""
    out.print(
        f"{found.suite} · {found.samples:,} samples × {found.epochs} · run {found.run_id} "
        f"({found.status}) · margin {100 * found.margin:g} points",
        style="bold",
        markup=False,
    )
    for model in found.models:
        _model(model, found)
    for name, why in found.left_out.items():
        out.print(dim(f"· left out: {name} ({why})"))
    out.print(found.finding, style="bold", markup=False)


def _model(model: ModelReport, found: FormatComparison) -> None:
    out.print(f"\n{model.model}: every format against {model.baseline_format}{_rate(model)}\n")
    _recovery(model)
    _answers(model)
    _lengths(model, found)
    if any(one.tasks for one in model.formats):
        _tasks(model)
    if any(one.decisions for one in model.formats):
        _decisions(model)
    if any(one.fidelity for one in model.formats):
        _fidelity(model)
    for line in _notes(model):
        out.print(dim(line))
    out.print()


def _rate(model: ModelReport) -> str:
    rate = model.pass_rate
    return f", which passes {percent(rate.value)} % {spread(rate)}" if rate else ""


def _recovery(model: ModelReport) -> None:
    made = table("Recovery", "Keeps %>", "95 %>", "Points>", "Verdict", "p>", "Noise")
    if model.noise is not None:
        again = points(model.noise.difference)
        made.add_row(plain("A/A"), "", "", again, "", "", "", style="dim")
    for one in model.formats:
        kept, verdict = one.overall, one.verdict
        made.add_row(
            plain(_name(one)),
            percent(kept.recovery.value if kept and kept.recovery else None),
            ends(kept.recovery if kept else None),
            points(kept.difference if kept else None),
            _verdict(one),
            "" if verdict.p is None else f"{verdict.p:.2g}",
            {None: "", True: "within", False: "beyond"}[one.within_noise],
        )
    made.caption = (
        "keeps: pass rate / baseline's, both averaged on the same samples; needs: samples; A/A: the"
        " baseline measured twice; noise: within or beyond what A/A allows"
    )
    draw(made)


def _name(one: FormatReport) -> str:
    return f"{one.format}{MARKS.get(one.path, '')}"


def _verdict(one: FormatReport) -> Text:
    word = "INVALID" if one.invalid else one.verdict.kind
    more = f", needs {one.verdict.needed:,}" if one.verdict.needed else ""
    return Text(word + more, style=COLOURS.get(word.lower(), ""))


def _answers(model: ModelReport) -> None:
    made = table("Answers", "Flips %>", "95 %>", "Lost>", "Won>", "n>", "Cut %>", "Points>")
    if model.noise is not None:
        made.add_row(plain("A/A"), *_flips(model.noise.flips), "", "", style="dim")
    for one in model.formats:
        cut = one.truncation
        made.add_row(
            plain(_name(one)),
            *(_flips(one.flips) if one.flips else ("–", "", "", "", "")),
            percent(cut.system if cut else None),
            points(cut.difference if cut else None),
        )
    made.caption = (
        "flips: samples passed by one of the two only; lost: the baseline passed; cut: attempts"
        " that ran into a limit, and points more than the baseline"
    )
    draw(made)


def _flips(found: Flips) -> tuple[str, ...]:
    return (
        percent(found.rate.value),
        ends(found.rate),
        count(found.lost),
        count(found.won),
        count(found.samples),
    )


def _lengths(model: ModelReport, found: FormatComparison) -> None:
    made = table("Length", "Tokens>", "More>", "× length>", "95 %>", "× cost>", "95 %>")
    for one in model.formats:
        length, cost = one.length, one.cost
        made.add_row(
            plain(_name(one)),
            f"{length.system:,.1f}" if length else "–",
            f"{length.difference.value:+,.1f} {spread(length.difference, 1)}" if length else "",
            *_times(length.ratio if length else None),
            *(_times(cost) if cost else ("unpriced", "")),
        )
    made.caption = (
        "tokens written per attempt, and more than the baseline; cost: dollars per attempt /"
        f" baseline's ({found.basis}); its interval is over samples, not over engine starts"
    )
    draw(made)


def _times(ratio: Estimate | None) -> tuple[str, str]:
    return (f"{ratio.value:.3f}", ends(ratio, 1, 3)) if ratio else ("–", "")


def _tasks(model: ModelReport) -> None:
    made = table("Task", "System", "n>", "Baseline %>", "Pass %>", "Keeps %>", "95 %>")
    for name, one, part in _by_task(model.formats):
        made.add_row(
            plain(name),
            plain(_name(one)),
            count(part.samples),
            percent(part.baseline),
            percent(part.system),
            percent(part.recovery.value if part.recovery else None),
            ends(part.recovery),
        )
    draw(made)


def _by_task(formats: Sequence[FormatReport]) -> Iterator[tuple[str, FormatReport, Kept]]:
    """Yield task by task what each format keeps; a task is named once."""
    for name in dict.fromkeys(part.name for one in formats for part in one.tasks):
        shown = name
        for one in formats:
            for part in one.tasks:
                if part.name == name:
                    yield shown, one, part
                    shown = ""


def _decisions(model: ModelReport) -> None:
    made = table("Tool decision", "System", "Baseline %>", "%>", "Points>", "n>")
    for name in dict.fromkeys(name for one in model.formats for name in one.decisions):
        shown = name
        for one in model.formats:
            if (part := one.decisions.get(name)) is not None:
                made.add_row(
                    plain(shown),
                    plain(_name(one)),
                    percent(part.baseline),
                    percent(part.system),
                    points(part.difference),
                    count(part.samples),
                )
                shown = ""
    made.caption = (
        "means over the attempts a decision concerns; points: paired, on the n samples where it"
        " concerns both"
    )
    draw(made)


def _fidelity(model: ModelReport) -> None:
    made = table("Fidelity", "KL nats>", "95 %>", "Top 1 %>", "95 %>", "Perplexity>", "×>")
    measured = [(_name(one), one.fidelity) for one in model.formats]
    floor = next((found.kl_floor for _, found in measured if found and found.kl_floor), None)
    if floor is not None:
        made.add_row(plain("A/A"), f"{floor:.4f}", "", "", "", "", "", style="dim")
    if model.fidelity is not None:
        own = _digits(model.fidelity.perplexity.value, 2)
        made.add_row(plain(model.baseline_format), "", "", "", "", own, "")
    for name, found in measured:
        if found is not None:
            made.add_row(
                plain(name),
                f"{found.kl.value:.4f}",
                ends(found.kl, 1, 4),
                percent(found.top1_agreement.value),
                ends(found.top1_agreement),
                _digits(found.perplexity.value, 2),
                _digits(found.perplexity_ratio.value, 3),
            )
    told = next(found for _, found in measured if found)
    made.caption = (
        f"against the baseline's distributions at {told.tokens:,} positions of a fixed text, from"
        f" the {told.top} likeliest tokens: KL is a lower bound; ×: perplexity / baseline's"
    )
    draw(made)


def _digits(value: float, places: int) -> str:
    """Write a number with ``places`` decimals, and one beyond reason in powers of ten."""
    return f"{value:,.{places}f}" if value < 1e4 else f"{value:.1e}"


def _notes(model: ModelReport) -> Iterator[str]:
    if model.noise is None:
        yield "· No noise floor: the baseline was measured once (--noise-floor measures it twice)."
    for one in model.formats:
        if one.effective != one.format:
            yield f"· {one.format} was served as {one.effective}."
        if one.path == "emulated":
            yield f"· † {one.format} is emulated: its cost is the emulation's, not the format's."
        if one.path == "weight-only fallback":
            yield f"· ‡ {one.format} fell back to weights only: activations stayed in 16 bits."
        if one.invalid:
            yield f"· INVALID: {one.format}: {one.invalid}"


def points(found: Estimate | None) -> str:
    """Write a difference of shares in points: ``-11.2 ± 6.6``."""
    return "–" if found is None else f"{100 * found.value:+.1f} {spread(found)}"


def spread(found: Estimate, scale: float = 100, digits: int = 1) -> str:
    """Write half the interval's width where it is even, else both ends."""
    low, high = found.value - found.low, found.high - found.value
    even = math.isfinite(low + high) and abs(low - high) <= 0.1 * (low + high)
    return f"± {scale * (low + high) / 2:.{digits}f}" if even else ends(found, scale, digits)


def ends(found: Estimate | None, scale: float = 100, digits: int = 1) -> str:
    """Write both ends of an interval."""
    if found is None:
        return ""
    low, high = (
        f"{scale * end:.{digits}f}" if math.isfinite(end) else ("∞" if end > 0 else "-∞")
        for end in (found.low, found.high)
    )
    return f"[{low}, {high}]"
