"""Runs of the same systems at several concurrencies, on an engine of known unsteadiness."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from qbench.benchmarks.suite import Score
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Controls
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.pricebook import read_prices
from qbench.service.reports.noise.items import items_of
from qbench.service.reports.noise.report import noise_of
from qbench.service.reports.noise.signal import signal_noise
from qbench.service.reports.noise.values import RunNoise
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.steps import execute
from tests.integration.made import attempt, create, recorded, request, system
from tests.scripted_runs import made_run

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
    return made_run(store, order, controls)


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
    for gap in found.gaps:
        assert gap.std_high > gap.std_accuracy
        bounded = f"bound only below {100 * gap.std_high:.2f}" in found.finding
        assert bounded == (gap.beyond and abs(gap.difference) <= gap.std_high)
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
    assert found.notes == ()


def test_causes_that_changed_together_are_told(store: Store, runs: list[str]) -> None:
    both = made(store, 2, unsteady=UNSTEADY, ttft_s=0.0002)
    again = noise_of(store, [runs[1], both])
    assert again.differs == ("concurrency", "-o ttft_s")
    (note,) = again.notes
    assert note.startswith("concurrency, -o ttft_s changed in the same runs")
    apart = noise_of(store, [runs[0], runs[1], both])  # concurrency alone changed, too
    assert apart.notes == ()


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


def test_std_acc_has_the_interval_of_so_few_runs(found: RunNoise) -> None:
    for one in found.systems:
        low, high = one.std_interval
        assert low <= one.std_accuracy <= high
        if one.std_accuracy:
            assert high / one.std_accuracy == pytest.approx(6.285, abs=0.01)  # 3 runs


def test_several_runs_have_components_between_and_within(found: RunNoise) -> None:
    """A share of the answers is drawn anew: what varies, varies within a sample."""
    assert [one.format for one in found.variance] == ["bf16", "fp8", "w4a16"]
    for one in found.variance:
        assert (one.samples, one.runs, one.epochs) == (200, 3, 1)
        assert set(one.parts) == {"samples", "runs", "epochs"}
        assert one.parts["samples"].value > one.parts["epochs"].value > 0
        assert one.parts["runs"].low == 0
        assert one.outlook["1"] == pytest.approx(one.error)
        assert one.outlook["inf"] < one.outlook["2"] < one.error
    a, built = 0.8, (1 - (1 - UNSTEADY) ** 2) * 0.8 * 0.2  # half the chance that two disagree
    within = found.variance[0].parts["epochs"]
    assert a * (1 - a) > within.value
    assert within.low <= built <= within.high
    assert found.floor is None
    assert "between samples" in found.finding


def once(store: Store, *, epochs: int = 1, noise_floor: bool = False, **options: Any) -> str:
    order = Order(
        suite="sums",
        models=("some/model",),
        formats=("fp8", "w4a16"),
        engine="scripted",
        samples=150,
        levels=(1, 2, 3, 4, 5),
        epochs=epochs,
        noise_floor=noise_floor,
        seed=5 + epochs,
        options={"accuracy": {"*": 0.8, "w4a16": 0.3}} | options,
    )
    return made_run(store, order)


@pytest.fixture(scope="module")
def epochs(store: Store) -> str:
    return once(store, epochs=4, unsteady=0.4)


@pytest.fixture(scope="module")
def copied(store: Store) -> str:
    return once(store, noise_floor=True, unsteady=0.4)


def test_one_run_with_epochs_is_enough(store: Store, epochs: str) -> None:
    found = noise_of(store, [epochs])
    assert (found.runs, found.systems, found.gaps) == ((epochs,), (), ())
    for one in found.variance:
        assert (one.samples, one.runs, one.epochs) == (150, 1, 4)
        assert set(one.parts) == {"samples", "epochs"}
        assert one.reliability is not None
        assert 0.5 < one.reliability < 1
    assert "endless epochs would narrow" in found.finding


def test_one_run_with_a_copy_shows_its_floor(store: Store, copied: str) -> None:
    found = noise_of(store, [copied])
    assert found.floor is not None
    assert found.finding.startswith("Noise floor: model bf16 again differs by")
    (baseline,) = found.variance  # the others were measured once
    assert (baseline.format, baseline.runs, baseline.epochs) == ("bf16", 2, 1)


def test_parts_are_ranked_and_the_noisy_left_out(store: Store, epochs: str) -> None:
    found = signal_noise(store, [epochs])
    assert [part.name for part in found.parts] != []
    assert {part.name for part in found.parts} == {"add", "subtract", "multiply"}
    assert sum(part.samples for part in found.parts) == found.whole.samples == 150
    ratios = [part.snr.value for part in found.parts if part.snr]
    assert ratios == sorted(ratios, reverse=True)
    assert all(part.kept for part in found.parts)
    assert (found.options, found.kept) == ((), None)
    least = ratios[0] - 1e-6
    few = signal_noise(store, [epochs], "task", least)
    assert [part.name for part in few.parts if part.kept] == [found.parts[0].name]
    assert few.options == (f"--suite sums/{found.parts[0].name}",)
    assert few.kept is not None
    assert few.kept.snr == found.parts[0].snr
    assert any("chosen by these very results" in note for note in few.notes)
    assert f"leave out {found.parts[1].name}" in few.finding
    levels = signal_noise(store, [epochs], "level", least / 3)
    assert all(option.startswith("--level ") for option in levels.options)
    assert few.chance == pytest.approx(1.6926 / math.sqrt(3), abs=1e-3)


def test_items_add_up(store: Store, epochs: str) -> None:
    found = items_of(store, [epochs])
    assert len(found.items) == found.whole.samples == 150
    assert sum(one.samples for one in found.tasks) == 150
    assert sum(one.flipping for one in found.tasks) == found.whole.flipping > 0
    assert found.whole.difficulty == pytest.approx(
        statistics.mean(one.difficulty for one in found.items)
    )
    known = [one.discrimination for one in found.items if one.discrimination is not None]
    assert known == sorted(known)
    assert found.whole.negative == sum(value < 0 for value in known)
    assert found.repeats == 4
    assert found.alpha is not None
    assert found.split_half is not None
    assert found.finding.startswith(f"{found.whole.all_pass + found.whole.all_fail} of 150")


def test_parts_and_items_need_something_measured_again(store: Store) -> None:
    alone = once(store, unsteady=0.02)
    for question in (signal_noise, items_of, noise_of):
        with pytest.raises(ConfigError, match="Spread over 1 runs"):
            question(store, [alone])


def test_a_signal_is_between_systems(store: Store) -> None:
    request = to_request(
        Order(suite="sums", models=("some/model",), engine="scripted", samples=20, epochs=2)
    )
    plan = make_plan(request, Controls(), now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    asyncio.run(execute(plan.run, store, read_prices(), Silent()))
    with pytest.raises(ConfigError, match="A signal is between systems"):
        signal_noise(store, [plan.run.id])
    assert len(noise_of(store, [plan.run.id]).variance) == 1
    assert items_of(store, [plan.run.id]).systems == ("model bf16",)


def test_nothing_scored_is_an_answer_and_no_traceback(store: Store) -> None:
    broken = once(store, epochs=2, faults={"http_500": 1.0})
    found = noise_of(store, [broken])
    assert (found.variance, found.scores) == ((), ())
    assert len(found.left_out) == 3
    assert found.finding == "Nothing can be said: no system is both valid and measured again."
    with pytest.raises(ConfigError):
        signal_noise(store, [broken])
    with pytest.raises(NotFound, match="No sample was scored every time"):
        items_of(store, [broken])


def in_between(fmt: str, n: int, epoch: int) -> Score:
    """fp8 gets a tenth less of everything right; a threshold at 0.6 sees that of few samples."""
    value = ((7 * n + 3 * epoch) % 20 + 1) / 20 * (1.0 if fmt == "bf16" else 0.9)
    parts = {"decision.arguments": math.sqrt(value), "radar1.cre": 300.0}
    return Score(status="scored", value=value, passed=value > 0.6, components=parts)


def test_a_score_in_between_shows_the_difference_sooner(store: Store) -> None:
    plan = create(store, request((system("bf16"), system("fp8")), limit=60, epochs=2))
    formats = {one.id: one.format for one in plan.run.request.systems}
    store.append(
        [
            recorded(
                attempt(shard, n, epoch=epoch, score=in_between(formats[shard.system_id], n, epoch))
            )
            for shard in plan.shards
            for n in range(len(shard.sample_ids))
            for epoch in range(2)
        ]
    )
    found = {one.score: one for one in noise_of(store, [plan.run.id]).scores}
    assert set(found) == {"passed", "value", "decision.arguments"}  # no token counts
    passed, value = found["passed"], found["value"]
    assert passed.snr is not None
    assert value.snr is not None
    assert value.snr > 1.5 * passed.snr
    assert passed.needed is not None
    assert value.needed is not None
    assert value.needed < passed.needed / 2
    assert value.difference.value == pytest.approx(-0.1 * 0.525, abs=0.01)
    assert value.steadiness is None  # one run
    assert "needs" in noise_of(store, [plan.run.id]).finding
