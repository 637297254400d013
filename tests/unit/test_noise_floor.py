"""Which orders measure the baseline twice, and what becomes of the second time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from qbench.benchmarks.suite import Score
from qbench.errors import NotFound
from qbench.service.domain import Controls, Endpoint, EngineSeconds, System
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.pricebook import read_prices
from qbench.service.reports.comparison.report import comparison
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.frontier.report import frontier_of
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.recovery.report import recovery_of
from qbench.service.reports.recovery.values import FormatComparison, FormatReport
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.steps import execute, grouped
from tests.integration.made import attempt, create, recorded, request, system

UNSTEADY = 0.2
ACCURACY = {"bf16": 0.8, "fp8": 0.8, "w4a16": 0.4}


class Heard(Silent):
    """Remembers which engine served which system."""

    def __init__(self) -> None:
        self.served: list[tuple[str, str]] = []

    def serving(self, system: System, endpoint: Endpoint) -> None:
        self.served.append((system.label, endpoint.id))


def made(
    store: Store, *, noise_floor: bool = True, progress: Heard | None = None, **more: Any
) -> str:
    order = Order(
        suite="sums",
        models=("some/model",),
        formats=("fp8", "w4a16"),
        engine="scripted",
        samples=300,
        levels=(1, 2, 3, 4, 5),
        noise_floor=noise_floor,
        options={"accuracy": ACCURACY, "wordy": {"w4a16": 3}} | more,
    )
    controls = Controls(hardware="cpu-2core", concurrency=4)
    plan = make_plan(to_request(order), controls, now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    asyncio.run(execute(plan.run, store, read_prices(), progress or Heard()))
    return plan.run.id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("noise") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def run_id(store: Store, heard: Heard) -> str:
    return made(store, progress=heard, unsteady=UNSTEADY)


@pytest.mark.parametrize(
    ("fields", "twice"),
    [
        ({"engine": "embedded", "formats": ("fp8",)}, True),
        ({"engine": "vllm", "formats": ("fp8",)}, True),
        ({"engine": "embedded"}, False),
        ({"engine": "embedded", "formats": ("bf16",)}, False),
        ({"engine": "embedded", "formats": ("fp8",), "noise_floor": False}, False),
        ({"engine": "embedded", "noise_floor": True}, True),
        ({"engine": "scripted", "formats": ("fp8",)}, False),
        ({"engine": "scripted", "formats": ("fp8",), "noise_floor": True}, True),
        ({"engine": "api", "models": ("openai/x",)}, False),
        ({"base_url": "http://box/v1", "models": ("m",), "formats": ("bf16", "fp8")}, False),
    ],
)
def test_who_is_measured_twice(fields: dict[str, Any], twice: bool) -> None:
    request = to_request(Order(suite="sums", **fields))
    copies = [system for system in request.systems if system.replica]
    assert len(copies) == twice
    for copy in copies:
        assert copy.id != request.baseline
        assert copy.format == "bf16"


def test_both_are_served_by_one_engine_start(store: Store, run_id: str, heard: Heard) -> None:
    (first, one), (again, two), *others = heard.served
    assert (first, again) == ("model bf16", "model bf16 again")
    assert one == two
    assert len({endpoint for _, endpoint in others} | {one}) == 3
    assert len(store.endpoints(run_id)) == 3
    groups = grouped(store.run(run_id))
    assert [len(group) for group in groups] == [2, 1, 1]


def test_the_leaderboard_marks_the_second_time(store: Store, run_id: str) -> None:
    board = leaderboard_of(store, run_id)
    (again,) = [row for row in board.rows if row.replica]
    assert again.verdict.kind == "noise floor"
    assert again.on_frontier is None
    assert board.noise is not None
    assert board.noise.label == "model bf16 again"
    assert board.noise.difference == again.verdict.difference
    assert "again" not in board.finding
    (note,) = [note for note in board.notes if note.startswith("Noise floor: ")]
    assert "w4a16 -" in note
    assert "(beyond)" in note
    labels = [row.label for row in board.rows if row.on_frontier is not None]
    assert "model bf16 again" not in labels
    assert len(labels) == 3


def test_the_flip_rate_is_the_one_that_was_built_in(store: Store, run_id: str) -> None:
    """A reply drawn anew passes with the same accuracy a: both disagree in 2 a (1 - a)."""
    evidence = Evidence.of(store, run_id)
    assert evidence.noise is not None
    drawn_anew = 1 - (1 - UNSTEADY) ** 2
    rate = evidence.noise.flips.rate
    assert rate.low <= drawn_anew * 2 * 0.8 * 0.2 <= rate.high


def test_the_second_time_counts_for_nothing_else(store: Store) -> None:
    """With and without it: the same verdicts, p values and frontier."""
    without = {row.label: row for row in leaderboard_of(store, made(store, noise_floor=False)).rows}
    with_it = {row.label: row for row in leaderboard_of(store, made(store)).rows}
    assert set(with_it) - set(without) == {"model bf16 again"}
    for label, row in without.items():
        assert with_it[label].verdict == row.verdict
        assert with_it[label].pass_rate == row.pass_rate


def test_a_steady_engine_still_has_a_noise_floor_above_zero(store: Store) -> None:
    noise = leaderboard_of(store, made(store)).noise
    assert noise is not None
    assert noise.difference.value == noise.flips.rate.value == 0
    assert 0 < noise.bound < 0.05


def test_the_frontier_leaves_it_out_and_says_why(store: Store, run_id: str) -> None:
    found = frontier_of(store, run_id)
    assert "noise floor" in found.left_out["model bf16 again"]
    assert len(found.points) == 3


def test_it_can_be_compared_like_any_other(store: Store, run_id: str) -> None:
    found = comparison(store, run_id, "bf16 again", "bf16")
    assert found.first == "model bf16 again"
    assert found.verdict.kind in ("equivalent", "inconclusive")


def test_a_baseline_measured_twice_pays_for_its_whole_start(store: Store, run_id: str) -> None:
    """Else it would look cheaper than formats, whose engines start for one measurement."""
    lines = {
        basis: [line for line in store.ledger(run_id) if line.basis == basis]
        for basis in ("saturated", "dedicated")
    }
    endpoint = store.endpoints(run_id)[0]
    systems = {work.attempt_id: work.system_id for work in store.attempts_of(endpoint.id)}
    baseline = store.run(run_id).request.baseline
    life: EngineSeconds = endpoint.seconds

    def seconds(basis: str, mine: bool) -> float:
        return sum(
            line.seconds or 0
            for line in lines[basis]
            if line.attempt_id in systems and (systems[line.attempt_id] == baseline) == mine
        )

    busy = seconds("saturated", mine=False)
    assert seconds("dedicated", mine=False) == pytest.approx(busy, abs=1e-6)
    overhead = seconds("dedicated", mine=True) - seconds("saturated", mine=True)
    assert overhead == pytest.approx(life.load + life.idle, abs=1e-6)


@pytest.fixture(scope="module")
def report(store: Store, run_id: str) -> FormatComparison:
    return recovery_of(store, run_id)


def of(report: FormatComparison, name: str) -> FormatReport:
    return next(one for one in report.models[0].formats if one.format == name)


def test_every_format_stands_beside_the_noise_floor(
    store: Store, run_id: str, report: FormatComparison
) -> None:
    (model,) = report.models
    assert model.baseline == "model bf16"
    assert [one.format for one in model.formats] == ["fp8", "w4a16"]
    assert model.noise == leaderboard_of(store, run_id).noise
    assert of(report, "fp8").within_noise
    assert of(report, "w4a16").within_noise is False


def test_its_verdicts_are_those_of_the_leaderboard(
    store: Store, run_id: str, report: FormatComparison
) -> None:
    verdicts = {row.format: row.verdict for row in leaderboard_of(store, run_id).rows}
    for one in report.models[0].formats:
        assert one.verdict == verdicts[one.format]
    assert of(report, "w4a16").verdict.kind == "worse"
    assert "w4a16 keeps" in report.finding
    assert "and is worse" in report.finding


def test_recovery_is_the_ratio_of_what_was_built_in(report: FormatComparison) -> None:
    kept = of(report, "w4a16").overall
    assert kept is not None
    assert kept.recovery is not None
    assert kept.recovery.value == pytest.approx(kept.system / kept.baseline)
    assert kept.recovery.low <= 0.4 / 0.8 <= kept.recovery.high
    tasks = of(report, "w4a16").tasks
    assert [part.name for part in tasks] == ["add", "multiply", "subtract"]
    assert sum(part.samples for part in tasks) == kept.samples == 300
    whole = sum(part.system * part.samples for part in tasks) / 300
    assert whole == pytest.approx(kept.system)


def test_longer_outputs_show_as_cost(report: FormatComparison) -> None:
    one, same = of(report, "w4a16").length, of(report, "fp8").length
    assert one is not None
    assert same is not None
    assert one.difference.value == pytest.approx(3, abs=0.1)
    assert one.ratio is not None
    assert one.ratio.value == pytest.approx(one.system / one.baseline)
    assert same.difference.value == pytest.approx(0, abs=0.1)
    assert of(report, "w4a16").cost is not None


def test_what_was_not_cut_was_not_cut(report: FormatComparison) -> None:
    cut = of(report, "w4a16").truncation
    assert cut is not None
    assert (cut.system, cut.baseline) == (0, 0)
    assert cut.difference is not None
    assert cut.difference.low < 0 < cut.difference.high
    assert of(report, "w4a16").decisions == {}  # sums have no tools
    assert of(report, "w4a16").fidelity is None


def test_a_run_of_one_format_has_nothing_to_compare(store: Store) -> None:
    order = Order(suite="sums", models=("some/model",), engine="scripted", samples=10)
    plan = make_plan(to_request(order), Controls(), now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    with pytest.raises(NotFound, match="no model in two formats"):
        recovery_of(store, plan.run.id)


def test_a_baseline_that_never_passes_has_no_recovery(store: Store) -> None:
    found = recovery_of(store, made(store, accuracy={"bf16": 0.0, "*": 0.5}))
    kept = of(found, "fp8").overall
    assert kept is not None
    assert kept.recovery is None
    assert kept.difference.value > 0
    assert not math.isnan(kept.difference.low)
    assert "fp8 is better" in found.finding


def judged(tool: float, arguments: float | None) -> Score:
    parts = {"decision.tool": tool, "radar1.cre": 300.0}
    if arguments is not None:
        parts["decision.arguments"] = arguments
    passed = arguments == 1
    return Score(status="scored", value=float(passed), passed=passed, components=parts)


def test_tool_decisions_are_paired_where_they_concern_both(store: Store) -> None:
    """The format finds the tool half as often; where both found it, arguments are as good."""
    plan = create(store, request((system("bf16"), system("fp8")), limit=8))
    attempts = []
    for shard in plan.shards:
        format_name = next(s.format for s in plan.run.request.systems if s.id == shard.system_id)
        for n in range(len(shard.sample_ids)):
            found = format_name == "bf16" or n % 2 == 0
            score = judged(float(found), 1.0 if found else None)
            attempts.append(recorded(attempt(shard, n, score=score)))
    store.append(attempts)
    decisions = of(recovery_of(store, plan.run.id), "fp8").decisions
    assert set(decisions) == {"tool", "arguments"}
    tool, arguments = decisions["tool"], decisions["arguments"]
    assert (tool.baseline, tool.system, tool.samples) == (1.0, 0.5, 8)
    assert tool.difference is not None
    assert tool.difference.value == -0.5
    assert tool.difference.high < 0
    assert (arguments.baseline, arguments.system, arguments.samples) == (1.0, 1.0, 4)
    assert arguments.difference is not None
    assert arguments.difference.low < 0 == arguments.difference.value < arguments.difference.high
