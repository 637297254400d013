from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from qbench.benchmarks.analysis.outcomes import ERRORED, SCORED
from qbench.benchmarks.chat import TokenUsage
from qbench.benchmarks.suite import Score
from qbench.benchmarks.transcript import Transcript
from qbench.errors import NotFound, RunTaken
from qbench.service.domain import (
    AttemptWork,
    Controls,
    EngineSeconds,
    LedgerLine,
    RunStatus,
    new_id,
)
from qbench.service.plan import SHARD_ATTEMPTS, Plan
from qbench.service.store import LEASE_S, Holder, Recorded, Store
from qbench.service.tables import LEASE
from tests.integration.made import (
    NOW,
    attempt,
    create,
    endpoint,
    errored,
    line,
    recorded,
    request,
    system,
    turn,
)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def plan(store: Store) -> Plan:
    return create(store, request(limit=4, epochs=2))


def test_a_run_is_read_back_as_it_was_written(store: Store, plan: Plan) -> None:
    assert store.run(plan.run.id) == plan.run
    assert store.run(plan.run.id[:9]) == plan.run
    assert store.run("last") == plan.run
    assert store.shards(plan.run.id) == plan.shards
    assert store.cells(plan.run.id) == plan.cells
    assert store.samples_of(plan.run.id) == {sample.id: sample for sample in plan.samples}
    assert store.resumable(plan.run.request.id) == plan.run
    assert store.resumable("another") is None


def test_an_unknown_run_names_close_ones(store: Store) -> None:
    with pytest.raises(NotFound, match="no run yet"):
        store.run("last")
    known = create(store, request()).run.id
    with pytest.raises(NotFound, match="Did you mean"):
        store.run(known[:-1] + "_")


def test_status_and_controls_change(store: Store, plan: Plan) -> None:
    store.set_status(plan.run.id, RunStatus.DONE, NOW)
    store.set_controls(plan.run.id, Controls(budget=Decimal("0.5")))
    run = store.run(plan.run.id)
    assert (run.status, run.finished_at) == (RunStatus.DONE, NOW)
    assert run.controls.budget == Decimal("0.5")
    store.set_status(plan.run.id, RunStatus.RUNNING, NOW)
    assert store.run(plan.run.id).finished_at is None


def test_two_runs_share_their_samples(store: Store, plan: Plan) -> None:
    again = create(store, request(limit=4, epochs=2))
    assert store.samples_of(again.run.id) == store.samples_of(plan.run.id)
    assert [summary.run.id for summary in store.runs()] == [again.run.id, plan.run.id]


def test_a_second_delivery_is_left_out_with_its_lines(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    first = attempt(shard, 0)
    again = attempt(shard, 0)
    assert store.append([recorded(first, "0.10")]) == 1
    assert store.append([recorded(again, "0.10"), recorded(attempt(shard, 1), "0.20")]) == 1
    assert store.append([recorded(first, "0.10")]) == 0
    assert store.spent(plan.run.id) == {"api": Decimal("0.30")}
    assert store.counts(plan.run.id)[shard.system_id] == {"scored": 2, "passed": 2}


def test_the_same_key_twice_in_one_batch_counts_once(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    assert store.append([recorded(attempt(shard)), recorded(attempt(shard))]) == 1


def test_an_errored_attempt_is_superseded_and_stays_in_the_books(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    bad, good = errored(shard), attempt(shard)
    assert store.append([recorded(bad, "0.07")]) == 1
    assert store.counts(plan.run.id)[shard.system_id] == {"errored": 1, "passed": 0}
    assert (shard.sample_ids[0], 0) in store.missing(shard)
    assert store.append([recorded(good, "0.10")]) == 1
    assert store.counts(plan.run.id)[shard.system_id] == {"scored": 1, "passed": 1}
    assert store.paid(plan.run.id) == Decimal("0.17")
    assert [view.id for view in store.attempts(plan.run.id)] == [good.id]
    kept = {row["id"]: row["superseded_by"] for row in store.export(plan.run.id)}
    assert kept == {bad.id: good.id, good.id: None}
    assert store.faults(plan.run.id) == {shard.system_id: {"EngineTimeout": 1}}


def test_an_error_never_supersedes_a_verdict(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    store.append([recorded(attempt(shard))])
    assert store.append([recorded(errored(shard))]) == 0


def test_missing_counts_samples_and_epochs(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    every = {(sample, epoch) for sample in shard.sample_ids for epoch in range(2)}
    assert set(store.missing(shard)) == every
    store.append([recorded(attempt(shard, 1, epoch=1)), recorded(errored(shard, 2))])
    assert set(store.missing(shard)) == every - {(shard.sample_ids[1], 1)}
    assert store.planned(plan.run.id) == {shard.system_id: 8}


def test_the_last_shard_closes_the_cell_and_the_last_cell_the_run(store: Store) -> None:
    systems = (system("bf16"), system("fp8"))
    plan = create(store, request(systems, limit=SHARD_ATTEMPTS + 1))
    closed = [store.close_shard(shard.id) for shard in plan.shards]
    assert [(c.cell, c.run) for c in closed] == [
        (False, False),
        (True, False),
        (False, False),
        (True, True),
    ]
    again = store.close_shard(plan.shards[-1].id)
    assert (again.cell, again.run) == (False, False)
    assert store.shards(plan.run.id) == tuple(replace(s, closed=True) for s in plan.shards)
    assert store.shards(plan.run.id, open_only=True) == ()


def test_exactly_one_of_many_closers_closes_the_run(store: Store) -> None:
    plan = create(store, request(limit=4 * SHARD_ATTEMPTS))
    with ThreadPoolExecutor(4) as pool:
        closed = list(pool.map(store.close_shard, [shard.id for shard in plan.shards] * 2))
    assert sum(c.run for c in closed) == 1


def test_reopen_mends_what_a_killed_process_left(store: Store) -> None:
    plan = create(store, request(limit=2 * SHARD_ATTEMPTS))
    first, second = plan.shards
    batch = [recorded(attempt(first, n)) for n in range(SHARD_ATTEMPTS)]
    store.append(batch)  # durable, but killed before the shard closed
    store.append([recorded(errored(second))])
    store.close_shard(second.id)  # closed, but something errored
    assert store.reopen(plan.run.id) == 1
    assert [shard.id for shard in store.shards(plan.run.id, open_only=True)] == [second.id]
    assert [cell.pending for cell in store.cells(plan.run.id)] == [1]


def test_an_engine_session_is_billed_once(store: Store, plan: Plan) -> None:
    session, made = endpoint(plan), attempt(plan.shards[0])
    made = replace(made, endpoint_id=session.id)
    store.open_endpoint(session, healthy=False)
    assert store.endpoints(plan.run.id) == ()
    store.publish_endpoint(replace(session, kernel="gemm"))
    store.append([recorded(made)])
    beat = NOW + timedelta(seconds=5)
    store.touch_endpoint(session.id, EngineSeconds(load=1.0, busy=2.0), beat)
    (orphan,) = store.orphaned_endpoints(plan.run.id)
    assert (orphan.stopped_at, orphan.seconds.busy) == (beat, 2.0)
    bill = [line(made, "0.25", "dedicated"), line(made, "0.20", "saturated")]
    for _ in range(2):
        store.close_endpoint(session.id, orphan.seconds, beat, bill)
        store.touch_endpoint(session.id, EngineSeconds(busy=9.0), beat)
    assert store.orphaned_endpoints(plan.run.id) == ()
    (ended,) = store.endpoints(plan.run.id)
    assert (ended.kernel, ended.stopped_at, ended.seconds.busy) == ("gemm", beat, 2.0)
    assert store.spent(plan.run.id) == {"dedicated": Decimal("0.25"), "saturated": Decimal("0.20")}
    assert store.paid(plan.run.id) == Decimal("0.25")


def test_a_session_that_served_nothing_is_paid_by_its_run(store: Store, plan: Plan) -> None:
    session = endpoint(plan)
    store.open_endpoint(session)
    idle = LedgerLine(
        attempt_id="",
        endpoint_id=session.id,
        basis="dedicated",
        dollars=Decimal("0.03"),
        usage=None,
        seconds=60.0,
        price_id="p1",
        at=NOW,
    )
    store.close_endpoint(session.id, EngineSeconds(load=60.0), NOW, [idle])
    assert list(store.ledger(plan.run.id)) == [idle]
    assert store.paid(plan.run.id) == Decimal("0.03")


def test_what_an_attempt_made_its_engine_compute(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    known, unknown = (
        attempt(shard, 0),
        attempt(shard, 1, transcript=Transcript(messages=(), turns=(turn(usage=None),))),
    )
    store.append([recorded(known), recorded(unknown)])
    work = {item.attempt_id: item for item in store.attempts_of(known.endpoint_id)}
    assert work[known.id] == AttemptWork(
        attempt_id=known.id,
        uncached_prompt_tokens=60,
        completion_tokens=7,
        system_id=known.system_id,
    )
    assert work[unknown.id].uncached_prompt_tokens is None


@pytest.mark.parametrize("act", ["UPDATE ledger SET dollars = '0'", "DELETE FROM ledger"])
def test_the_ledger_refuses_change(store: Store, plan: Plan, act: str) -> None:
    store.append([recorded(attempt(plan.shards[0]), "0.10")])
    with pytest.raises(DBAPIError, match="append-only"), store.database.begin() as connection:
        connection.execute(text(act))
    assert store.paid(plan.run.id) == Decimal("0.10")


def test_the_ledger_keeps_every_digit(store: Store, plan: Plan) -> None:
    made = attempt(plan.shards[0])
    exact = "0.000000012345678901234567890123"
    store.append(
        [
            recorded(
                made,
                exact,
            )
        ]
    )
    assert store.spent(plan.run.id) == {"api": Decimal(exact)}
    assert list(store.ledger(plan.run.id)) == [line(made, exact)]


def test_sums_of_money_are_not_rounded(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    amounts = ("1000000000.5", "0.000000000000000000000000000001")
    store.append([recorded(attempt(shard, n), amount) for n, amount in enumerate(amounts)])
    exact = Decimal("1000000000.500000000000000000000000000001")
    assert store.paid(plan.run.id) == exact


def test_an_unpriced_line_is_kept_and_adds_nothing(store: Store, plan: Plan) -> None:
    store.append([recorded(attempt(plan.shards[0]), None)])
    (kept,) = store.ledger(plan.run.id)
    assert kept.dollars is None
    assert kept.usage == TokenUsage(prompt_tokens=100, cached_tokens=40, completion_tokens=7)
    assert store.spent(plan.run.id) == {}
    assert store.unpriced(plan.run.id) == 1


def test_a_batch_is_saved_whole_or_not_at_all(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    made = attempt(shard, 0)
    twice = Recorded(attempt=made, lines=(line(made), line(made)))
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.append([recorded(attempt(shard, 1)), twice])
    assert store.counts(plan.run.id) == {}


def test_transcripts_come_back_whole(store: Store, plan: Plan) -> None:
    made = attempt(plan.shards[0])
    store.append([recorded(made)])
    assert store.transcript(made.id) == made.transcript
    with pytest.raises(NotFound, match="no attempt"):
        store.transcript("none")


def test_views_filter(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    failed = attempt(shard, 1, score=Score(status="scored", reason="wrong sum"))
    store.append([recorded(attempt(shard, 0)), recorded(failed), recorded(errored(shard, 2))])
    run = plan.run.id
    assert len(store.attempts(run)) == 3
    assert [view.reason for view in store.attempts(run, passed=False, status="scored")] == [
        "wrong sum"
    ]
    assert [view.fault for view in store.attempts(run, status="errored")] == [
        "EngineTimeout: silent for 120 s"
    ]
    assert store.attempts(run, system_id="none") == ()
    assert store.attempt(failed.id).sample_id == shard.sample_ids[1]
    with pytest.raises(NotFound, match="Several"):
        store.attempt(failed.id[:2])
    assert store.components(run) == {shard.system_id: {"a": (0.5, 1)}}


def test_rescoring_changes_the_verdict_and_keeps_revisions(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    good, bad = attempt(shard, 0), errored(shard, 1)
    store.append([recorded(good), recorded(bad)])
    seen = [(key, sample) for key, sample, _ in store.for_rescore(plan.run.id)]
    assert seen == [(good.id, shard.sample_ids[0])]
    for n in (2, 3):
        score = Score(status="scored", value=0.0, reason="stricter", scorer=f"s/{n}")
        assert store.rescore([(good.id, score)]) == 1
    assert store.rescore([]) == 0
    view = store.attempt(good.id)
    assert (view.passed, view.reason) == (False, "stricter")
    with store.reading() as connection:
        kept = connection.execute(text("SELECT count(*) FROM score_revision")).scalar_one()
    assert kept == 2


def test_outcomes_are_columns(store: Store) -> None:
    systems = (system("bf16"), system("fp8"))
    plan = create(store, request(systems, limit=3))
    for shard in plan.shards:
        batch = [recorded(attempt(shard, n), "0.10") for n in range(2)]
        store.append([*batch, recorded(errored(shard, 2), "0.50")])
    late = attempt(plan.shards[0], 2)
    store.append([recorded(late, None)])
    found = store.outcomes(plan.run.id)
    assert set(found.systems) == {s.id for s in systems}
    assert set(found.samples) == set(plan.shards[0].sample_ids)
    assert sorted(found.status.tolist()) == [SCORED] * 5 + [ERRORED]
    assert found.passed.sum() == 5
    assert set(found.prompt_tokens.tolist()) == {100.0}
    mine = found.system == found.systems.index(systems[0].id)
    last = found.sample == found.samples.index(late.sample_id)
    assert np.isnan(found.cost["api"][mine & last]).all()
    assert found.cost["api"][mine & ~last].tolist() == [0.10, 0.10]
    assert found.cost["api"][~mine].tolist() == [0.10, 0.10, 0.50]
    assert len(found.sample_family) == len(found.sample_level) == len(found.samples)


def test_outcomes_of_several_runs_and_of_none(store: Store, plan: Plan) -> None:
    other = create(store, request(limit=4, epochs=2))
    store.append([recorded(attempt(plan.shards[0])), recorded(attempt(other.shards[0]))])
    assert len(store.outcomes([plan.run.id, other.run.id]).system) == 2
    nothing = store.outcomes("no such run")
    assert (nothing.systems, nothing.samples, nothing.cost) == ((), (), {})


def test_unknown_usage_is_nan(store: Store, plan: Plan) -> None:
    mute = Transcript(messages=(), turns=(turn(usage=None),))
    store.append([recorded(attempt(plan.shards[0], transcript=mute))])
    assert np.isnan(store.outcomes(plan.run.id).prompt_tokens).all()


def test_export_has_everything(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    store.append([recorded(attempt(shard, 0), "0.10"), recorded(errored(shard, 1))])
    rows = list(store.export(plan.run.id))
    assert [row["dollars"] for row in rows] == [{"api": Decimal("0.10")}, {}]
    assert rows[0]["components"] == {"a": 0.5}
    assert rows[1]["fault_kind"] == "EngineTimeout"


def test_summaries_count_and_add_up(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    store.append([recorded(attempt(shard, 0), "0.10"), recorded(errored(shard, 1), "0.02")])
    (summary,) = store.runs()
    assert (summary.planned, summary.counts) == (8, {"scored": 1, "passed": 1, "errored": 1})
    assert summary.dollars == {"api": Decimal("0.12")}


def test_threads_that_append_the_same_batch_count_it_once(store: Store, plan: Plan) -> None:
    (shard,) = plan.shards
    batches = [
        [recorded(attempt(shard, n), "0.10") for n in order]
        for order in ([0, 1, 2, 3], [3, 2, 1, 0])
        for _ in range(4)
    ]
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(store.append, batches)) == 4
    assert store.paid(plan.run.id) == Decimal("0.40")


def test_two_connections_that_append_the_same_batch_count_it_once(
    url: str, store: Store, plan: Plan
) -> None:
    (shard,) = plan.shards
    with Store.open(url) as other, ThreadPoolExecutor(2) as pool:
        for n in range(4):
            batch = [recorded(attempt(shard, n, epoch=k), "0.10") for k in range(2)]
            again = [recorded(attempt(shard, n, epoch=k), "0.10") for k in (1, 0)]
            saves = [pool.submit(store.append, batch), pool.submit(other.append, again)]
            assert sum(save.result() for save in saves) == 2
    assert store.paid(plan.run.id) == Decimal("0.80")


def _holder(pid: int) -> Holder:
    return Holder(token=new_id(), host="here", node="n", pid=pid, began="1", since=NOW)


def test_one_process_has_a_run(store: Store, plan: Plan) -> None:
    first, second, run = _holder(101), _holder(102), plan.run.id
    store.take_lease(run, first, lambda _: True)
    with pytest.raises(RunTaken, match="process 101 on here") as raised:
        store.take_lease(run, second, lambda _: True)
    assert "kill -INT 101" in raised.value.hint
    assert store.holder(run) == first
    store.release_lease(run, second.token)
    assert store.beat_lease(run, first.token)
    store.release_lease(run, first.token)
    store.take_lease(run, second, lambda _: True)
    assert store.holder(run) == second


def test_a_dead_process_loses_its_run_at_once(store: Store, plan: Plan) -> None:
    first, second, run = _holder(101), _holder(102), plan.run.id
    store.take_lease(run, first, lambda _: True)
    store.take_lease(run, second, lambda _: False)
    assert not store.beat_lease(run, first.token)
    assert store.beat_lease(run, second.token)


def test_a_process_that_cannot_be_seen_loses_its_run_when_it_stops_beating(
    store: Store, plan: Plan
) -> None:
    unseen: Callable[[Holder], None] = lambda _: None  # noqa: E731
    run = plan.run.id
    store.take_lease(run, _holder(101), unseen)
    with pytest.raises(RunTaken):
        store.take_lease(run, _holder(102), unseen)
    past = NOW - timedelta(seconds=LEASE_S)
    with store.writing() as tx:
        tx.execute(LEASE.update().values(beat_at=past))
    store.take_lease(run, _holder(102), unseen)


def test_exactly_one_of_many_takers_gets_the_run(store: Store, plan: Plan) -> None:
    def take(pid: int) -> bool:
        try:
            store.take_lease(plan.run.id, _holder(pid), lambda _: True)
        except RunTaken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(6))) == 1
