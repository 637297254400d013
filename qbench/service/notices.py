"""What an alert says."""

from __future__ import annotations

from qbench.benchmarks.analysis.runs.drift import DriftReport, Shift
from qbench.service.domain import new_id
from qbench.service.schedules import Firing, Notice, Post, Schedule


def drift_post(schedule: Schedule, firing: Firing, report: DriftReport) -> Post:
    """Tell of a change: what was confirmed, or what is suspected where nothing confirms."""
    told = report.confirmed or report.raised
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    notice = Notice(
        alert=new_id(),
        kind="drift",
        schedule=schedule.name,
        firing=firing.id,
        due_at=firing.due_at,
        subject=f"qbench {schedule.name}: {headline(told[0])}{more}",
        text=_text(firing, report, told),
        run_id=firing.run_id,
        confirm_run_id=firing.confirm_run_id,
        report=report,
    )
    return Post(notice=notice, delivery=schedule.what.delivery)


def failure_post(schedule: Schedule, firing: Firing, reason: str) -> Post:
    """Tell that a firing came to nothing."""
    notice = Notice(
        alert=new_id(),
        kind="failed",
        schedule=schedule.name,
        firing=firing.id,
        due_at=firing.due_at,
        subject=f"qbench {schedule.name}: the firing of {firing.due_at:%Y-%m-%d %H:%M} UTC failed",
        text=reason,
        run_id=firing.run_id,
        confirm_run_id=firing.confirm_run_id,
        report=firing.found.report,
    )
    return Post(notice=notice, delivery=schedule.what.delivery)


def headline(shift: Shift) -> str:
    """Say what changed in which cell: ``pass rate of X on calendar fell by 12.0 points``."""
    went = "rose" if _rose(shift) else "fell"
    return f"{shift.metric} of {shift.label} on {shift.task} {went} by {amount(shift)}"


def amount(shift: Shift) -> str:
    """Write the size of a change, without its sign."""
    if shift.metric == "pass rate":
        return f"{abs(shift.change) * 100:.1f} points"
    return f"{abs(shift.change - 1) * 100:.0f} %"


def _rose(shift: Shift) -> bool:
    return shift.change > (0 if shift.metric == "pass rate" else 1)


def _text(firing: Firing, report: DriftReport, told: tuple[Shift, ...]) -> str:
    lines = [f"{_line(shift)}." for shift in told]
    again = f", confirming run {firing.confirm_run_id}" if firing.confirm_run_id else ""
    lines.append(
        f"\nState: {report.state}. Run {firing.run_id}{again}, against {len(report.runs)} earlier "
        f"runs of the same samples: {', '.join(report.runs)}."
    )
    return "\n".join(lines)


def _line(shift: Shift) -> str:
    said = headline(shift)
    said = f"{said[0].upper()}{said[1:]}, 95 % interval {_interval(shift)}, q = {shift.q:.2g}"
    if shift.confirming_p is None:
        return said
    return f"{said}; the confirming run shows it with p = {shift.confirming_p:.2g}"


def _interval(shift: Shift) -> str:
    if shift.low is None or shift.high is None:
        return "unbounded"
    if shift.metric == "pass rate":
        return f"{shift.low * 100:+.1f} to {shift.high * 100:+.1f} points"
    return f"{(shift.low - 1) * 100:+.0f} to {(shift.high - 1) * 100:+.0f} %"
