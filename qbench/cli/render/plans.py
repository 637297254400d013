"""Draw plans: samples that a question needs, and what would settle a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qbench.cli.render.console import count, dim, dollars, draw, out, plain, seconds, table
from qbench.service.reports.prospect.values import Attempts, Design, Pace, Settling
from qbench.service.reports.values import Estimate


def design(found: Design) -> None:
    """Print how many samples each question needs, and what they would take."""
    k = found.comparisons
    made = table("Samples to show", "one comparison>", f"Holm over {k}>")
    for need in found.needs:
        made.add_row(plain(need.question), count(need.alone), count(need.corrected))
    tries = "attempt" if found.epochs == 1 else "attempts"
    made.caption = (
        f"{100 * found.power:g} % power, {found.epochs} {tries} a sample; variance of a sample's "
        f"difference {found.between:.3g} + {found.within:.3g} / epochs, design effect "
        f"{found.effect:.2f} ({found.source})"
    )
    draw(made)
    if any(one.runs for one in found.expected):
        _expected(found)
    out.print(found.finding, style="bold", markup=False)


def _expected(found: Design) -> None:
    samples = found.needs[0].corrected
    made = table(f"For {samples:,} samples", "dollars>", "time>", "past runs>")
    for one in found.expected:
        made.add_row(
            plain(one.label),
            dollars(one.dollars) if one.runs else "unknown",
            seconds(one.minutes * 60) if one.minutes is not None else "unknown",
            count(one.runs),
        )
    made.caption = "at what past attempts cost and took, with as many in flight as planned"
    draw(made)


def paces(found: Sequence[Pace]) -> None:
    """Print what kernels' rows predict of local systems that nobody measured."""
    made = table(
        "Predicted, not measured", "Streams>", "tok/s>", "$/M>", "s/attempt>", "time>", "$>"
    )
    for one in found:
        made.add_row(
            plain(one.label),
            count(one.streams) if one.streams else "do not fit",
            count(one.tokens_per_second),
            _ends(one.per_million),
            "–" if one.seconds is None else f"{one.seconds.value:,.2f}",
            "–" if one.minutes is None else seconds(60 * one.minutes.value),
            _ends(one.dollars),
        )
    first = found[0]
    made.caption = f"{first.gpu}, {first.source}; {_requests(first.each)}"
    draw(made)


def _ends(one: Estimate | None) -> str:
    """Write dollars with their interval where it is bounded."""
    if one is None:
        return "–"
    bounded = one.low > 0 and math.isfinite(one.high)
    return (
        f"{dollars(one.value)} ± {dollars((one.high - one.low) / 2)}"
        if bounded
        else (dollars(one.value))
    )


def _requests(each: Attempts) -> str:
    """Say which tokens it is of."""
    call = f"{each.prompt / each.calls:,.0f} + {each.output / each.calls:,.0f} tokens a call"
    if not each.source:
        return f"no past run tells an attempt's tokens, rates are of {call}"
    return f"an attempt makes {each.calls:.1f} calls of {call} ({each.source})"


def settling(found: Settling) -> None:
    """Print the inconclusive systems, what each needs, and how to run that."""
    if found.rows:
        made = table("Inconclusive", "points>", "n>", "needed>", "80 %>", "dollars>", "time>")
        for row in found.rows:
            gap, needed = row.difference, row.needed
            made.add_row(
                plain(row.label),
                f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]",
                count(row.samples),
                "unknown" if needed is None else count(needed.value),
                "" if needed is None else f"[{needed.low:,.0f}, {needed.high:,.0f}]",
                dollars(row.dollars),
                seconds(row.minutes * 60) if row.minutes is not None else "unknown",
            )
        made.caption = (
            f"margin {100 * found.margin:g} points; needed: samples in all at 80 % power if what "
            "was seen is the truth; dollars and time: of the system and its baseline"
        )
        draw(made)
        for row in found.rows:
            out.print(dim(f"· {row.command}"), soft_wrap=True)
    out.print(found.finding, style="bold", markup=False)
