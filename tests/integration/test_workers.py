"""Real workers on PostgreSQL and Redis, and what may befall them."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import redis
from msgspec.structs import replace
from sqlalchemy import make_url

from qbench.benchmarks.chat import Sampling
from qbench.service.access import LOCAL
from qbench.service.broker import CeleryWaker, celery_app
from qbench.service.desk import Desk, Submission
from qbench.service.domain import Controls, Run, RunStatus
from qbench.service.order import Order
from qbench.service.queue import SHARD_TRIES, HostingState
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.store import Store
from qbench.workers.engines.process import free_port
from tests.conftest import administer
from tests.integration.farm import (
    REPOSITORY,
    Farm,
    at_rest,
    desk_of,
    farm,
    hand_in,
    submission,
    until,
)
from tests.tiny_model import save_tiny_model

KILLS = int(os.environ.get("QBENCH_TEST_KILLS", "8"))
"""Workers killed over one run; the figures in docs/measured.md were made with 100."""

BILLED = Controls(concurrency=16, hardware="cpu-2core")


@pytest.fixture
def store(postgres: str) -> Iterator[Store]:
    with Store.open(postgres) as opened:
        yield opened


@pytest.fixture
def desk(store: Store, broker: str) -> Desk:
    return desk_of(store, broker)


@pytest.fixture
def workers(postgres: str, broker: str, tmp_path: Path) -> Iterator[Farm]:
    with farm(postgres, broker, tmp_path) as made:
        yield made


def check_books(store: Store, run: Run) -> None:
    """Every attempt once, and the sums that are kept are the sums of what is there."""
    views = store.attempts(run.id, limit=100_000)
    keys = Counter((view.system_id, view.sample_id, view.epoch) for view in views)
    assert set(keys.values()) <= {1}
    assert store.run(run.id).status is not RunStatus.DONE or len(keys) == sum(
        store.planned(run.id).values()
    )
    counts: Counter[str] = Counter()
    for by_status in store.counts(run.id).values():
        counts.update(by_status)
    statuses = Counter(view.status for view in views)
    assert counts["scored"] == statuses["scored"]
    assert counts["errored"] == statuses["errored"]
    assert counts["passed"] == sum(view.passed for view in views)
    lines = list(store.ledger(run.id))
    bases = {line.basis for line in lines}
    booked = {
        b: [x.dollars for x in lines if x.basis == b and x.dollars is not None] for b in bases
    }
    sums = {basis: sum(dollars, Decimal(0)) for basis, dollars in booked.items() if dollars}
    assert sums == store.spent(run.id)
    assert len({(x.attempt_id, x.endpoint_id, x.basis, x.price_id) for x in lines}) == len(lines)


def test_a_run_is_made_by_workers(store: Store, desk: Desk, workers: Farm) -> None:
    workers.start(2)
    run = hand_in(desk, submission(samples=200, formats="fp8"))
    assert at_rest(store, run) is RunStatus.DONE
    check_books(store, run)
    assert {h.state for h in store.hostings(run.id)} == {HostingState.OVER}
    assert store.run(run.id).queued_at is None


def test_an_engine_is_hosted_once_and_billed_to_its_attempts(
    store: Store, desk: Desk, workers: Farm
) -> None:
    workers.start(2)
    run = hand_in(desk, submission(samples=150, controls=BILLED, formats="fp8"))
    assert at_rest(store, run) is RunStatus.DONE
    check_books(store, run)
    assert len(store.endpoints(run.id)) == 2
    assert store.unpriced(run.id) == 0
    assert len(list(store.ledger(run.id))) == 2 * 300
    assert store.paid(run.id) > 0


def test_kills_lose_and_double_nothing(store: Store, desk: Desk, workers: Farm) -> None:
    size = max(400, 25 * KILLS)
    run = hand_in(desk, submission(samples=size, controls=BILLED, itl_s=0.004, ttft_s=0.02))
    chance = random.Random(7)
    workers.start(2)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 1.2))
        workers.kill(chance.choice(workers.pids))
        workers.start()
    assert at_rest(store, run, limit_s=240) is RunStatus.DONE
    check_books(store, run)
    assert sum(store.planned(run.id).values()) == size
    assert not store.orphaned_endpoints(run.id)


def test_a_stopped_worker_hands_back_what_it_held(store: Store, desk: Desk, workers: Farm) -> None:
    workers.start()
    run = hand_in(desk, submission(samples=300, controls=BILLED, ttft_s=0.05))
    until(lambda: store.counts(run.id) != {})
    workers.stop(workers.pids[0])
    assert store.workers() == ()
    assert [h.state for h in store.hostings(run.id)] == [HostingState.WAITING]
    assert not store.orphaned_endpoints(run.id)
    workers.start()
    assert at_rest(store, run) is RunStatus.DONE
    check_books(store, run)


def test_cancel_keeps_what_ended_and_resume_makes_the_rest(
    store: Store, desk: Desk, workers: Farm
) -> None:
    workers.start()
    run = hand_in(desk, submission(samples=300, controls=BILLED, ttft_s=0.05))
    until(lambda: store.counts(run.id) != {})
    assert desk.cancel(run.id, LOCAL).status is RunStatus.CANCELLED
    until(lambda: not store.orphaned_endpoints(run.id))
    kept = sum(by["scored"] for by in store.counts(run.id).values())
    assert 0 < kept < 300
    assert desk.resume(run.id, LOCAL).status in (RunStatus.QUEUED, RunStatus.RUNNING)
    assert at_rest(store, run) is RunStatus.DONE
    check_books(store, run)


def test_a_broker_that_lost_its_data_delays_only(
    store: Store, desk: Desk, workers: Farm, broker: str
) -> None:
    run = hand_in(desk, submission(samples=100, ttft_s=0.02))
    redis.Redis.from_url(broker).flushdb()
    workers.start()
    until(lambda: store.counts(run.id) != {})
    redis.Redis.from_url(broker).flushdb()
    assert at_rest(store, run) is RunStatus.DONE
    check_books(store, run)


def test_messages_that_come_often_change_nothing(
    store: Store, desk: Desk, workers: Farm, broker: str
) -> None:
    waker = CeleryWaker(celery_app(broker))
    workers.start(2)
    run = hand_in(desk, submission(samples=200, controls=BILLED))
    for queue in ("plan", "engine", "shard"):
        waker.wake(queue, 20)
    assert at_rest(store, run) is RunStatus.DONE
    check_books(store, run)
    assert len(store.endpoints(run.id)) == 1


def test_a_clock_a_minute_off_costs_nothing(
    store: Store, desk: Desk, workers: Farm, postgres: str, broker: str, tmp_path: Path
) -> None:
    with farm(postgres, broker, tmp_path, skew_s=60) as late:
        workers.start()
        late.start()
        run = hand_in(desk, submission(samples=300, controls=BILLED, ttft_s=0.02, formats="fp8"))
        assert at_rest(store, run) is RunStatus.DONE
        check_books(store, run)
        assert {view.alive for view in store.workers()} == {True}


def test_a_poison_shard_is_given_up_and_the_rest_is_made(
    store: Store, desk: Desk, postgres: str, broker: str, tmp_path: Path
) -> None:
    run = hand_in(desk, submission(samples=200, controls=Controls(concurrency=4)))
    with farm(postgres, broker, tmp_path) as healthy:
        healthy.start()
        until(lambda: bool(store.shards(run.id)))
    sample = store.shards(run.id)[0].sample_ids[0]
    if store.run(run.id).status is RunStatus.DONE:
        pytest.skip("the run ended before the poison was ready")
    with farm(postgres, broker, tmp_path, POISON=sample) as deadly:
        deadline = time.monotonic() + 150
        while store.run(run.id).status in (RunStatus.QUEUED, RunStatus.RUNNING):
            assert time.monotonic() < deadline
            deadly.start()
            time.sleep(1.0)
    assert store.run(run.id).status is RunStatus.PARTIAL
    check_books(store, run)
    assert SHARD_TRIES > 1


def test_a_database_that_goes_away_for_a_while_delays_only(
    store: Store, desk: Desk, workers: Farm, postgres: str
) -> None:
    workers.start(2)
    run = hand_in(desk, submission(samples=400, controls=BILLED, ttft_s=0.05))
    until(lambda: store.counts(run.id) != {})
    with gone(postgres):
        time.sleep(3)
    assert at_rest(store, run, limit_s=90) is RunStatus.DONE
    check_books(store, run)
    assert not store.orphaned_endpoints(run.id)


@contextlib.contextmanager
def gone(url: str) -> Iterator[None]:
    """Cut every connection to a database and let nobody in, as a server that restarts does."""
    name = make_url(url).database
    administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    mine = f"datname = '{name}'"
    administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")  # noqa: S608
    try:
        yield
    finally:
        administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_an_api_killed_while_a_run_is_handed_in_makes_it_once(
    store: Store, postgres: str, broker: str
) -> None:
    chance = random.Random(3)
    body = {"order": {"suite": "sums", "engine": "scripted", "models": ["scripted/sums"]}}
    for number in range(4):
        headers = {"Idempotency-Key": f"k{number}"}
        with serving_api(postgres, broker) as (url, process):
            killer = threading.Timer(chance.uniform(0, 0.03), process.kill)
            killer.start()
            with contextlib.suppress(httpx.HTTPError):
                httpx.post(f"{url}/v1/runs", json=body | {"fresh": True}, headers=headers)
            killer.join()
        with serving_api(postgres, broker) as (url, _):
            answer = httpx.post(f"{url}/v1/runs", json=body | {"fresh": True}, headers=headers)
            assert answer.status_code in (200, 201)
    assert len(store.runs(100)) == 4


@contextlib.contextmanager
def serving_api(url: str, broker: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "qbench", "serve", "--port", str(port)]
    command += ["--database", url, "--broker", broker]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        base = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{base}/health/live"))
        try:
            yield base, process
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def test_an_engine_that_is_killed_is_started_anew(
    store: Store, desk: Desk, workers: Farm, tmp_path: Path
) -> None:
    folder = save_tiny_model(tmp_path / "tiny")
    workers.start()
    order = Order(
        suite="sums",
        engine="embedded",
        models=(str(folder),),
        samples=60,
        options={"device": "cpu", "threads": 1},
        sampling=Sampling(max_tokens=24),
    )
    run = hand_in(desk, Submission(order=order, controls=Controls(concurrency=4), fresh=True))
    until(lambda: store.counts(run.id) != {})
    (session,) = store.endpoints(run.id)
    port = session.base_url.rpartition(":")[2]
    subprocess.run(["/usr/bin/pkill", "-KILL", "-f", "--", f"--port {port}"], check=True)
    assert at_rest(store, run, limit_s=120) is RunStatus.DONE
    check_books(store, run)
    assert not store.orphaned_endpoints(run.id)
    assert store.unpriced(run.id) == 0


def test_a_baseline_and_its_copy_share_one_engine(store: Store, desk: Desk, workers: Farm) -> None:
    workers.start()
    wanted = submission(samples=60, formats="fp8", controls=BILLED, unsteady=0.2)
    twice = replace(wanted, order=replace(wanted.order, noise_floor=True))
    run = hand_in(desk, twice)
    assert at_rest(store, run) is RunStatus.DONE
    check_books(store, run)
    baseline, fp8, again = run.request.systems
    assert again.engine_key == baseline.engine_key != fp8.engine_key
    keys = Counter(session.engine_key for session in store.endpoints(run.id))
    assert keys == {baseline.engine_key: 1, fp8.engine_key: 1}
    board = leaderboard_of(store, run.id)
    assert board.noise is not None
    assert board.noise.flips.samples == 60
