"""Leases as the database gives them, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from qbench.errors import Conflict, RunTaken
from qbench.service.domain import Controls, Run, RunStatus, new_id
from qbench.service.plan import new_run, plan_of
from qbench.service.queue import HOSTING_TRIES, SHARD_TRIES, Hosting, HostingState, Needs, Worker
from qbench.service.store import Sent, Store
from qbench.workers.leases import this_process
from tests.integration.made import endpoint, request, system

RACERS = 6


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def worker(name: str = "") -> Worker:
    me = this_process()
    return Worker(
        id=name or new_id(),
        host="here",
        node="node",
        pid=1,
        began="",
        devices=("node/cpu0", "node/cpu1"),
        threads=4,
        version="1",
        since=me.since,
    )


def queued(store: Store, *, account: str | None = None, priority: int = 0, limit: int = 200) -> Run:
    run = new_run(request((system(),), limit=limit), Controls(), now=datetime.now(UTC))
    made, _ = store.submit(replace(run, account_id=account, priority=priority))
    return made


def begun(store: Store, needs: Needs, state: HostingState) -> tuple[Run, Hosting]:
    run = queued(store)
    plan = plan_of(run)
    store.lay_out(plan)
    hosting = Hosting(
        id=new_id(),
        run_id=run.id,
        engine_key=plan.run.request.systems[0].engine_key,
        needs=str(needs),
        state=state,
        parallel=2,
        width=4,
    )
    assert store.begin(run.id, [(hosting, [run.request.systems[0].id])])
    return run, hosting


def test_a_device_is_taken_by_one_of_many(store: Store) -> None:
    with ThreadPoolExecutor(RACERS) as pool:
        found = list(pool.map(lambda n: store.take_devices(("a",), 1, f"{n}"), range(RACERS)))
    (taken,) = [one for one in found if one]
    assert store.take_devices(("a",), 1, "again") == ()
    store.give_devices(taken[0])
    assert store.take_devices(("a", "b"), 2, "both")
    assert store.take_devices(("b", "c"), 2, "all or none") == ()
    assert "c" not in store.devices()


def test_an_engine_is_leased_by_one_of_many(store: Store) -> None:
    begun(store, Needs("cpu"), HostingState.WAITING)
    with ThreadPoolExecutor(RACERS) as pool:
        found = list(pool.map(lambda _: store.lease_hosting(worker(), "cpu*1"), range(RACERS)))
    assert len([one for one in found if one]) == 1


def test_shards_are_leased_once_and_never_more_than_parallel(store: Store) -> None:
    run, hosting = begun(store, Needs("nothing", 0), HostingState.UP)
    assert len(store.shards(run.id)) == 4
    with ThreadPoolExecutor(RACERS) as pool:
        found = list(pool.map(lambda _: store.lease_shard(worker()), range(RACERS)))
    leased = [one for one in found if one]
    while (more := store.lease_shard(worker())) is not None:
        leased.append(more)
    assert len(leased) == len({one.shard.id for one in leased}) == hosting.parallel
    assert store.release_shard(leased[0].token)
    assert not store.release_shard(leased[0].token)
    assert store.lease_shard(worker()) is not None


def test_who_lost_a_lease_can_change_nothing(store: Store) -> None:
    run, _ = begun(store, Needs("cpu"), HostingState.WAITING)
    first = store.lease_hosting(worker(), "cpu*1")
    assert first is not None
    store.requeue_hosting(first)
    second = store.lease_hosting(worker(), "cpu*1")
    assert second is not None
    assert not store.set_hosting(first.token, HostingState.UP)
    assert store.set_hosting(second.token, HostingState.UP)
    assert store.hostings(run.id)[0].token == second.token


def test_an_engine_that_keeps_dying_is_given_up(store: Store) -> None:
    run, _ = begun(store, Needs("cpu"), HostingState.WAITING)
    for _ in range(HOSTING_TRIES):
        held = store.lease_hosting(worker(), "cpu*1")
        assert held is not None
        store.requeue_hosting(held, "it died")
    (found,) = store.hostings(run.id)
    assert found.state is HostingState.FAILED
    assert "it died" in found.reason
    assert store.finish(run.id) is RunStatus.PARTIAL
    assert store.finish(run.id) is None


def test_a_shard_that_saves_nothing_is_left_alone(store: Store) -> None:
    begun(store, Needs("nothing", 0), HostingState.UP)
    tries = 0
    while (held := store.lease_shard(worker())) is not None:
        store.release_shard(held.token)
        tries += 1
    assert tries == 4 * SHARD_TRIES


def test_a_run_is_begun_and_finished_once(store: Store) -> None:
    run, hosting = begun(store, Needs("nothing", 0), HostingState.UP)
    assert not store.begin(run.id, [])
    assert store.finish(run.id) is None
    assert store.end_hosting(hosting.id, "stopped")
    with ThreadPoolExecutor(RACERS) as pool:
        found = list(pool.map(lambda _: store.finish(run.id), range(RACERS)))
    assert [one for one in found if one] == [RunStatus.PARTIAL]


def test_the_queue_is_fair_between_accounts_and_heeds_priority(store: Store) -> None:
    mine = [queued(store, account="a") for _ in range(3)]
    theirs = [queued(store, account="b") for _ in range(2)]
    urgent = queued(store, account="a", priority=5)
    order = [run.id for run in store.queued(10)]
    expected = [urgent, mine[0], theirs[0], mine[1], theirs[1], mine[2]]
    # the urgent run is the first of its account, so the others of it come one turn later
    assert order[0] == urgent.id
    assert set(order[1:3]) <= {mine[0].id, theirs[0].id, theirs[1].id}
    assert set(order) == {run.id for run in expected}
    assert order.index(theirs[1].id) < order.index(mine[2].id)
    assert store.place(mine[2].id) == (6, 6)
    assert store.cancel(mine[2].id)
    assert store.place(mine[2].id) is None


def test_a_submission_is_known_by_its_key(store: Store) -> None:
    sent = Sent(account="", token="k", digest="d")
    first, created = store.submit(new_run(request(), Controls(), now=datetime.now(UTC)), sent)
    again, twice = store.submit(new_run(request(), Controls(), now=datetime.now(UTC)), sent)
    assert (created, twice) == (True, False)
    assert first.id == again.id
    other = replace(sent, digest="another")
    with pytest.raises(Conflict, match="another submission"):
        store.submit(new_run(request(), Controls(), now=datetime.now(UTC)), other)


def test_twins_of_one_key_make_one_run(store: Store) -> None:
    def send(_: int) -> str:
        sent = Sent(account="", token="k", digest="d")
        return store.submit(new_run(request(), Controls(), now=datetime.now(UTC)), sent)[0].id

    with ThreadPoolExecutor(RACERS) as pool:
        assert len(set(pool.map(send, range(RACERS)))) == 1
    assert len(store.runs(100)) == 1


def test_a_run_in_the_queue_is_not_taken_by_a_local_process(store: Store) -> None:
    run = queued(store)
    with pytest.raises(RunTaken, match="hands of the service") as raised:
        store.take_lease(run.id, this_process(), lambda _: None)
    assert f"qbench cancel {run.id}" in raised.value.hint
    store.cancel(run.id)
    store.take_lease(run.id, this_process(), lambda _: None)
    with pytest.raises(RunTaken, match="outside the service"):
        store.enqueue(run.id, run.controls)


def test_a_shared_budget_is_never_passed(store: Store) -> None:
    run, _ = begun(store, Needs("nothing", 0), HostingState.UP)
    one, two = store.lease_shard(worker()), store.lease_shard(worker())
    assert one is not None
    assert two is not None
    budget = Decimal(10)
    first = store.reserve_shard(run.id, one.token, budget, wanted=Decimal(8), least=Decimal(1))
    second = store.reserve_shard(run.id, two.token, budget, wanted=Decimal(8), least=Decimal(1))
    assert (first.dollars, second.dollars) == (Decimal(8), Decimal(2))
    third = store.reserve_shard(run.id, two.token, Decimal(8), wanted=Decimal(1), least=Decimal(1))
    assert (third.dollars, third.final) == (None, False)
    store.release_shard(one.token)
    opened = endpoint(plan_of(run))
    store.open_endpoint(replace(opened, run_id=run.id))
    assert store.reserve_engine(run.id, opened.id, budget, Decimal(8))
    assert not store.reserve_engine(run.id, opened.id, budget, Decimal("8.01"))


def test_sweeps_take_turns(store: Store) -> None:
    with ThreadPoolExecutor(RACERS) as pool:
        found = list(pool.map(lambda _: store.my_turn("sweep", 60), range(RACERS)))
    assert sum(found) == 1


def test_lost_workers_lose_what_they_held(store: Store) -> None:
    begun(store, Needs("cpu"), HostingState.WAITING)
    dead, living = worker("dead"), worker("living")
    store.join(dead)
    store.join(living)
    held = store.lease_hosting(dead, "cpu*1")
    assert held is not None
    assert store.lost() == ()
    (found,) = store.lost(["dead"])
    assert found.id == held.id
    assert [view.worker.id for view in store.workers()] == ["living"]
    assert not store.pulse("dead").known
    assert store.pulse("living").known
