"""Test-time scaling of whole runs made with the scripted engine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.chat import Sampling
from qbench.cli.pictures import drawn
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Controls
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.reports.efficiency.shapes import decoder_of
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.scaling.finding import price
from qbench.service.reports.scaling.report import scaling_of
from qbench.service.reports.scaling.values import Scaling, ScalingAsked, SystemScaling
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from tests.scripted_runs import made_run

ASKED = ScalingAsked()
EPOCHS = 8
ACCURACY = {"bf16": 0.8, "w4a16": 0.2}


def made(
    store: Store,
    *,
    epochs: int = EPOCHS,
    samples: int = 60,
    hardware: str = "cpu-2core",
    noise_floor: bool = False,
    model: str = "some/Qwen3-0.6B",
    **options: Any,
) -> str:
    """Every attempt is drawn anew: samples are equally hard."""
    order = Order(
        suite="sums",
        models=(model,),
        formats=("w4a16",),
        engine="scripted",
        samples=samples,
        epochs=epochs,
        levels=(3, 4, 5),
        noise_floor=noise_floor,
        sampling=Sampling(temperature=0.7),
        options={"accuracy": ACCURACY, "unsteady": 1.0} | options,
    )
    controls = Controls(hardware=hardware, probe=False)
    return made_run(store, order, controls)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("scaling") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    return made(store)


def by_format(found: Scaling) -> dict[str, SystemScaling]:
    return {one.label.rsplit(" ", 1)[-1]: one for one in found.systems}


def test_one_attempt_is_the_leaderboards_pass_rate(store: Store, run_id: str) -> None:
    found = by_format(scaling_of(store, run_id, ASKED))
    for row in leaderboard_of(store, run_id).rows:
        assert row.pass_rate is not None
        first = found[row.format].depths[0]
        for share in (first.coverage, first.reliability, first.vote):
            assert share.value == pytest.approx(row.pass_rate.value)
            assert share.low < share.value < share.high


def test_curves_rise_and_reliability_falls(store: Store, run_id: str) -> None:
    for one in scaling_of(store, run_id, ASKED).systems:
        assert [depth.k for depth in one.depths] == [1, 2, 4, 8]
        some = [depth.coverage.value for depth in one.depths]
        every = [depth.reliability.value for depth in one.depths]
        assert some == sorted(some)
        assert every == sorted(every, reverse=True)
        assert (one.samples, one.left_out, one.greedy) == (60, 0, False)


def test_a_fit_finds_what_the_engine_was_told(store: Store, run_id: str) -> None:
    """Equally hard samples, all of which can be solved: F_max 1, p_x the accuracy."""
    found = by_format(scaling_of(store, run_id, ASKED))
    for name, accuracy in ACCURACY.items():
        fit = found[name].saturation
        assert fit is not None
        assert fit.hit.low - 0.03 < accuracy < fit.hit.high + 0.03
        assert fit.most.high > 0.95
        assert fit.error < 0.03
    fit = found["w4a16"].saturation
    assert fit is not None
    assert fit.point.value > 8
    assert fit.seen is None
    assert any("extrapolated" in caution for caution in fit.cautions)


def test_a_verifier_that_errs_has_a_ceiling(store: Store, run_id: str) -> None:
    asked = ScalingAsked(soundness=0.5, false_positive_cost=0.2)
    found = scaling_of(store, run_id, asked)
    weak, strong = by_format(found)["w4a16"], by_format(found)["bf16"]
    assert weak.checked is not None
    assert weak.checked.ceiling is not None
    truth = 0.2 / (0.2 + 0.8 * 0.5)
    assert weak.checked.at_least.value <= weak.checked.ceiling.value
    assert weak.checked.ceiling.value <= weak.checked.at_most.value
    assert weak.checked.ceiling.low < truth < weak.checked.ceiling.high
    assert weak.against is not None
    assert weak.against.reach == "never"
    assert weak.against.strongest == strong.label
    assert strong.against is None
    last = weak.checked.depths[-1]
    assert last.right.value + last.false.value <= 1
    assert last.reward.value == pytest.approx(last.right.value - 0.2 * last.false.value)
    assert "never reach" in found.finding
    assert "ceiling" in found.finding


def test_a_dear_false_answer_ends_it_early(store: Store, run_id: str) -> None:
    caps = []
    for cost in (0.0, 0.4, 5.0):
        asked = ScalingAsked(soundness=0.5, false_positive_cost=cost)
        checked = by_format(scaling_of(store, run_id, asked))["w4a16"].checked
        assert checked is not None
        assert checked.best_low <= checked.best <= checked.best_high
        caps.append(checked.best)
    assert caps == sorted(caps, reverse=True)
    assert caps[-1] == 0


def test_a_k_beyond_the_attempts_is_refused(store: Store, run_id: str) -> None:
    with pytest.raises(ConfigError, match="needs 16 scored attempts at a sample; this run has 8"):
        scaling_of(store, run_id, ScalingAsked(ks=(1, 16)))
    found = scaling_of(store, run_id, ScalingAsked(ks=(5,)))
    assert [depth.k for depth in found.systems[0].depths] == [1, 5]
    with pytest.raises(NotFound):
        scaling_of(store, "nothing", ASKED)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ScalingAsked(soundness=0.3, completeness=0.6), "better than chance"),
        (ScalingAsked(false_positive_cost=1), "concerns a verifier"),
        (ScalingAsked(cost="kinetics", gpu="abacus"), "abacus"),
        (ScalingAsked(ks=(0,)), "from 1 up"),
    ],
)
def test_what_makes_no_sense_is_refused(
    store: Store, run_id: str, asked: ScalingAsked, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        scaling_of(store, run_id, asked)


def test_a_weak_test_is_taken_as_it_was_recorded(store: Store, run_id: str) -> None:
    """``radar1.ra`` is 1 where an attempt passes: as a test it is perfect."""
    found = scaling_of(store, run_id, ScalingAsked(weak_test="radar1.ra", attempt_cost=0.01))
    for one in found.systems:
        assert one.tested is not None
        parts = (one.tested.completeness, one.tested.soundness, one.tested.accuracy)
        assert [part.value for part in parts if part] == [1, 1, 1]
        for depth, tried in zip(one.depths, one.tested.depths, strict=True):
            assert tried.right.value == pytest.approx(depth.coverage.value)
            assert tried.false.value == 0
            assert tried.cost is not None
            assert depth.cost is not None
            assert tried.cost.value == pytest.approx(depth.cost.value)
            lost = 0.01 * tried.attempts
            assert tried.reward.value == pytest.approx(tried.right.value - lost)
    assert "until tested" in {plan.strategy for plan in found.plans if plan.group == "within reach"}
    assert "stopping when radar1.ra is 1" in found.finding
    never = scaling_of(store, run_id, ScalingAsked(weak_test="radar1.cre"))
    assert all(one.tested for one in never.systems)
    with pytest.raises(NotFound, match="score component"):
        scaling_of(store, run_id, ScalingAsked(weak_test="radar1.nonsense"))


def test_plans_are_priced_and_bounded(store: Store, run_id: str) -> None:
    found = scaling_of(store, run_id, ScalingAsked(soundness=0.9, budgets=(1e-12, 1.0)))
    strategies = {plan.strategy for plan in found.plans}
    assert strategies == {"once", "vote", "until accepted", "until right"}
    for plan in found.plans:
        assert (plan.group == "upper bound") == (plan.strategy == "until right")
        assert 0 < plan.cost.low <= plan.cost.value <= plan.cost.high
    assert any(plan.undominated for plan in found.plans)
    cheap = [choice for choice in found.choices if choice.budget < 1]
    assert [choice.plan for choice in cheap] == [None, None]
    bound = next(c for c in found.choices if c.plan and c.group == "upper bound")
    assert bound.plan is not None
    assert bound.plan.passed.value == max(plan.passed.value for plan in found.plans)
    assert 0 < bound.chance <= 1
    assert "$1 per sample buys" in found.finding
    assert "$0.000000000001 per sample buys no attempt" in found.finding


def test_attempts_made_at_once_are_all_paid(store: Store, run_id: str) -> None:
    early = scaling_of(store, run_id, ASKED).plans
    at_once = scaling_of(store, run_id, ScalingAsked(at_once=True)).plans
    stopped = {(p.label, p.strategy, p.k): p.cost.value for p in early}
    paid = {(p.label, p.strategy, p.k): p.cost.value for p in at_once}
    assert stopped.keys() == paid.keys()
    assert all(stopped[key] <= paid[key] * (1 + 1e-9) for key in paid)
    once = paid["Qwen3-0.6B bf16", "until right", 1]
    assert paid["Qwen3-0.6B bf16", "until right", 8] == pytest.approx(8 * once)


def test_kinetics_counts_work_by_shape_and_tokens(store: Store, run_id: str) -> None:
    found = scaling_of(store, run_id, ScalingAsked(cost="kinetics"))
    assert found.unit == "TeFLOP"
    assert any("Kinetics" in note for note in found.notes)
    assert any(note.startswith("An attempt at full speed of a b200") for note in found.notes)
    shape = decoder_of("some/Qwen3-0.6B")
    assert shape is not None
    assert shape.parameters == pytest.approx(0.596e9, rel=1e-3)
    for one in found.systems:
        cost = one.depths[0].cost
        assert cost is not None
        least = 2 * shape.parameters * 1e-12  # one token, nothing looked at
        assert least < cost.value < 100 * least
    on_h100 = scaling_of(store, run_id, ScalingAsked(cost="kinetics", gpu="h100"))
    other = on_h100.systems[0].depths[0].cost
    same = found.systems[0].depths[0].cost
    assert other is not None
    assert same is not None
    assert other.value < same.value


def test_shapes_are_known_by_name() -> None:
    eight = decoder_of("Qwen/Qwen3-8B-FP8")
    assert eight is not None
    assert (eight.layers, eight.heads, eight.kv_heads, eight.width) == (36, 32, 8, 128 * 36)
    assert decoder_of("meta-llama/Meta-Llama-3.1-8B-Instruct") is not None
    small = decoder_of("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert small is not None
    assert small.parameters == 134_515_008
    assert decoder_of("Qwen/Qwen3-80B") is None
    assert decoder_of("openai/gpt-4.1") is None


def test_the_unpriced_is_in_no_plan_and_said(store: Store) -> None:
    other = made(store, hardware="", epochs=2)
    found = scaling_of(store, other, ScalingAsked(budgets=(1.0,)))
    assert found.plans == ()
    assert [choice.plan for choice in found.choices] == [None, None]
    assert all(depth.cost is None for one in found.systems for depth in one.depths)
    assert any(note.startswith("Without cost") for note in found.notes)
    unknown = made(store, epochs=2, model="some/model")
    assert scaling_of(store, unknown, ScalingAsked(cost="kinetics")).plans == ()


def test_one_attempt_tells_no_curve_and_a_copy_is_left_out(store: Store) -> None:
    other = made(store, epochs=1, noise_floor=True)
    found = scaling_of(store, other, ScalingAsked(soundness=0.75))
    assert {one.attempts for one in found.systems} == {1}
    assert all(one.saturation is None for one in found.systems)
    for one in found.systems:
        assert one.checked is not None
        assert (one.checked.ceiling, one.checked.best_of_all) == (None, None)
    assert any("--epochs" in note for note in found.notes)
    assert any("noise floor" in why for why in found.left_out.values())
    assert "the one attempt it had" in found.finding


def test_a_sample_that_lost_attempts_is_left_out_and_counted(store: Store) -> None:
    other = made(store, faults={"http_500": 0.004}, seed=3)
    found = scaling_of(store, other, ASKED)
    lost = [one for one in found.systems if one.left_out]
    assert lost
    for one in lost:
        assert one.attempts == EPOCHS
        assert one.samples == 60 - one.left_out
    assert any("are left out" in note for note in found.notes)


def test_a_run_without_a_valid_system_says_so(store: Store) -> None:
    other = made(store, epochs=2, faults={"http_500": 0.5})
    found = scaling_of(store, other, ScalingAsked(ks=(1,), soundness=0.75, budgets=(1.0,)))
    assert not found.systems
    assert not found.plans
    assert len(found.left_out) == 2
    assert found.finding == "Nothing can be said: no system is valid."


def test_a_run_before_its_first_attempt_says_so(store: Store) -> None:
    order = Order(suite="sums", models=("some/model",), engine="scripted", samples=5, epochs=4)
    plan = make_plan(to_request(order), Controls(), now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    asked = ScalingAsked(soundness=0.75, budgets=(1.0,), cost="kinetics")
    found = scaling_of(store, plan.run.id, asked)
    assert set(found.left_out.values()) == {"nothing was scored"}
    assert found.finding.startswith("Nothing can be said")
    assert found.notes[-1] == "The run is planned."
    with pytest.raises(NotFound, match="score component"):
        scaling_of(store, plan.run.id, ScalingAsked(weak_test="radar1.ra"))


def test_few_families_have_wide_intervals(store: Store) -> None:
    other = made(store, samples=3, epochs=4)
    found = scaling_of(store, other, ScalingAsked(soundness=0.75, budgets=(1.0,)))
    for one in found.systems:
        assert one.samples == 3
        assert all(depth.coverage.high - depth.coverage.low > 0.2 for depth in one.depths)


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_all_or_nothing(store: Store, accuracy: float) -> None:
    other = made(store, accuracy=accuracy, epochs=4)
    found = scaling_of(store, other, ScalingAsked(soundness=0.75, budgets=(1.0,)))
    for one in found.systems:
        for depth in one.depths:
            assert depth.coverage.value == accuracy
            assert depth.coverage.low < depth.coverage.high
        assert (one.saturation is None) == (accuracy == 0)
        if one.saturation is not None:  # nothing unsolvable was seen, but 60 samples can hide some
            assert one.saturation.most.value == 1
            assert one.saturation.most.low == one.depths[-1].coverage.low < 1
    text = to_json(found).decode()
    assert "NaN" not in text
    assert '"value":null' not in text


def test_json_reads_back_as_it_was(store: Store, run_id: str) -> None:
    found = scaling_of(store, run_id, ScalingAsked(soundness=0.75, budgets=(0.5,)))
    assert from_json(to_json(found), Scaling) == found


def test_a_picture_is_drawn_with_and_without_costs(
    store: Store, run_id: str, tmp_path: Path
) -> None:
    drawn("scaling", scaling_of(store, run_id, ASKED), str(tmp_path / "priced.svg"))
    text = (tmp_path / "priced.svg").read_text()
    assert "attempts at a sample" in text
    assert "stopping at the first" in text
    bare = made(store, hardware="", epochs=2)
    drawn("scaling", scaling_of(store, bare, ASKED), str(tmp_path / "bare.svg"))
    assert "stopping at the first" not in (tmp_path / "bare.svg").read_text()


def test_budgets_are_written_without_exponents() -> None:
    assert price(0.00002, ASKED) == "$0.00002"
    assert price(1500.0, ASKED) == "$1500"
    assert price(2.5, ScalingAsked(cost="kinetics")) == "2.5 TeFLOP"
    assert not math.isnan(float(price(1e-9, ASKED).removeprefix("$")))
