from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, update

from qbench.benchmarks.transcript import Transcript
from qbench.errors import StoreError
from qbench.service import metrics
from qbench.service.domain import Attempt, Run
from qbench.service.metrics import COUNTED, Exposed, Standing, serve_metrics
from qbench.service.plan import Plan
from qbench.service.store import Gauges, Store
from qbench.service.tables import HOSTING, LEDGER, RUN, SHARD, WORKER
from qbench.workers.metered import KNOWN_RUNS, MeteredProgress
from qbench.workers.progress import Silent
from qbench.workers.steps import execute
from tests.integration.made import attempt, create, errored, recorded, request, system, turn
from tests.integration.test_steps import DOLLAR_A_SECOND, ON_BOX

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Deltas:
    """What the process's counters gained since this was made."""

    def __init__(self) -> None:
        self._before = self._read()

    def _read(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for metric in COUNTED.collect()
            for sample in metric.samples
        }

    def of(self, name: str, **labels: str) -> float:
        """Sum over the series that have ``labels``."""
        wanted = labels.items()
        return sum(
            value - self._before.get((found, pairs), 0.0)
            for (found, pairs), value in self._read().items()
            if found == name and wanted <= dict(pairs).items()
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "qbench.db")) as opened:
        yield opened


async def test_the_counters_of_a_run_equal_what_the_store_has(store: Store) -> None:
    faulty = system("fp8", faults={"http_500": 0.1, "timeout": 0.1})
    plan = create(store, request((system("bf16"), faulty), limit=60), ON_BOX)
    deltas = Deltas()
    store.on_booked(metrics.note_dollars)
    await execute(plan.run, store, DOLLAR_A_SECOND, MeteredProgress(Silent()))
    views = list(store.attempts(plan.run.id, limit=1000))
    for status in ("scored", "unscored", "errored"):
        there = sum(view.status == status for view in views)
        assert deltas.of("qbench_attempts_total", suite="sums", status=status) == there
    turns = [turn for view in views for turn in store.transcript(view.id).turns]
    assert deltas.of("qbench_model_calls_total", outcome="stop") == len(turns)
    faults = store.faults(plan.run.id)[faulty.id]
    assert sum(faults.values()) > 0
    assert deltas.of("qbench_model_calls_total", format="fp8", outcome="error") == sum(
        faults.values()
    )
    for kind, number in faults.items():
        assert deltas.of("qbench_errors_total", kind=kind) == number
    used = [turn.usage for turn in turns if turn.usage]
    for kind in ("prompt", "cached", "completion"):
        counted = deltas.of("qbench_tokens_total", model="scripted/sums", kind=kind)
        assert counted == sum(getattr(usage, f"{kind}_tokens") for usage in used)
    for basis, dollars in store.spent(plan.run.id).items():
        assert deltas.of("qbench_dollars_total", basis=basis) == pytest.approx(float(dollars))
    assert deltas.of("qbench_attempt_seconds_count", suite="sums") == 120
    assert COUNTED.get_sample_value(
        "qbench_engine_state", {"model": "scripted/sums", "format": "bf16", "state": "up"}
    )


def test_only_committed_lines_are_told(url: str) -> None:
    with Store.open(url) as store:
        plan = create(store, request())
        told: list[tuple[str, Decimal | None]] = []
        store.on_booked(lambda basis, dollars: told.append((basis, dollars)))
        first = recorded(attempt(plan.shards[0]), "0.10", None)
        store.append([first])
        assert told == [("api", Decimal("0.10")), ("api", None)]
        store.append([first])  # delivered twice
        with pytest.raises(RuntimeError), store.writing() as tx:
            values = {"basis": "api", "dollars": Decimal(1), "price_id": "p9", "at": NOW}
            tx.execute(
                insert(LEDGER),
                [
                    values
                    | {"run_id": plan.run.id, "attempt_id": first.attempt.id, "usage": b"null"}
                ],
            )
            raise RuntimeError
        with store.writing():
            pass
        assert len(told) == 2


def test_the_gauges_say_where_the_service_stands(url: str) -> None:
    with Store.open(url) as store:
        plans = [create(store, request(limit=200)) for _ in range(3)]
        fill(store, plans[0], plans[1])
        shard = plans[0].shards[0]
        store.append([recorded(attempt(shard, 0), "0.50"), recorded(attempt(shard, 1), "0.25")])
        store.append([recorded(errored(shard, 2), None)])
        free = len(plans[0].shards) - 2
        assert store.gauges(NOW) == Gauges(
            waiting={"run": 2, "hosting": 1, "shard": free},
            oldest_s=90.0,
            runs=dict.fromkeys(store.gauges(NOW).runs, 0) | {"queued": 2, "planned": 1},
            workers={"working": 1, "draining": 1},
            engines={"waiting": 1, "up": 1},
            dollars={"api": 0.75},
        )


def fill(store: Store, first: Plan, second: Plan) -> None:
    """Write two queued runs, engines in four states, shards free, leased and closed, workers."""
    with store.writing() as tx:
        for run, waited in ((first.run, 90), (second.run, 30)):
            values = {"status": "queued", "queued_at": NOW - timedelta(seconds=waited)}
            tx.execute(update(RUN).where(RUN.c.id == run.id).values(values))
        for state in ("waiting", "up", "over", "failed"):
            values = {"id": state, "run_id": first.run.id, "state": state}
            tx.execute(insert(HOSTING).values(values | {"engine_key": "k", "needs": "cpu*1"}))
        for run, hosting in ((first.run, "up"), (second.run, "over")):
            mine = SHARD.c.run_id == run.id
            tx.execute(update(SHARD).where(mine).values({"hosting_id": hosting}))
        shards = [shard.id for shard in first.shards]
        tx.execute(update(SHARD).where(SHARD.c.id == shards[0]).values({"token": "t"}))
        tx.execute(update(SHARD).where(SHARD.c.id == shards[1]).values({"closed": True}))
        for name, beat, draining in (("a", 1, False), ("b", 2, True), ("c", 600, False)):
            values = {"beat_at": NOW - timedelta(seconds=beat), "draining": draining}
            tx.execute(insert(WORKER).values(values | {"id": name, "body": b"{}"}))


class Counting:
    """A store that counts how often it is asked, and may be down."""

    def __init__(self, store: Store) -> None:
        self.store, self.asked, self.down = store, 0, False

    def gauges(self) -> Gauges:
        self.asked += 1
        if self.down:
            raise StoreError("The database does not answer.", hint="Start it.")
        return self.store.gauges()


def values(text: str) -> dict[str, float]:
    """Return the samples without labels, and the queue depths by queue."""
    return {
        sample.labels.get("queue", sample.name): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if set(sample.labels) <= {"queue"}
    }


def test_the_exposition_parses_in_both_forms_and_reads_the_database_seldom(store: Store) -> None:
    counting = Counting(store)
    exposed = Exposed(Standing(counting))
    text, content_type = exposed.text()
    assert content_type.startswith("text/plain")
    found = values(text.decode())
    assert (found["qbench_database_up"], found["run"], found["shard"]) == (1, 0, 0)
    assert found["process_resident_memory_bytes"] > 1e6
    modern, content_type = exposed.text("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in open_families(modern.decode())}
    assert {"qbench_attempts", "qbench_attempt_seconds", "qbench_runs"} <= set(families)
    assert all(family.documentation for name, family in families.items() if "qbench" in name)
    assert counting.asked == 1


def test_a_database_that_is_down_fails_no_scrape(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    counting = Counting(store)
    exposed = Exposed(Standing(counting, cached_s=-1))
    counting.down = True
    found = values(exposed.text()[0].decode())
    assert found["qbench_database_up"] == 0
    assert "run" not in found
    assert "does not answer the metrics" in caplog.text
    counting.down = False
    assert values(exposed.text()[0].decode())["run"] == 0


def test_a_worker_serves_its_metrics_on_loopback(store: Store) -> None:
    server, thread = serve_metrics(0, standing=Standing(store))
    try:
        assert server.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            found = values(answer.read().decode())
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    assert found["qbench_database_up"] == 1
    assert found["qbench_queue_age_seconds"] == 0


def ended(made: Attempt, progress: MeteredProgress) -> Deltas:
    deltas = Deltas()
    progress.ended(made, Decimal(0))
    return deltas


def test_a_worker_of_single_shards_looks_the_run_up_once(store: Store) -> None:
    plan = create(store, request())
    asked: list[str] = []

    def find(run_id: str) -> Run:
        asked.append(run_id)
        return store.run(run_id)

    progress = MeteredProgress(Silent(), find)
    for n in range(3):
        deltas = ended(attempt(plan.shards[0], n), progress)
        assert deltas.of("qbench_tokens_total", model="scripted/sums", kind="cached") == 40
    assert asked == [plan.run.id]
    unknown = attempt(plan.shards[0], run_id="gone")
    assert ended(unknown, progress).of("qbench_attempts_total", suite="unknown") == 1


def test_runs_are_forgotten_and_odd_finish_reasons_are_one_series(store: Store) -> None:
    plan = create(store, request())
    progress = MeteredProgress(Silent())
    for n in range(2 * KNOWN_RUNS):
        progress.begin(replace(plan.run, id=str(n)), {})
    assert len(progress._runs) == KNOWN_RUNS
    odd = turn(finish_reason="because 0x7f3a", usage=None)
    made = attempt(plan.shards[0], transcript=Transcript(messages=(), turns=(odd,)))
    deltas = ended(made, progress)
    assert deltas.of("qbench_model_calls_total", outcome="other") == 1
    assert deltas.of("qbench_tokens_total") == 0


def test_an_engine_is_in_one_state_at_a_time() -> None:
    for state in ("loading", "up"):
        metrics.note_engine("m", "int4", state)
    states = {
        state: COUNTED.get_sample_value(
            "qbench_engine_state", {"model": "m", "format": "int4", "state": state}
        )
        for state in metrics.ENGINE_STATES
    }
    assert states == dict.fromkeys(metrics.ENGINE_STATES, 0.0) | {"up": 1.0}


def test_sibling_processes_are_told_together(tmp_path: Path) -> None:
    program = (
        "import sys; from qbench.service import metrics as m\n"
        "m.ATTEMPTS.labels('mcp', 'scored').inc(2)\n"
        "sys.stdout.write(m.Exposed().text()[0].decode())"
    )
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for number in (2.0, 4.0):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f'qbench_attempts_total{{status="scored",suite="mcp"}} {number}' in done.stdout
