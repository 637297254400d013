"""What is said of profiles: notes beside their numbers, and the finding."""

from __future__ import annotations

from collections.abc import Sequence

from qbench.service.reports.efficiency.profile_values import Profiled

GOOD = 0.98
"""R² below which a reader is warned. Quiet machines give 0.998 and more."""


def notes_of(rows: Sequence[Profiled]) -> tuple[str, ...]:
    """Return what a reader must know beside the numbers."""
    notes = []
    for row in rows:
        if row.path == "emulated":
            notes.append(
                f"{row.label} is emulated: its seconds are the emulation's, not a kernel's."
            )
        if row.fitted.trend and row.fitted.trend.used:
            change = 100 * row.fitted.trend.change.value
            notes.append(
                f"{row.label}: a token takes {change:+.1f} % after the longest prompt; the fit has"
                " a context term."
            )
        if row.fitted.r_squared < GOOD:
            notes.append(
                f"{row.label}: R² {row.fitted.r_squared:.3f} is low; others may have used the"
                " machine. Measure more repeats, with --denoised."
            )
        if row.reduction and not row.reduction.in_turn:
            notes.append(
                f"{row.label} was not measured in turn with the first: what else the machine did"
                " is not in the interval between them."
            )
        if row.discarded:
            notes.append(
                f"{row.label}: {len(row.discarded)} requests were discarded ({row.discarded[0]})."
            )
        if row.per_hour is None:
            notes.append(f"{row.label} is unpriced: no price is known for {row.hardware or '?'}.")
    if any(case.extended for row in rows for case in row.cases):
        notes.append("Use cases marked * lie outside the measured grid: extended, not measured.")
    return tuple(dict.fromkeys(notes))


def finding_of(rows: Sequence[Profiled]) -> str:
    """Return the sentence that says how fast the first is, and what the others buy."""
    first = rows[0]
    token = first.fitted.per_token
    said = (
        f"{first.format} takes {1000 * token.value:.1f} ms a token"
        f" (95 % {1000 * token.low:.1f} to {1000 * token.high:.1f}),"
        f" R² {first.fitted.r_squared:.4f}"
    )
    for row in rows[1:]:
        if row.reduction is None:
            said += f"; {row.format} cannot be compared without a price"
            continue
        kept = row.reduction.synchronous
        word = "more"
        if kept.high < 1:
            word = "fewer"
        elif kept.low <= 1:
            word = "about as many"
        said += (
            f"; {row.format} buys {kept.value:.2f} x the queries of {first.format}"
            f" ({kept.low:.2f} to {kept.high:.2f}: {word})"
        )
        if speed := row.reduction.paired:
            said += (
                f", and is {speed.value:.2f} x as fast on the grid, request by request"
                f" ({speed.low:.2f} to {speed.high:.2f})"
            )
    return said + "."
