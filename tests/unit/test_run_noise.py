"""Runs of the same systems at several concurrencies, on an engine of known unsteadiness."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Controls
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.pricebook import read_prices
from qbench.service.reports.noise import noise_of
from qbench.service.reports.noise_values import RunNoise
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.steps import execute

UNSTEADY = 0.2


def made(store: Store, concurrency: int = 4, suite: str = "sums", **options: Any) -> str:
    order = Order(
        suite=suite,
        models=("some/model",),
        formats=("fp8", "w4a16"),
        engine="scripted",
        samples=200,
        levels=(1, 2, 3, 4, 5),
        options={"accuracy": {"*": 0.8, "w4a16": 0.3}} | options,
    )
    controls = Controls(concurrency=concurrency)
    plan = make_plan(to_request(order), controls, now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    asyncio.run(execute(plan.run, store, read_prices(), Silent()))
    return plan.run.id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("spread") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def runs(store: Store) -> list[str]:
    return [made(store, number, unsteady=UNSTEADY) for number in (1, 4, 16)]


@pytest.fixture(scope="module")
def found(store: Store, runs: list[str]) -> RunNoise:
    return noise_of(store, runs)


def test_what_differs_between_the_runs_is_told(found: RunNoise, runs: list[str]) -> None:
    assert found.runs == tuple(runs)
    assert found.differs == ("concurrency",)
    for one in found.systems:
        values = [each.values for each in one.configurations]
        assert values == [{"concurrency": n} for n in ("1", "4", "16")]


def test_the_spread_is_that_of_the_pass_rates(found: RunNoise) -> None:
    assert [one.format for one in found.systems] == ["bf16", "fp8", "w4a16"]
    for one in found.systems:
        rates = [each.pass_rate for each in one.configurations]
        assert one.samples == 200
        assert one.pass_rate == pytest.approx(statistics.mean(rates))
        assert one.std_accuracy == pytest.approx(statistics.stdev(rates))


def test_the_noise_that_was_built_in_is_found(found: RunNoise) -> None:
    """A sample passes with a; drawn anew in k of 3 runs, its verdicts need not agree."""
    steady = 1 - UNSTEADY
    for one in found.systems[:2]:
        a = 0.8
        differ = 1 - a**3 - (1 - a) ** 3  # all three drawn anew
        two = 3 * UNSTEADY**2 * steady * (a * (1 - a**2) + (1 - a) * (1 - (1 - a) ** 2))
        single = 3 * UNSTEADY * steady**2 * 2 * a * (1 - a)
        truth = UNSTEADY**3 * differ + two + single
        assert one.unsteady.low <= truth <= one.unsteady.high
        assert one.identical.value <= 1 - one.unsteady.value


def test_a_difference_within_the_spread_is_no_finding(found: RunNoise) -> None:
    small, large = found.gaps
    assert (small.label, small.baseline) == ("model fp8", "model bf16")
    assert small.beyond == (abs(small.difference) > small.std_accuracy)
    assert large.beyond
    assert large.difference == pytest.approx(statistics.mean(large.by_configuration))
    assert "w4a16 differs from bf16 by -" in found.finding
    assert found.finding.count("no finding") == sum(not gap.beyond for gap in found.gaps)


def test_an_engine_that_is_steady_has_no_spread(store: Store) -> None:
    first, second = made(store, 2), made(store, 3)
    found = noise_of(store, [first, second])
    for one in found.systems:
        assert (one.std_accuracy, one.std_length, one.divergence) == (0.0, 0.0, None)
        assert one.identical.value == 1
        assert one.identical.low < 1  # so many samples can hide some that differ
    small = found.gaps[0]
    assert not small.beyond
    assert small.difference == 0


def test_one_run_stands_for_all_of_its_request(store: Store, runs: list[str]) -> None:
    assert noise_of(store, runs[:1]).runs == tuple(runs)


def test_options_are_part_of_the_configuration(store: Store, runs: list[str]) -> None:
    """Threads or batch sizes are options: systems that differ in those alone are the same here."""
    other = made(store, unsteady=UNSTEADY, ttft_s=0.0001)
    found = noise_of(store, [runs[1], other])
    assert found.differs == ("-o ttft_s",)
    assert len(found.systems) == 3


def test_what_cannot_be_compared_is_refused(store: Store, runs: list[str]) -> None:
    alone = made(store, unsteady=0.01)
    with pytest.raises(ConfigError, match="Spread over 1 runs"):
        noise_of(store, [alone])
    with pytest.raises(NotFound, match="nothing"):
        noise_of(store, ["nothing", runs[0]])


def test_runs_that_share_no_sample_are_refused(store: Store, runs: list[str]) -> None:
    request = to_request(
        Order(
            suite="sums", models=("some/model",), engine="scripted", seed=7, samples=20, levels=(1,)
        )
    )
    plan = make_plan(request, Controls(), now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    asyncio.run(execute(plan.run, store, read_prices(), Silent()))
    with pytest.raises(NotFound, match="share no system with a scored sample"):
        noise_of(store, [runs[0], plan.run.id])


def test_a_row_that_is_invalid_is_left_out(store: Store, runs: list[str]) -> None:
    broken = made(store, unsteady=UNSTEADY, faults={"http_500": 0.3})
    found = noise_of(store, [*runs, broken])
    assert len(found.left_out) == 3
    assert all("INVALID" in why for why in found.left_out.values())
    assert all(len(one.configurations) == 3 for one in found.systems)
