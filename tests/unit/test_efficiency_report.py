"""Efficiency of whole runs made with the scripted engine, against sums done by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.chat import Sampling
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Controls, System
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.pricebook import read_prices
from qbench.service.profiles import Profile, save
from qbench.service.reports.efficiency.profiles import Nominal
from qbench.service.reports.efficiency.report import Wanted, efficiency_of
from qbench.service.reports.efficiency.values import Costed, Efficiency
from qbench.service.reports.efficiency.weighing import read_weights
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from tests.integration.made import attempt, create, errored, recorded, request, turn
from tests.integration.made import system as recorded_system
from tests.profiles import made_profile, seconds
from tests.scripted_runs import made_run


def made(store: Store, *, formats: tuple[str, ...] = ("fp8", "w4a16"), **options: Any) -> str:
    order = Order(
        suite="sums",
        models=("some/model",),
        formats=formats,
        engine="scripted",
        samples=40,
        epochs=options.pop("epochs", 1),
        levels=(1, 2, 3, 4, 5),
        sampling=Sampling(),
        options={"accuracy": {"bf16": 0.9, "fp8": 0.9, "w4a16": 0.4}} | options,
    )
    return made_run(store, order)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("efficiency") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    return made(store)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_PROFILES", str(tmp_path))


def kept(system: System, **changes: Any) -> Profile:
    """Keep a profile of a system of the run; the scripted engine has no machine."""
    profile = made_profile(
        id=f"{system.format:0<12}"[:12],
        model=system.model,
        format=system.format,
        engine="scripted",
        engine_key=system.engine_key,
        hardware="",
        **changes,
    )
    save(profile)
    return profile


def report(store: Store, ref: str, **wanted: Any) -> Efficiency:
    return efficiency_of(store, ref, read_prices({}), Wanted(**wanted))


def rows(found: Efficiency) -> dict[str, Costed]:
    return {row.variant: row for row in found.rows}


def by_hand(store: Store, run_id: str, system: System) -> tuple[float, float, int]:
    """Add up idealized and measured seconds of a system's calls, straight from transcripts."""
    ideal = raw = 0.0
    attempts = 0
    for one in store.attempts(run_id, system_id=system.id, limit=1000):
        attempts += 1
        for call in store.transcript(one.id).turns:
            assert call.usage is not None
            ideal += seconds(call.usage.prompt_tokens, call.usage.completion_tokens)
            raw += call.timing.e2el_s
    return ideal / attempts, raw / attempts, attempts


def test_calls_are_costed_one_by_one(store: Store, run_id: str) -> None:
    systems = store.run(run_id).request.systems
    for number, system in enumerate(systems):
        kept(system, factor=1 - 0.3 * number, noise=0.01)
    found = report(store, run_id)
    for number, system in enumerate(systems):
        row = rows(found)[system.format]
        ideal, raw, attempts = by_hand(store, run_id, system)
        assert row.idealized is not None
        assert row.slowdown is not None
        assert (row.attempts, row.unknown) == (attempts, 0)
        assert row.idealized.value == pytest.approx((1 - 0.3 * number) * ideal)
        assert row.raw == pytest.approx(raw)
        assert row.slowdown.value == pytest.approx(raw / row.idealized.value)
        assert row.idealized.low < row.idealized.value < row.idealized.high
        assert row.all_seconds == pytest.approx(row.idealized.value * attempts)
        assert (row.dollars, row.joules, row.recorded) == (None, None, None)
    assert found.latency == "idealized"
    assert "an attempt (95 %" in found.finding
    assert from_json(to_json(found), Efficiency) == found


def test_what_a_profile_is_not_is_said(store: Store, run_id: str) -> None:
    first, second, _ = store.run(run_id).request.systems
    kept(first, engine_version="older")
    kept(second, path="emulated")
    notes = report(store, run_id).notes
    assert any("bf16" in note and "of older" in note for note in notes)
    assert any("fp8" in note and "emulation" in note for note in notes)


def test_one_profile_costs_every_system(store: Store, run_id: str) -> None:
    ours = made_profile(id="ours00000000", model="ours/big", noise=0.01, hidden=64, layers=2)
    save(ours)
    found = report(store, run_id, profile="big@bf16", nominal=Nominal(watts=100.0))
    price = read_prices({}).machine_price("cpu-2core", datetime.now(UTC))
    assert price is not None
    for row in found.rows:
        assert row.profile == "big bf16 (ours00000000)"
        assert row.idealized is not None
        assert row.dollars is not None
        assert row.joules is not None
        dollars = row.idealized.value * float(price.per_hour) / 3600
        assert row.dollars.value == pytest.approx(dollars)
        assert row.joules.value == pytest.approx(100 * row.idealized.value)
        assert row.teraflops
    assert any("as if" in note for note in found.notes)
    with pytest.raises(NotFound):
        report(store, run_id, profile="nonesuch")


def test_without_a_profile_the_rest_is_told_and_why(store: Store, run_id: str) -> None:
    found = report(store, run_id)
    for row in found.rows:
        assert (row.idealized, row.slowdown, row.profile) == (None, None, "")
        assert "qbench profile some/model" in row.why
        assert row.raw is not None
    assert found.latency == "raw"
    assert found.finding.startswith("No system could be costed")
    assert len(found.scores) == 3


def test_every_attempt_is_counted_and_the_scored_ones_averaged(store: Store) -> None:
    plan = create(store, request((recorded_system(),), limit=10))
    shard = plan.shards[0]
    unknown = Transcript(messages=(), turns=(turn(usage=None),), answer="3")
    twice = Transcript(messages=(), turns=(turn(), turn()), answer="3")
    store.append(
        [
            recorded(attempt(shard, 0)),
            recorded(attempt(shard, 1, transcript=twice)),
            recorded(attempt(shard, 2, transcript=unknown)),
            recorded(errored(shard, 3)),
        ]
    )
    save(made_profile(id="ours00000000", noise=0.01))
    (row,) = report(store, plan.run.id, profile="ours").rows
    each = seconds(100, 7)
    assert (row.attempts, row.unknown, row.all_calls) == (2, 1, 5)
    assert row.calls == 1.5
    assert row.idealized is not None
    assert row.idealized.value == pytest.approx(1.5 * each)
    assert row.all_seconds == pytest.approx(4 * each)
    assert row.raw == pytest.approx(1.5 * 0.25)
    assert any("usage is unknown" in note for note in report(store, plan.run.id).notes)
    (fresh,) = report(store, plan.run.id, profile="ours", cached=True).rows
    assert fresh.idealized is not None
    assert fresh.idealized.value == pytest.approx(1.5 * seconds(60, 7))


def test_repeats_are_denoised_by_their_fastest(store: Store) -> None:
    repeated = made(store, epochs=3, formats=("fp8",))
    found = rows(report(store, repeated))
    row = found["bf16"]
    assert row.attempts == 120
    assert row.raw is not None
    assert row.denoised is None or row.denoised <= row.raw
    once = made(store, formats=("fp8",))
    assert rows(report(store, once))["bf16"].denoised is None


def test_scores_follow_the_weights(store: Store, run_id: str) -> None:
    for number, system in enumerate(store.run(run_id).request.systems):
        kept(system, factor=1 / 2**number)
    accurate = report(store, run_id, weights="accuracy=1")
    assert accurate.weights == {"accuracy": 1}
    assert accurate.scores[-1].label == "model w4a16"
    fast = report(store, run_id, weights="latency=1,accuracy=0")
    assert [one.label for one in fast.scores] == ["model w4a16", "model fp8", "model bf16"]
    best = fast.scores[0]
    assert best.score is not None
    assert best.score.value > 1.5
    assert (best.first, best.rank, best.wins) == (1, 1, 1)
    both = report(store, run_id)
    assert any("cost, memory" in note for note in both.notes)
    assert set(both.weights) == {"accuracy", "latency"}
    assert sum(one.wins or 0 for one in both.scores) == pytest.approx(1)
    assert sum(one.first or 0 for one in both.scores) == pytest.approx(1)
    baseline = next(one for one in both.scores if one.label == "model bf16")
    assert baseline.score is not None
    assert (baseline.score.value, baseline.score.low, baseline.score.high) == (0, 0, 0)


def test_a_system_that_passes_nothing_scores_minus_infinity(store: Store) -> None:
    lost = made(store, accuracy={"bf16": 0.9, "fp8": 0.0}, formats=("fp8",))
    found = report(store, lost, weights="accuracy=1")
    last = found.scores[-1]
    assert last.score is not None
    assert last.score.value == float("-inf")
    nothing = made(store, accuracy={"*": 0.0}, formats=("fp8",))
    assert report(store, nothing, weights="accuracy=1").scores == ()


def test_invalid_runs_and_empty_ones_give_no_score(store: Store) -> None:
    broken = made(store, faults={"http_500": 0.3})
    assert report(store, broken).scores == ()
    order = Order(suite="sums", models=("some/model",), engine="scripted", samples=5)
    plan = make_plan(to_request(order), Controls(), now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    found = report(store, plan.run.id)
    assert [row.attempts for row in found.rows] == [0]
    assert found.rows[0].why == "it made no call"
    kept(plan.run.request.systems[0])
    assert report(store, plan.run.id, profile="bf16").rows[0].idealized is None


@pytest.mark.parametrize(
    "text", ["accuracy=x", "accuracy=-1", "accuracy=nan", "cost=0", "", "cost"]
)
def test_weights_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError):
        read_weights(text)


def test_weights_are_read_in_the_order_of_the_axes() -> None:
    assert list(read_weights("memory=1, accuracy=2,cost=0")) == ["accuracy", "memory"]
    with pytest.raises(NotFound, match="latency"):
        read_weights("latncy=1")
