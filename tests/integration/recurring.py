"""A desk without workers, and runs that end as a test says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from qbench.benchmarks.suite import Score
from qbench.service.access import Caller
from qbench.service.desk import Submission, Submitted
from qbench.service.domain import RunStatus, new_id
from qbench.service.order import Order, to_request
from qbench.service.plan import new_run, plan_of
from qbench.service.pricebook import PriceBook
from qbench.service.schedules import Firing, Recurring, Schedule, next_at
from qbench.service.scheduling import beat
from qbench.service.store import Store
from tests.integration.made import attempt, recorded

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
NIGHTLY = Recurring(
    name="nightly",
    cron="0 3 * * *",
    order=Order(suite="sums/add", engine="scripted", models=("scripted/sums",), samples=60),
)
NO_PRICES = PriceBook(machines=(), models=())


class PlainDesk:
    """Queues runs; the same key again returns the first one's."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sent: dict[str, str] = {}

    def submit(
        self,
        submission: Submission,
        caller: Caller,
        *,
        idempotency_key: str = "",
        traceparent: str = "",
        schedule_id: str | None = None,
    ) -> Submitted:
        if idempotency_key in self.sent:
            return Submitted(run=self.store.run(self.sent[idempotency_key]), created=False)
        caller.must("run")
        made = new_run(to_request(submission.order), submission.controls, now=datetime.now(UTC))
        run = replace(
            made, schedule_id=schedule_id, account_id=caller.account_id, traceparent=traceparent
        )
        plan = plan_of(run)
        self.store.create_run(run, plan.cells, plan.shards, plan.samples)
        self.sent[idempotency_key] = run.id
        return Submitted(run=run, created=True)


def add(store: Store, what: Recurring = NIGHTLY, now: datetime = START) -> Schedule:
    schedule = Schedule(
        id=new_id(),
        account_id=None,
        what=what,
        paused=False,
        created_at=now,
        next_at=next_at(what.cron, what.timezone, now),
    )
    store.add_schedule(schedule)
    return schedule


def work(
    store: Store,
    run_id: str,
    *,
    failing: int = 0,
    dollars: str = "0.01",
    status: RunStatus = RunStatus.DONE,
) -> None:
    """End a run: its first ``failing`` samples do not pass."""
    wrong = Score(status="scored", value=0.0, passed=False, components={}, scorer="s/1")
    ids = sorted(i for shard in store.shards(run_id) for i in shard.sample_ids)
    batch = []
    for shard in store.shards(run_id):
        for n, sample_id in enumerate(shard.sample_ids):
            made = attempt(shard, n)
            if ids.index(sample_id) < failing:
                made = replace(made, score=wrong)
            batch.append(recorded(made, dollars))
        store.close_shard(shard.id)
    store.append(batch)
    store.set_status(run_id, status, datetime.now(UTC))


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, **span: Any) -> None:
        self.now += timedelta(**span)


class World:
    """A store, a desk, a clock, and beats."""

    def __init__(self, store: Store, what: Recurring = NIGHTLY) -> None:
        self.store = store
        self.desk = PlainDesk(store)
        self.clock = Clock()
        self.schedule = add(store, what)

    def beat(self) -> None:
        beat(self.store, self.desk, NO_PRICES, self.clock)

    @property
    def newest(self) -> Firing:
        return self.store.firings(self.schedule.id)[-1]

    def night(self, *, confirming: Mapping[str, Any] | None = None, **ending: Any) -> Firing:
        """Let the schedule come due, end its run, and a confirming one if there is one."""
        self.clock.sleep(days=1)
        self.beat()
        work(self.store, self.newest.run_id or "", **ending)
        self.beat()
        if self.newest.state == "confirming":
            work(self.store, self.newest.confirm_run_id or "", **(confirming or ending))
            self.beat()
        return self.newest
