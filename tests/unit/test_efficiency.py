"""Efficiency: worked numbers, and what the fits must find."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from qbench.benchmarks.analysis.comparison.recovery import ratio_of_averages
from qbench.benchmarks.analysis.efficiency import queries, resources, score
from qbench.benchmarks.analysis.efficiency.intervals import ratio_of_sums
from qbench.benchmarks.analysis.efficiency.runtime import (
    CannotFit,
    Grid,
    Runtime,
    context_test,
    denoised,
    denoised_grid,
    fit,
    flops,
    joules,
    per_prompt,
)
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.money import MachinePrice, exact_seconds, machine_cost
from tests.worked import WORKED

DAVINCI = WORKED["idealized_runtime_davinci_a100"]


def davinci(*prompts: int) -> Runtime:
    """Fit the worked example's table and slope from measurements that have them exactly."""
    points = [
        (p, o, DAVINCI["F"][str(p)] + (o - 1) * DAVINCI["g"]) for p in prompts for o in (1, 8, 64)
    ]
    prompt, output, seconds = np.array(points, dtype=np.float64).T
    return fit(Grid(prompt=prompt, output=output, seconds=seconds))


def one(value: float) -> Floats:
    return np.array([value], dtype=np.float64)


def test_idealized_runtime_as_worked() -> None:
    runtime = davinci(1, 512, 1920)
    assert runtime.per_token == pytest.approx(DAVINCI["g"])
    assert runtime.r_squared == pytest.approx(1)
    seconds = runtime.seconds(one(512), one(64))[0]
    assert seconds == pytest.approx(DAVINCI["T(512,64)"])
    scaled = runtime.seconds(one(256), one(64), "scaled")[0]
    assert scaled == pytest.approx(DAVINCI["T(256,64)_scaled_lookup"])
    assert runtime.seconds(one(256), one(64))[0] > scaled  # F is flat: a line lies above
    expected = DAVINCI["flops_T(512,64)_davinci"]
    assert flops(12288, 96, one(512), one(64))[0] == pytest.approx(expected)


def test_idealized_cost_as_worked_in_exact_dollars() -> None:
    price = MachinePrice(
        name="a100",
        hardware="a100",
        commitment="on-demand",
        per_unit=Decimal("4.096"),
        units=8,
        provider="p",
        source="https://example.org",
        checked=date(2023, 1, 1),
        valid_from=date(2023, 1, 1),
    )
    cents = 100 * machine_cost(exact_seconds(DAVINCI["T(512,64)"]), price)
    assert float(cents) == pytest.approx(DAVINCI["cost_cents(512,64)_8xA100@4.096"], abs=1e-9)
    assert joules(5.282, 400, 8) == pytest.approx(16902.4)


def test_beyond_the_grid_a_prompt_is_scaled_and_said_so() -> None:
    runtime = davinci(1, 512, 1920)
    for lookup in ("interpolated", "scaled"):
        found = runtime.seconds(one(3840), one(1), lookup)[0]
        assert found == pytest.approx(2 * DAVINCI["F"]["1920"])
    prompt, output = np.array([512.0, 1921, 512, 1]), np.array([64.0, 1, 65, 1])
    assert runtime.beyond(prompt, output).tolist() == [False, True, True, False]
    with pytest.raises(ValueError, match="at least one"):
        runtime.design(one(0), one(1))


def test_the_scaled_lookup_is_not_monotone_where_the_table_is_flat() -> None:
    runtime = davinci(1, 512, 1920)
    assert runtime.seconds(one(2), one(1), "scaled")[0] < runtime.seconds(one(1), one(1))[0]
    rising = runtime.seconds(np.arange(1.0, 2500), np.ones(2499))
    assert (np.diff(rising) >= 0).all()


def noisy(
    seed: int, *, context: float = 0.0, noise: float = 0.02, repeats: int = 3
) -> tuple[Grid, Floats]:
    """Make a grid whose F, g and c are known, with multiplied noise."""
    rng = np.random.default_rng(seed)
    prompts, outputs = np.array([32.0, 128, 512]), np.array([1.0, 16, 64])
    p, o = (part.ravel() for part in np.meshgrid(prompts, outputs))
    prompt, output = np.tile(p, repeats), np.tile(o, repeats)
    table = 0.05 + 0.001 * prompts
    further = output - 1
    truth = np.interp(prompt, prompts, table) + further * (0.02 + context * prompt)
    seconds = truth * (1 + noise * rng.standard_normal(len(truth)))
    return Grid(prompt=prompt, output=output, seconds=seconds), np.array([*table, 0.02, context])


def test_a_simulated_grid_gives_its_truth_back_with_intervals_that_cover() -> None:
    rows, hits = [], []
    for seed in range(400):
        grid, truth = noisy(seed)
        runtime = fit(grid)
        design = np.vstack([np.eye(5)[:4], runtime.design(one(300), one(40))])
        ends = [runtime.interval(row) for row in design]
        wanted = [*truth[:4], float(design[-1] @ truth)]
        hits.append([low <= value <= high for (low, high), value in zip(ends, wanted, strict=True)])
        rows.append(runtime.coefficients)
    assert np.mean(rows, axis=0)[:4] == pytest.approx(truth[:4], rel=0.005)
    covered = np.mean(hits, axis=0)
    assert covered == pytest.approx(0.95, abs=0.035)  # 400 trials: three standard errors


def test_the_context_term_is_asked_for_where_it_is_there_alone() -> None:
    wanted = [context_test(noisy(seed, context=2e-5)[0]) for seed in range(20)]
    assert all(found and found.needed and found.low > 0 for found in wanted)
    shares = [found.change for found in wanted if found]
    assert np.mean(shares) == pytest.approx(480 * 2e-5 / (0.02 + 32 * 2e-5), rel=0.05)
    without = [context_test(noisy(seed)[0]) for seed in range(100)]
    assert sum(found.needed for found in without if found) <= 8
    best = fit(noisy(0, context=2e-5, noise=0)[0], context=True)
    assert best.context == pytest.approx(2e-5)
    assert best.r_squared == pytest.approx(1)


def test_slopes_by_prompt_show_the_trend() -> None:
    grid, _ = noisy(1, context=2e-5, noise=0)
    slopes = per_prompt(grid, fit(grid))
    assert slopes == pytest.approx(0.02 + 2e-5 * np.array([32, 128, 512]))


@pytest.mark.parametrize(
    ("prompt", "output"),
    [([8, 8], [16, 64]), ([8, 16], [1, 1]), ([8, 8], [1, 16]), ([], [])],
)
def test_a_grid_that_determines_nothing_is_refused(prompt: list[int], output: list[int]) -> None:
    grid = Grid(
        prompt=np.array(prompt, dtype=np.float64),
        output=np.array(output, dtype=np.float64),
        seconds=np.full(len(prompt), 0.1),
    )
    with pytest.raises(CannotFit):
        fit(grid)


def test_denoised_is_the_fastest_repeat() -> None:
    found = denoised(np.array([3.0, 1, 2, 5]), np.array([0, 0, 1, 1]))
    assert found.tolist() == [1, 2]
    assert not len(denoised(np.array([]), np.array([], dtype=np.int64)))
    grid, _ = noisy(3)
    fastest = denoised_grid(grid)
    assert len(fastest.seconds) == 9
    assert fastest.seconds.max() <= grid.seconds.max()


def test_queries_per_dollar_as_worked() -> None:
    single = WORKED["queries_per_dollar"]["single_stream"]
    per_hour = single["usd_per_gpu_h"] * single["n_gpus"]
    found = queries.synchronous(one(single["latency_s"]), per_hour)
    assert found[0] == pytest.approx(single["qpd"])
    multi = WORKED["queries_per_dollar"]["multi_stream"]
    assert queries.asynchronous(one(multi["qps"]), multi["usd_per_h"])[0] == pytest.approx(
        multi["qpd"]
    )
    assert [(case.prompt, case.output) for case in queries.USE_CASES] == [
        (256, 128),
        (512, 256),
        (768, 128),
        (1024, 128),
        (256, 1024),
        (1024, 1024),
        (4096, 512),
        (10240, 1536),
    ]


def test_a_cost_reduction_is_the_mean_of_ratios() -> None:
    found = queries.cost_reduction(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    assert found is not None
    assert found.value == 1.75  # the ratio of the means would be 1.67
    assert found.low < 1.75 < found.high
    assert queries.cost_reduction(one(math.nan), one(1)) is None
    alone = queries.cost_reduction(one(2), one(1))
    assert alone is not None
    assert (alone.low, alone.high) == (0, math.inf)


def test_what_slows_both_of_a_pair_falls_out() -> None:
    rng = np.random.default_rng(0)
    busy = np.exp(rng.standard_normal(40))  # the machine, alike for both
    noise = np.exp(0.02 * rng.standard_normal((2, 40)))
    found = queries.paired_speed(busy * noise[0], 1.5 * busy * noise[1])
    assert found is not None
    assert found.low < 1.5 < found.high
    assert found.high / found.low < 1.05
    assert queries.paired_speed(one(1), one(1)) is None


def test_saturation_finds_what_tokens_cost() -> None:
    prompt, output = np.array([32.0, 32, 512, 512]), np.array([1.0, 64, 1, 64])
    rate = 1 / (0.001 * prompt + 0.02 * output)
    found = queries.saturation(prompt, output, rate)
    assert found is not None
    assert (found.per_prompt_token, found.per_output_token) == pytest.approx((0.001, 0.02))
    assert found.per_second(one(256), one(128))[0] == pytest.approx(1 / 2.816)
    assert queries.saturation(prompt[:2], output[:2], rate[:2]) is None


def test_resource_metrics_on_numbers_one_can_check() -> None:
    at = np.array([0.0, 1, 3])
    assert resources.time_average(np.array([2.0, 4, 4]), at) == pytest.approx(11 / 3)
    assert resources.time_average(one(5), one(0)) == 5
    assert math.isnan(resources.time_average(np.array([]), np.array([])))
    assert resources.memory_utilization(np.array([2.0, 4, 4]), 8, at) == pytest.approx(11 / 24)
    assert resources.compute_utilization(1e12, 2, 1e12) == 0.5
    assert resources.throughput(100, 2) == 50
    assert resources.throughput(100, 2, 5) == 10
    assert resources.compression_ratio(16, 4, 0.95) == pytest.approx(3.8)


def test_a_ratio_of_sums_knows_both_of_its_errors() -> None:
    top, bottom = np.array([2.0, 4, 6, 8]), np.array([1.0, 2, 3, 4])
    exact = ratio_of_sums(top, bottom)
    assert exact is not None
    assert (exact.value, exact.low, exact.high) == (2, 2, 2)
    fitted = ratio_of_sums(top, bottom, relative_variance=0.01**2, freedom=20)
    assert fitted is not None
    assert fitted.high / 2 == pytest.approx(math.exp(2.086 * 0.01), rel=1e-4)
    spread = ratio_of_sums(np.array([1.0, 4, 6, 9]), bottom)
    assert spread is not None
    assert spread.low < 2 < spread.high
    assert ratio_of_sums(top, np.zeros(4)) is None
    assert ratio_of_sums(np.array([math.nan]), one(1)) is None
    alone = ratio_of_sums(one(2), one(1))
    assert alone is not None
    assert (alone.low, alone.high) == (0, math.inf)


def test_the_score_is_a_weighted_mean_of_doublings() -> None:
    accuracy = score.axis(np.array([0.8, 0.4, 0.0]), one(0.8), higher=True)
    cost = score.axis(np.array([4.0, 1, 1]), one(4), higher=False)
    assert accuracy.tolist() == [0, -1, -math.inf]
    assert cost.tolist() == [0, 2, 2]
    found = score.composite({"accuracy": accuracy, "cost": cost}, {"accuracy": 3, "cost": 1})
    assert found.tolist() == [0, -0.25, -math.inf]
    only = score.composite({"accuracy": accuracy, "cost": cost}, {"accuracy": 0, "cost": 2})
    assert only.tolist() == [0, 2, 2]
    assert np.isnan(score.axis(one(1), one(0), higher=True)).all()


def test_ranks_and_winning_weights() -> None:
    drawn = np.array([[1.0, 2, 3], [3, 2, 1], [3, 3, 0], [math.nan, 1, 1]])
    found = score.ranks(drawn)
    assert found.first == pytest.approx([0.5, 1 / 6, 1 / 3])
    assert found.mean == pytest.approx([5 / 3, 5 / 3, 7 / 3])
    assert np.isnan(score.ranks(np.full((2, 2), math.nan)).first).all()
    shares = score.winning_shares([np.array([0.0, -1]), np.array([0.0, 1])])
    assert shares == pytest.approx([0.5, 0.5], abs=0.02)  # equal where the weights are
    assert score.winning_shares([np.array([0.0, math.nan]), np.zeros(2)]).tolist() == [1, 0]
    assert np.isnan(score.winning_shares([np.array([math.nan])])).all()


RECOVERED = {
    "DS-R1-Qwen-14B_w4a16_reasoning": (73.56, 72.82),
    "DS-R1-Llama-8B_w8a8": (62.90, 62.67),
    "32B_FP8": (76.30, 75.55),
    "70B_FP8": (76.23, 76.49),
}
"""Baseline and format, as the cards print them."""


def test_compression_multiplies_a_recovery_as_worked() -> None:
    assert set(RECOVERED) == set(WORKED["recovery_pct"])
    for name, (baseline, kept) in RECOVERED.items():
        recovery = ratio_of_averages(one(kept), one(baseline))
        assert recovery is not None
        assert 100 * recovery == pytest.approx(WORKED["recovery_pct"][name])
        assert resources.compression_ratio(4, 1, recovery) == pytest.approx(4 * recovery)
