"""Schedules and what they found over time, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from qbench.cli.render.console import dim, dollars, draw, out, percent, plain, table
from qbench.cli.render.tables import leaderboard
from qbench.service.notices import headline
from qbench.service.reports.history.report import History, Mark, Priced, Track
from qbench.service.reports.values import Estimate
from qbench.service.repricing import Repriced
from qbench.service.schedules import Alert, Firing, Schedule
from qbench.service.timetable import ScheduleDetail

BARS = "▁▂▃▄▅▆▇█"
COLOURS = {
    "confirmed": "red",
    "suspected": "yellow",
    "failed": "red",
    "not confirmed": "dim",
    "insufficient history": "dim",
}


def schedules(found: Sequence[Schedule]) -> None:
    """Print schedules with when each is due next."""
    made = table("Schedule", "Act", "Cron", "Time zone", "Next (UTC)", "Alerts to")
    for one in found:
        what = one.what
        made.add_row(
            plain(one.name),
            what.act,
            plain(what.cron),
            what.timezone,
            dim("paused") if one.paused else _moment(one.next_at),
            plain(", ".join(filter(None, (what.delivery.webhook, *what.delivery.email))) or "log"),
        )
    draw(made)


def schedule(detail: ScheduleDetail) -> None:
    """Print a schedule, its firings and what became of its alerts."""
    schedules((detail.schedule,))
    made = table("Due (UTC)", "State", "Run", "Drift", "What")
    for firing in detail.firings:
        report = firing.found.report
        made.add_row(
            _moment(firing.due_at),
            _coloured(firing.state),
            plain(firing.run_id or ""),
            _coloured(report.state if report else ""),
            plain(_what(firing)),
        )
    draw(made)
    for alert in detail.alerts:
        out.print(_told(alert), markup=False)


def _what(firing: Firing) -> str:
    report = firing.found.report
    if firing.found.snapshots:
        return f"{len(firing.found.snapshots)} snapshots"
    if firing.found.reason or report is None:
        return firing.found.reason
    shown = report.confirmed or report.raised
    return "; ".join(headline(shift) for shift in shown)


def _told(alert: Alert) -> str:
    subject = alert.post.notice.subject
    if alert.delivered_at:
        by = ", ".join(alert.post.sent)
        return f"Told {alert.delivered_at:%b %d %H:%M} by {by}: {subject}"
    why = f" ({alert.error})" if alert.error else ""
    return f"Not told after {alert.tries} tries{why}: {subject}"


def history(found: History) -> None:
    """Print each system over time, and what snapshots say of other days' prices."""
    out.print(f"{found.name} · {found.basis} cost of local systems", style="bold", markup=False)
    out.print()
    for track in found.tracks:
        _track(track)
    if not found.tracks:
        out.print("No run has ended yet.")
    if found.snapshots:
        _snapshots(found.snapshots)


def _track(track: Track) -> None:
    line = sparkline([mark.pass_rate.value if mark.pass_rate else None for mark in track.marks])
    out.print(Text.assemble((track.label, "bold"), "  ", line))
    made = table(
        "UTC", "Pass %>", "95 %>", "Cost of pass>", "Verdict", "Frontier %>", "Drift", "Run"
    )
    for mark in track.marks:
        made.add_row(*_row(mark))
    draw(made)


def _row(mark: Mark) -> tuple[str | Text, ...]:
    rate = mark.pass_rate
    return (
        f"{mark.at:%b %d %H:%M}",
        percent(rate.value if rate else None),
        _half(rate),
        dollars(mark.cost_of_pass.value if mark.cost_of_pass else None),
        mark.verdict,
        percent(mark.on_frontier, 0),
        _coloured(mark.drift or ""),
        mark.run_id,
    )


def _half(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"± {50 * (estimate.high - estimate.low):.1f}"


def sparkline(values: Sequence[float | None]) -> str:
    """Draw shares from 0 to 1 as bars over their own range; a point where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    steps = len(BARS) - 1
    middle = steps // 2
    return "".join(
        "·"
        if value is None
        else BARS[round((value - low) / (high - low) * steps) if high > low else middle]
        for value in values
    )


def _snapshots(found: Sequence[Priced]) -> None:
    made = table("Prices of", "Run", "System", "Cost of pass>", "Paid>")
    for one in found:
        for number, (label, estimate) in enumerate(one.cost_of_pass.items()):
            made.add_row(
                f"{one.as_of:%Y-%m-%d}" if not number else "",
                one.run_id if not number else "",
                plain(label),
                dollars(float(estimate["value"]) if estimate else None),
                dollars(one.paid) if not number else "",
            )
    draw(made)


def repriced(found: Repriced) -> None:
    """Print a leaderboard at another day's prices, and what that changes."""
    leaderboard(found.leaderboard)
    out.print()
    made = table("System", "As booked>", f"Prices of {found.as_of}>", "Change>")
    for change in found.changes:
        made.add_row(
            plain(change.label),
            dollars(change.before),
            dollars(change.after),
            _change(change.before, change.after),
        )
    made.add_row(
        "whole run",
        dollars(found.paid_before),
        dollars(found.paid),
        _change(
            None if found.paid_before is None else float(found.paid_before),
            None if found.paid is None else float(found.paid),
        ),
    )
    made.caption = "Dollars per attempt."
    draw(made)


def _change(before: float | None, after: float | None) -> str:
    if not before or after is None:
        return "–"
    return f"{100 * (after / before - 1):+.1f} %"


def _coloured(state: str) -> Text:
    return Text(state, style=COLOURS.get(state, ""))


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"
