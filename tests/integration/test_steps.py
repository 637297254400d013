from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from qbench.errors import RunTaken
from qbench.service.domain import Attempt, Controls, Endpoint, Run, RunStatus, System
from qbench.service.plan import Plan
from qbench.service.pricebook import Machine, MachineRate, PriceBook
from qbench.service.store import Store
from qbench.workers import engines
from qbench.workers.leases import this_process
from qbench.workers.progress import Tally
from qbench.workers.shards import BREAKER
from qbench.workers.steps import execute, standing, tallies
from tests.integration.made import create, request, system

DOLLAR_A_SECOND = PriceBook(
    machines=(
        Machine(
            name="box",
            prices=(
                MachineRate(
                    dollars_per_hour=Decimal(3600),
                    provider="us",
                    source="own: test",
                    checked=date(2026, 1, 1),
                    valid_from=date(2026, 1, 1),
                ),
            ),
        ),
    ),
    models=(),
)
ON_BOX = Controls(hardware="box", concurrency=8)


@dataclass
class Log:
    """A progress that remembers; ``stop_after`` attempts it cancels the run."""

    stop_after: int = 0
    begun: dict[str, Tally] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    task: asyncio.Task[RunStatus] | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, run: Run, tallies: dict[str, Tally]) -> None:
        del run
        self.begun = tallies
        self.started.set()

    def say(self, line: str) -> None:
        self.said.append(line)

    def serving(self, system: System, endpoint: Endpoint) -> None:
        del endpoint
        self.served.append(system.format)

    def stopped(self, system_id: str, planned: int) -> None:
        self.begun[system_id].total = planned

    def ended(self, attempt: Attempt, spent: Decimal) -> None:
        self.attempts.append(attempt)
        self.spent = spent
        if self.task is not None and len(self.attempts) == self.stop_after:
            self.task.cancel()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "qbench.db")) as opened:
        yield opened


async def run_it(plan: Plan | Run, store: Store, log: Log | None = None) -> RunStatus:
    run = plan.run if isinstance(plan, Plan) else plan
    status = await execute(run, store, DOLLAR_A_SECOND, log or Log())
    assert store.run(run.id).status is status
    assert store.holder(run.id) is None
    return status


def current(plan: Plan, store: Store) -> Counter[str]:
    return Counter(view.status for view in store.attempts(plan.run.id, limit=10_000))


async def test_a_run_on_either_database(url: str) -> None:
    with Store.open(url) as store:
        plan = create(store, request((system("bf16"), system("fp8")), limit=70, epochs=2))
        log = Log()
        assert await run_it(plan, store, log) is RunStatus.DONE
        assert current(plan, store) == {"scored": plan.attempts}
        assert len(log.attempts) == plan.attempts == 280
        assert log.served == ["bf16", "fp8"]
        assert all(shard.closed for shard in store.shards(plan.run.id))
        assert {cell.pending for cell in store.cells(plan.run.id)} == {0}


async def test_accuracy_arrives_in_the_columns(store: Store) -> None:
    systems = (system("bf16", accuracy=1.0), system("int4", accuracy=0.0))
    plan = create(store, request(systems, limit=20))
    await run_it(plan, store)
    found = store.outcomes(plan.run.id)
    right = found.system == found.systems.index(systems[0].id)
    assert found.passed[right].all()
    assert not found.passed[~right].any()


async def test_a_finished_run_is_left_alone(store: Store) -> None:
    plan = create(store, request(limit=10))
    await run_it(plan, store)
    before = (store.run(plan.run.id), list(store.export(plan.run.id)))
    log = Log()
    assert await run_it(plan, store, log) is RunStatus.DONE
    assert (store.run(plan.run.id), list(store.export(plan.run.id))) == before
    assert (log.attempts, log.said, len(store.endpoints(plan.run.id))) == ([], [], 1)
    assert next(iter(log.begun.values())).done == 10


async def test_every_dollar_of_a_session_is_shared_out(store: Store) -> None:
    plan = create(store, request(limit=30), ON_BOX)
    await run_it(plan, store)
    (session,) = store.endpoints(plan.run.id)
    seconds = session.seconds.load + session.seconds.busy + session.seconds.idle
    assert float(store.paid(plan.run.id)) == pytest.approx(seconds)
    assert float(store.spent(plan.run.id)["saturated"]) == pytest.approx(session.seconds.busy)
    lines = list(store.ledger(plan.run.id))
    assert len(lines) == 2 * 30
    price = DOLLAR_A_SECOND.machine_price("box", datetime.now(UTC))
    assert price is not None
    assert {line.price_id for line in lines} == {price.id}
    assert store.prices() == {price.id: price}


async def test_faults_are_errored_never_wrong_and_resume_runs_only_those(store: Store) -> None:
    faulty = system("bf16", accuracy=1.0, faults={"http_500": 0.1, "timeout": 0.1})
    plan = create(store, request((faulty,), limit=100))
    assert await run_it(plan, store) is RunStatus.PARTIAL
    first = current(plan, store)
    assert first["errored"] > 0
    assert store.counts(plan.run.id)[faulty.id]["passed"] == first["scored"]
    for _ in range(20):
        missing = current(plan, store)["errored"]
        log = Log()
        status = await run_it(plan, store, log)
        assert len(log.attempts) == missing
        if status is RunStatus.DONE:
            break
    assert current(plan, store) == {"scored": 100}
    assert store.counts(plan.run.id)[faulty.id]["passed"] == 100
    assert sum(store.faults(plan.run.id)[faulty.id].values()) >= first["errored"]


async def test_what_errored_attempts_cost_stays_in_the_books(store: Store) -> None:
    faulty = system("bf16", faults={"http_500": 0.2})
    plan = create(store, request((faulty,), limit=50), ON_BOX)
    while await run_it(plan, store) is not RunStatus.DONE:
        pass
    sessions = store.endpoints(plan.run.id)
    paid = sum(s.seconds.load + s.seconds.busy + s.seconds.idle for s in sessions)
    assert len(sessions) > 1
    assert float(store.paid(plan.run.id)) == pytest.approx(paid)
    every = list(store.export(plan.run.id))
    assert len(list(store.ledger(plan.run.id))) == 2 * len(every) > 100


async def test_an_engine_that_only_fails_is_given_up_and_the_others_go_on(store: Store) -> None:
    dead, good = system("bf16", faults={"http_500": 1.0}), system("fp8", accuracy=1.0)
    plan = create(store, request((dead, good), limit=200), Controls(concurrency=4))
    log = Log()
    assert await run_it(plan, store, log) is RunStatus.PARTIAL
    counts = store.counts(plan.run.id)
    assert counts[good.id] == {"scored": 200, "passed": 200}
    assert BREAKER <= counts[dead.id]["errored"] < 2 * BREAKER
    (given_up,) = [line for line in log.said if "was given up" in line]
    assert f"{BREAKER} attempts in a row failed" in given_up
    assert "run the same command again" in given_up


async def test_an_engine_that_does_not_come_up_is_billed_and_the_others_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "tests.integration.broken_engine:BrokenEngine"
    monkeypatch.setitem(engines.ENGINES, "broken", where)
    broken = replace(system("bf16"), engine="broken")
    plan = create(store, request((broken, system("fp8")), limit=10), ON_BOX)
    log = Log()
    assert await run_it(plan, store, log) is RunStatus.PARTIAL
    assert current(plan, store) == {"scored": 10}
    assert any("The engine exited with 1. Read its log." in line for line in log.said)
    assert len(store.endpoints(plan.run.id)) == 1
    idle = {line.basis: line for line in store.ledger(plan.run.id) if not line.attempt_id}
    assert idle["dedicated"].dollars is not None
    assert idle["dedicated"].dollars >= Decimal("0.02")
    assert idle["saturated"].dollars == 0
    assert store.orphaned_endpoints(plan.run.id) == ()


async def test_the_budget_stops_a_run_before_it_is_passed(store: Store) -> None:
    budget = Decimal("0.75")
    slow = system("bf16", ttft_s=0.05)
    plan = create(store, request((slow,), limit=10_000), replace(ON_BOX, budget=budget))
    log = Log()
    assert await run_it(plan, store, log) is RunStatus.BUDGET
    assert 0 < len(log.attempts) < 10_000
    assert store.paid(plan.run.id) <= budget
    assert current(plan, store) == {"scored": len(log.attempts)}

    again = Log()
    assert await run_it(plan, store, again) is RunStatus.BUDGET
    assert store.paid(plan.run.id) <= budget

    raised = replace(plan.run, controls=replace(ON_BOX, budget=Decimal("1.50")))
    more = Log()
    assert await run_it(raised, store, more) is RunStatus.BUDGET
    assert more.attempts
    assert budget < store.paid(plan.run.id) <= Decimal("1.50")


async def test_the_budget_ends_attempts_that_never_end(store: Store) -> None:
    hanging = system("bf16", faults={"hang": 0.5})
    budget = Decimal("0.50")
    plan = create(store, request((hanging,), limit=100), replace(ON_BOX, budget=budget))
    assert await run_it(plan, store) is RunStatus.BUDGET
    assert set(current(plan, store)) <= {"scored"}
    (session,) = store.endpoints(plan.run.id)
    assert session.stopped_at is not None
    assert store.paid(plan.run.id) <= budget


async def test_a_spent_budget_starts_no_engine(store: Store) -> None:
    plan = create(store, request(limit=10), replace(ON_BOX, budget=Decimal("0.000000001")))
    await run_it(plan, store)
    sessions = len(store.endpoints(plan.run.id))
    assert await run_it(plan, store) is RunStatus.BUDGET
    assert len(store.endpoints(plan.run.id)) == sessions


async def test_cancelling_pauses_and_loses_nothing(store: Store) -> None:
    plan = create(store, request((system("bf16", ttft_s=0.001),), limit=500), ON_BOX)
    log = Log(stop_after=120)
    log.task = asyncio.create_task(execute(plan.run, store, DOLLAR_A_SECOND, log))
    with pytest.raises(asyncio.CancelledError):
        await log.task
    assert store.run(plan.run.id).status is RunStatus.PAUSED
    kept = current(plan, store)["scored"]
    assert 120 <= kept < 500
    assert store.holder(plan.run.id) is None
    assert store.orphaned_endpoints(plan.run.id) == ()
    assert store.paid(plan.run.id) > 0
    rest = Log()
    assert await run_it(plan, store, rest) is RunStatus.DONE
    assert len(rest.attempts) == 500 - kept


async def test_a_second_process_is_refused_while_the_first_goes_on(store: Store) -> None:
    plan = create(store, request((system("bf16", ttft_s=0.01),), limit=100))
    log = Log()
    first = asyncio.create_task(execute(plan.run, store, DOLLAR_A_SECOND, log))
    await log.started.wait()
    with pytest.raises(RunTaken, match=f"process {this_process().pid} on") as raised:
        await execute(plan.run, store, DOLLAR_A_SECOND, Log())
    assert "same command again" in raised.value.hint
    assert await first is RunStatus.DONE
    assert current(plan, store) == {"scored": 100}


async def test_a_run_taken_over_stops_and_leaves_the_status_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbench.workers.leases.BEAT_S", 0.02)
    plan = create(store, request((system("bf16", ttft_s=0.05),), limit=1000))
    log = Log()
    mine = asyncio.create_task(execute(plan.run, store, DOLLAR_A_SECOND, log))
    await log.started.wait()
    other = replace(this_process(), pid=1)
    store.take_lease(plan.run.id, other, lambda _: False)
    with pytest.raises(RunTaken, match="was taken over"):
        await mine
    assert store.run(plan.run.id).status is RunStatus.RUNNING
    assert store.holder(plan.run.id) == other


async def test_tallies_and_standing_before_anything_ran(store: Store) -> None:
    plan = create(store, request(limit=10, epochs=3))
    assert tallies(plan.run, store) == {plan.run.request.baseline: Tally(total=30)}
    assert standing(plan.run, store) is RunStatus.PARTIAL
