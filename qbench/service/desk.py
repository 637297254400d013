"""The desk: runs are handed in, stopped and taken up again here, by REST, schedules and CLI alike.

What is written is committed before anybody is woken; a message that is lost is sent again by a
sweep, and one that comes twice finds nothing left to do.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import BrokerDown
from qbench.service.access import Caller
from qbench.service.domain import Controls, Priority, Run, RunStatus, fingerprint
from qbench.service.handed_in import admitted
from qbench.service.order import Order, to_request
from qbench.service.plan import new_run
from qbench.service.queue import HostingState, Waiting
from qbench.service.store import Sent, Store

logger = logging.getLogger(__name__)

PER_WORKER = 4
"""Runs that the service begins for each worker; more would share nothing but attention."""


class Submission(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is handed in."""

    order: Order
    controls: Controls = Controls()
    fresh: bool = False
    """Start anew even if this very run exists; otherwise it is taken up again."""
    priority: Priority = 0
    """Higher goes first, within one account and among all."""


class Submitted(Struct, frozen=True, kw_only=True):
    """What became of it."""

    run: Run
    created: bool
    """False: the run was there already."""


class Waker(Protocol):
    """Tells workers that there is something to do."""

    def wake(self, queue: str, number: int = 1) -> None:
        """Put ``number`` messages into ``queue``: ``plan``, ``engine`` or ``shard``.

        Raises:
            BrokerDown: the broker does not answer; what is written stays and a sweep sends it.

        """
        ...


def most_active(workers: int) -> int:
    """Return how many runs the service begins with so many workers."""
    return PER_WORKER * max(1, workers)


ASK_ANEW = "Ask the same samples anew in a run of your own; see docs/import.md."


class Desk:
    """Takes runs in and hands them out."""

    def __init__(self, store: Store, waker: Waker) -> None:
        self._store = store
        self._waker = waker

    def submit(
        self,
        submission: Submission,
        caller: Caller,
        *,
        idempotency_key: str = "",
        traceparent: str = "",
        schedule_id: str | None = None,
    ) -> Submitted:
        """Queue a run, or take up the same request's unfinished one unless it is to be fresh.

        Raises:
            ConfigError: the order cannot be done as written.
            Conflict: the key was sent with another submission before.
            RunTaken: the run to be taken up is worked on outside the service.

        """
        sent = _sent(submission, caller, idempotency_key)
        before = self._store.sent_before(sent) if sent else None
        if before is not None:
            return Submitted(run=before, created=False)
        request = to_request(admitted(submission.order))
        known = None if submission.fresh else self._store.resumable(request.id)
        if known is not None and sent is None:
            return Submitted(run=self._take_up(known, submission.controls), created=False)
        run = replace(
            new_run(request, submission.controls, now=datetime.now(UTC)),
            account_id=caller.account_id,
            priority=submission.priority,
            traceparent=traceparent,
            schedule_id=schedule_id,
        )
        queued, created = self._store.submit(run, sent)
        self._wake("plan")
        return Submitted(run=queued, created=created)

    def resume(self, run_ref: str, caller: Caller, controls: Controls | None = None) -> Run:
        """Queue what is missing or errored of a run. Raises NotFound, RunTaken, Unsupported."""
        caller.must("run")
        run = self._store.run(run_ref)
        self._store.refuse_imported(run.id, hint=ASK_ANEW)
        return self._take_up(run, controls or run.controls)

    def cancel(self, run_ref: str, caller: Caller) -> Run:
        """Stop a run; what has ended is kept. A run at rest is left alone. Raises NotFound."""
        caller.must("run")
        run = self._store.run(run_ref)
        self._store.cancel(run.id)
        return self._store.run(run.id)

    def waiting(self, run_id: str) -> Waiting | None:
        """Say why a run does not run yet; None when it does not wait."""
        place = self._store.place(run_id)
        if place is None:
            return self._engine_waits(run_id)
        position, of = place
        return Waiting(position=position, of=of, reason=self._reason())

    def _take_up(self, run: Run, controls: Controls) -> Run:
        if run.status is RunStatus.DONE:
            return run
        if self._store.enqueue(run.id, controls):
            self._wake("plan")
        return self._store.run(run.id)

    def _wake(self, queue: str) -> None:
        try:
            self._waker.wake(queue)
        except BrokerDown as error:
            logger.warning("%s The run is queued; it starts when the broker is back.", error.what)

    def _reason(self) -> str:
        alive = [view for view in self._store.workers() if view.alive and not view.draining]
        if not alive:
            return "no worker is running; start one with `qbench worker`"
        active, most = self._store.active(), most_active(len(alive))
        if active >= most:
            return f"{active} runs are under way, the most for {len(alive)} workers"
        return "a worker is about to take it"

    def _engine_waits(self, run_id: str) -> Waiting | None:
        """A run that was begun waits when all of its open engines do."""
        hostings = [h for h in self._store.hostings(run_id) if h.state is not HostingState.OVER]
        if not hostings or any(h.state is not HostingState.WAITING for h in hostings):
            return None
        others = self._store.hostings(state=HostingState.WAITING)
        place = min(index for index, h in enumerate(others) if h.run_id == run_id) + 1
        users = ", ".join(sorted(set(self._store.devices().values()))) or "nothing"
        kind = hostings[0].needs.partition("*")[0]
        reason = f"no free {kind} for an engine: devices are used for {users}"
        return Waiting(position=place, of=len(others), reason=reason)


def _sent(submission: Submission, caller: Caller, token: str) -> Sent | None:
    if not token:
        return None
    digest = fingerprint(submission)
    return Sent(account=caller.account_id or "", token=token, digest=digest)
