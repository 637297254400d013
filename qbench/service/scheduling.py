"""From a time that came to an alert: fire, follow the runs, compare, confirm, tell.

Every step reads the store, does one thing, and writes it under the state it saw. Whoever is
killed in between, or works at the same time as another, is harmless: the next call goes on from
what is written. Runs are submitted under a key of the firing, so that none is made twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from msgspec.structs import replace

from qbench.errors import ConfigError, QbenchError
from qbench.service.access import Caller
from qbench.service.delivery import deliver
from qbench.service.desk import Submission, Submitted
from qbench.service.domain import Run, RunStatus
from qbench.service.notices import drift_post, failure_post
from qbench.service.pricebook import PriceBook
from qbench.service.repricing import keep, reprice
from qbench.service.schedules import Finding, Firing, FiringState, Post, Schedule
from qbench.service.store import Store
from qbench.service.watching import confirmation_of, drift_of, missing, window_of

logger = logging.getLogger(__name__)

STOPPED = {
    RunStatus.CANCELLED: "the run was cancelled",
    RunStatus.PAUSED: "the run was paused",
    RunStatus.BUDGET: "the run reached its budget",
}


class Submits(Protocol):
    """The part of the desk that is needed here."""

    def submit(
        self,
        submission: Submission,
        caller: Caller,
        *,
        idempotency_key: str = "",
        traceparent: str = "",
        schedule_id: str | None = None,
    ) -> Submitted:
        """Queue a run; the same key again returns the first one's. Raises ConfigError."""
        ...


def beat(
    store: Store,
    desk: Submits,
    prices: PriceBook,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Do everything that is due; called every few seconds, by any number of processes."""
    store.due(now())
    for firing in store.open_firings():
        try:
            if firing.state == "due":
                fire(store, desk, prices, firing, now())
            else:
                follow(store, desk, firing, now())
        except QbenchError as error:
            logger.warning("Firing %s goes on later: %s", firing.id, error.what)
        except Exception:  # one firing must not stop the others
            logger.exception("Firing %s could not go on", firing.id)
    deliver(store, now)


def fire(store: Store, desk: Submits, prices: PriceBook, firing: Firing, now: datetime) -> bool:
    """Submit the run of a firing, or re-price; False when another caller was quicker.

    A firing waits for nobody: while an earlier one of its schedule is open it is skipped.
    """
    schedule = store.schedule(firing.schedule_id)
    reason = _obstacle(store, schedule, firing)
    if reason:
        return _end(store, firing, "skipped", Finding(reason=reason), now)
    if schedule.what.act == "reprice":
        return _fire_reprice(store, prices, schedule, firing, now)
    try:
        run = _submit(desk, schedule, f"firing-{firing.id}")
    except ConfigError as error:
        return _fail(store, schedule, firing, str(error), now)
    started = replace(firing, state="running", run_id=run.id)
    return store.advance_firing(firing, started, at=now)


def follow(store: Store, desk: Submits, firing: Firing, now: datetime) -> bool:
    """Go on with a firing whose run came to an end; False when there is nothing to do yet."""
    schedule = store.schedule(firing.schedule_id)
    run_id = firing.confirm_run_id if firing.state == "confirming" else firing.run_id
    run = store.runs_by_id([run_id or ""])[run_id or ""]
    reason = STOPPED.get(run.status, "")
    if not reason:
        if run.status not in (RunStatus.DONE, RunStatus.PARTIAL):
            return False
        reason = missing(store, run)
    if reason:
        return _fail(store, schedule, firing, f"Run {run.id}: {reason}.", now)
    if firing.state == "confirming":
        return _judge(store, schedule, firing, run, now)
    return _compare(store, desk, schedule, firing, run, now)


def _obstacle(store: Store, schedule: Schedule, firing: Firing) -> str:
    if schedule.removed_at is not None:
        return "the schedule was removed"
    for other in store.open_firings(schedule.id):
        if (other.due_at, other.id) < (firing.due_at, firing.id):
            return f"the firing of {other.due_at:%Y-%m-%d %H:%M} UTC is still under way"
    return ""


def _submit(desk: Submits, schedule: Schedule, key: str) -> Run:
    what, order = schedule.what, schedule.what.order
    if order.noise_floor is None:  # what recurs is measured again and again as it is
        order = replace(order, noise_floor=False)
    submission = Submission(order=order, controls=what.controls, fresh=True, priority=what.priority)
    caller = Caller(
        account_id=schedule.account_id, name=f"schedule {what.name}", scopes=("read", "run")
    )
    return desk.submit(submission, caller, idempotency_key=key, schedule_id=schedule.id).run


def _fire_reprice(
    store: Store, prices: PriceBook, schedule: Schedule, firing: Firing, now: datetime
) -> bool:
    """Keep a snapshot of each run at the prices of the day it came due."""
    try:
        runs = _to_reprice(store, schedule)
        made = [_snapshot(store, prices, schedule, firing, run, now) for run in runs]
    except ConfigError as error:
        return _fail(store, schedule, firing, str(error), now)
    return _end(store, firing, "done", Finding(snapshots=tuple(made)), now)


def _to_reprice(store: Store, schedule: Schedule) -> Sequence[str]:
    if schedule.what.runs:
        return [store.run(ref).id for ref in schedule.what.runs]
    return [run.id for run in store.ended_runs(limit=schedule.what.newest)]


def _snapshot(
    store: Store,
    prices: PriceBook,
    schedule: Schedule,
    firing: Firing,
    run_id: str,
    now: datetime,
) -> str:
    day = firing.due_at.astimezone(UTC).date()
    priced = reprice(store, run_id, prices, day, schedule.what.basis)
    return keep(store, priced, now, key=f"{firing.id}{run_id}")  # the same when it is made again


def _compare(
    store: Store, desk: Submits, schedule: Schedule, firing: Firing, run: Run, now: datetime
) -> bool:
    what = schedule.what
    window = window_of(store, schedule, firing, run)
    report = drift_of(store, window, run, what.watch, what.basis)
    found = replace(firing.found, report=report)
    if report.state != "suspected":
        return _end(store, firing, "done", found, now)
    if not what.watch.confirm:
        posts = [drift_post(schedule, firing, report)]
        return _end(store, firing, "done", found, now, posts)
    try:
        again = _submit(desk, schedule, f"firing-{firing.id}-confirm")
    except ConfigError as error:
        return _fail(store, schedule, replace(firing, found=found), str(error), now)
    after = replace(firing, state="confirming", confirm_run_id=again.id, found=found)
    return store.advance_firing(firing, after, at=now)


def _judge(store: Store, schedule: Schedule, firing: Firing, run: Run, now: datetime) -> bool:
    suspected = firing.found.report
    if suspected is None:
        return _fail(store, schedule, firing, "What was suspected is not written down.", now)
    report = confirmation_of(store, suspected, run, schedule.what.basis)
    posts = [drift_post(schedule, firing, report)] if report.state == "confirmed" else []
    return _end(store, firing, "done", replace(firing.found, report=report), now, posts)


def _fail(store: Store, schedule: Schedule, firing: Firing, reason: str, now: datetime) -> bool:
    found = replace(firing.found, reason=reason)
    return _end(store, firing, "failed", found, now, [failure_post(schedule, firing, reason)])


def _end(
    store: Store,
    firing: Firing,
    state: FiringState,
    found: Finding,
    now: datetime,
    posts: Sequence[Post] = (),
) -> bool:
    return store.advance_firing(firing, replace(firing, state=state, found=found), posts, at=now)
