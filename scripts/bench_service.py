"""The service's speed on real PostgreSQL and Redis: one API process, two workers, scripted engine.

Prints medians and spreads: submit to first attempt, attempts per second, the API's p95 with a long
queue, and the status page of a large run.

    python scripts/bench_service.py --postgres URL --redis URL [--quick]

The database it names is only used to make one of its own beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import redis
from sqlalchemy import create_engine, make_url

from qbench.benchmarks.chat import Message, Timing, TokenUsage, Turn
from qbench.benchmarks.suite import Score
from qbench.benchmarks.transcript import Transcript
from qbench.service.domain import Attempt, AttemptStatus, Controls, Shard, new_id
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.store import Recorded, Store
from qbench.workers.engines.process import free_port

SUMS = {"suite": "sums", "engine": "scripted", "models": ["scripted/sums"]}
BUSY = ("queued", "running")


@contextlib.contextmanager
def database_beside(url: str) -> Iterator[str]:
    """Make a database of our own and remove it again."""
    name = f"qbench_bench_{secrets.token_hex(4)}"
    located = url.replace("postgresql://", "postgresql+psycopg://", 1)
    server = create_engine(located, isolation_level="AUTOCOMMIT")
    with server.connect() as admin:
        admin.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield make_url(located).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as admin:
            admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()


@contextlib.contextmanager
def started(*arguments: str, **environment: str) -> Iterator[None]:
    """Run a verb of qbench beside us."""
    command = [sys.executable, "-m", "qbench", *arguments]
    with subprocess.Popen(  # noqa: S603 - our own program
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def until(condition: Callable[[], bool], every_s: float = 0.01) -> float:
    """Wait; return the seconds it took."""
    began = time.perf_counter()
    while not condition():
        time.sleep(every_s)
    return time.perf_counter() - began


def submit(http: httpx.Client, **order: Any) -> str:
    """Hand a run in."""
    body = {"order": SUMS | order, "fresh": True, "controls": {"concurrency": 64}}
    answer = http.post("/v1/runs", json=body)
    answer.raise_for_status()
    found: str = answer.json()["run"]["id"]
    return found


def first_attempts(http: httpx.Client, store: Store, times: int) -> list[float]:
    """Return the seconds from handing a run in to its first durable attempt."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run = submit(http, samples=64)
        until(lambda run=run: bool(store.counts(run)), 0.002)
        taken.append(time.perf_counter() - began)
        until(lambda run=run: store.run(run).status.value not in BUSY)
    return taken


def throughput(http: httpx.Client, store: Store, samples: int) -> float:
    """Return attempts per second of one run."""
    run = submit(http, samples=samples, epochs=4)
    until(lambda: bool(store.counts(run)))
    took = until(lambda: store.run(run).status.value not in BUSY, 0.05)
    return 4 * samples / took


def latencies(act: Callable[[], httpx.Response], times: int) -> list[float]:
    """Return the milliseconds of many requests."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act().raise_for_status()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def large_run(store: Store, attempts: int) -> str:
    """Write a finished run of so many attempts."""
    order = Order(
        suite="sums", engine="scripted", models=("scripted/sums",), samples=attempts // 10
    )
    request = to_request(Order(**{n: getattr(order, n) for n in order.__struct_fields__}))
    plan = make_plan(request, Controls(), now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    for shard in plan.shards:
        for epoch in range(10):
            store.append([Recorded(attempt=made(shard, one, epoch)) for one in shard.sample_ids])
    return plan.run.id


def made(shard: Shard, sample_id: str, epoch: int) -> Attempt:
    """Make an attempt up."""
    now = datetime.now(UTC)
    turn = Turn(
        message=Message(role="assistant", content="3"),
        finish_reason="stop",
        timing=Timing(started_at=now, e2el_s=0.1),
        usage=TokenUsage(prompt_tokens=30, completion_tokens=2),
    )
    return Attempt(
        id=new_id(),
        run_id=shard.run_id,
        system_id=shard.system_id,
        sample_id=sample_id,
        epoch=epoch,
        cell_id=shard.cell_id,
        endpoint_id="",
        status=AttemptStatus.SCORED,
        started_at=now,
        ended_at=now,
        transcript=Transcript(messages=(), turns=(turn,)),
        score=Score(status="scored", value=1.0, passed=True, scorer="bench"),
    )


def measure(arguments: argparse.Namespace, url: str) -> None:
    """Start the service, measure, print."""
    port, broker = free_port(), arguments.redis
    redis.Redis.from_url(broker).flushdb()
    common = ("--database", url, "--broker", broker)
    with (
        Store.open(url) as store,
        started("serve", "--port", str(port), *common),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        until(lambda: answers(http), 0.1)
        with started("worker", *common), started("worker", *common):
            until(lambda: len(store.workers()) == 2, 0.1)
            with_workers(http, store, times=5 if arguments.quick else 20)
        until(lambda: not store.workers(), 0.1)
        with_a_queue(http, 500 if arguments.quick else 10_000)
        size = 10_000 if arguments.quick else 100_000
        run = large_run(store, size)
        tell(
            f"status page of {size:,} attempts", latencies(lambda: http.get(f"/v1/runs/{run}"), 50)
        )


def with_workers(http: httpx.Client, store: Store, times: int) -> None:
    """Measure what workers do."""
    submit(http, samples=64)
    time.sleep(2)
    tell("submit to first attempt", [1000 * s for s in first_attempts(http, store, times)])
    rates = [throughput(http, store, 2000) for _ in range(3)]
    low, high = min(rates), max(rates)
    print(
        f"attempts/s, two workers: median {statistics.median(rates):.0f} ({low:.0f} to {high:.0f})"
    )


def with_a_queue(http: httpx.Client, queue: int) -> None:
    """Measure the API while so many runs wait."""
    body = {"order": SUMS, "fresh": True}
    posts = latencies(lambda: http.post("/v1/runs", json=body), queue)
    tell(f"POST /v1/runs, last tenth of {queue:,}", posts[-queue // 10 :])
    last = http.get("/v1/runs", params={"limit": 1}).json()["runs"][0]["id"]
    for path in (f"/v1/runs/{last}", "/v1/runs", "/v1/workers", "/health/ready"):
        found = latencies(lambda path=path: http.get(path), 100)  # type: ignore[misc]
        tell(f"GET {path.replace(last, 'RUN')}, {queue:,} queued", found)


def tell(what: str, milliseconds: list[float]) -> None:
    """Print a median and a p95."""
    middle = statistics.median(milliseconds)
    print(f"{what}: median {middle:.1f} ms, p95 {p95(milliseconds):.1f} ms", flush=True)


def answers(http: httpx.Client) -> bool:
    """Say whether the API is up."""
    try:
        return http.get("/health/live").is_success
    except httpx.HTTPError:
        return False


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432/test")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/8")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    with database_beside(arguments.postgres) as url:
        measure(arguments, url)


if __name__ == "__main__":
    main()
