"""Worked numbers of test-time scaling: coverage, verifiers, saturation, kinetics, strategies."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from qbench.benchmarks.analysis.rates import pass_at_k, pass_hat_k
from qbench.benchmarks.analysis.scaling import kinetics, saturation, strategies, tallies
from qbench.benchmarks.analysis.scaling.coverage import (
    coverage,
    deepest,
    doublings,
    points,
    reliability,
    voted,
)
from qbench.benchmarks.analysis.scaling.difficulty import rates_of
from qbench.benchmarks.analysis.scaling.verifier import (
    Stakes,
    Verifier,
    answers,
    best_cap,
    limit,
    measured,
    reward,
    soundness,
    supposed,
    unlimited,
)
from qbench.benchmarks.analysis.scaling.weak import WeakTest, errors
from qbench.benchmarks.analysis.sums import Floats
from tests.worked import WORKED

FLAWS, KINETICS, TTSPM = WORKED["flaws_reward"], WORKED["kinetics_TeFLOPs"], WORKED["ttspm"]
R, PRIOR = np.array(FLAWS["r"]), np.array(FLAWS["prior"])
VERIFIER = Verifier(completeness=FLAWS["completeness"], soundness=FLAWS["soundness"])
QWEN_8B = kinetics.Decoder(parameters=8.19e9, layers=36, heads=32, kv_heads=8, head_dim=128)
QWEN_06B = kinetics.Decoder(parameters=0.752e9, layers=28, heads=16, kv_heads=8, head_dim=128)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def test_pass_at_k_is_the_worked_one() -> None:
    told = WORKED["pass_at_k"]
    n, c, k = ints(told["n"]), ints(told["c"]), [told["k"]]
    assert coverage(n, c, k)[0, 0] == pytest.approx(told["pass@5"], rel=1e-14)
    assert reliability(n, c, k)[0, 0] == pytest.approx(told["pass^5"], rel=1e-12)


def test_curves_agree_with_the_exact_ones_and_hold_for_thousands() -> None:
    for n, c in ((1, 0), (1, 1), (7, 3), (60, 1), (60, 59), (3000, 5), (3000, 1500)):
        ks = [k for k in (1, 2, 5, 50, 1000) if k <= n]
        exact = [pass_at_k(n, c, k) for k in ks], [pass_hat_k(n, c, k) for k in ks]
        assert coverage(ints(n), ints(c), ks)[0] == pytest.approx(exact[0], rel=1e-11)
        assert reliability(ints(n), ints(c), ks)[0] == pytest.approx(exact[1], rel=1e-11)


def test_a_matrix_keeps_its_shape_and_too_few_attempts_are_unknown() -> None:
    n, c = np.array([[4, 2, 0], [4, 4, 4]]), np.array([[1, 2, 0], [0, 4, 2]])
    found = coverage(n, c, [1, 3])
    assert found.shape == (2, 3, 2)
    assert found[0, 0].tolist() == pytest.approx([0.25, 0.75])
    assert np.isnan(found[0, 1:]).tolist() == [[False, True], [True, True]]
    assert found[1, :, 1].tolist() == pytest.approx([0, 1, 1])
    with pytest.raises(ValueError, match="at least 1"):
        coverage(n, c, [0, 1])


def test_a_vote_is_won_by_more_than_half() -> None:
    """Of 5 attempts 3 pass: of 3 drawn, 2 or 3 pass in 6 + 1 of 10 draws."""
    assert voted(ints(5), ints(3), [1, 3, 5]).tolist() == [pytest.approx([0.6, 0.7, 1.0])]
    assert voted(ints(5), ints(3), [2])[0, 0] == pytest.approx(0.6)
    assert np.isnan(voted(ints(5), ints(3), [7])[0, 0])


def test_which_k_are_told() -> None:
    assert doublings(8) == (1, 2, 4, 8)
    assert doublings(10) == (1, 2, 4, 8, 10)
    assert doublings(0) == ()
    assert points(5) == (1, 2, 3, 4, 5)
    many = points(2000)
    assert {1, 16, 64, 1024, 2000} <= set(many)
    assert len(many) < 60
    assert deepest(ints(*[8] * 99, 3, 0)) == 8
    assert deepest(ints(*[8] * 9, 3)) == 3
    assert deepest(ints(0, 0)) == 0


def test_a_verifier_is_the_worked_one() -> None:
    assert VERIFIER.rejects(R) == pytest.approx(FLAWS["beta"])
    assert VERIFIER.right(R) == pytest.approx(FLAWS["p_correct"])
    assert VERIFIER.false(R) == pytest.approx(FLAWS["p_fluke"])
    assert VERIFIER.ceiling(R) == pytest.approx(FLAWS["ceiling"])
    assert limit(R, PRIOR, VERIFIER) == pytest.approx(0.7162, abs=5e-5)


@pytest.mark.parametrize("cost", FLAWS["curves"])
def test_rewards_are_the_exact_ones(cost: str) -> None:
    told = FLAWS["curves"][cost]["exact"]
    stakes = Stakes(false_positive=-float(cost))
    curve = PRIOR @ reward(supposed(R, VERIFIER, 15), VERIFIER, stakes)
    assert curve == pytest.approx(told["curve"], rel=1e-12)
    cap, value = best_cap(curve)
    assert cap == told["K_opt"]
    assert value == pytest.approx(told["reward"], rel=1e-12)
    end, most = unlimited(R, PRIOR, VERIFIER, stakes)
    assert end == (math.inf if cost == "0" else told["K_opt"])
    assert most >= told["reward"] * (1 - 1e-12)


def test_rewards_that_do_not_pay_have_no_best_cap() -> None:
    curve = PRIOR @ reward(supposed(R, VERIFIER, 15), VERIFIER, Stakes(false_positive=8))
    assert best_cap(curve) == (0, 0.0)
    never = limit(floats(0.0, 0.5), floats(0.5, 0.5), Verifier(), Stakes(attempt=0.01))
    assert never == -math.inf


def test_attempts_that_cost_bound_the_cap() -> None:
    """A perfect verifier, one kind of task: go on while r (1 - r)^(k-1) pays for a try."""
    end, _ = unlimited(floats(0.3), floats(1.0), Verifier(), Stakes(attempt=0.29))
    assert end == math.inf  # the gain per try is r - kappa for ever: nobody knows it failed so far
    end, most = unlimited(floats(0.3, 0.0), floats(0.5, 0.5), Verifier(), Stakes(attempt=0.05))
    gains = [0.5 * 0.7**k * 0.25 - 0.5 * 0.05 for k in range(50)]
    assert end == sum(gain > 0 for gain in gains)
    assert most == pytest.approx(sum(gain for gain in gains if gain > 0))


def test_rewards_agree_with_a_simulated_resampler() -> None:
    rng, cap, tries = np.random.default_rng(5), 4, 200_000
    verifier, stakes = (
        Verifier(completeness=0.9, soundness=0.7),
        Stakes(false_positive=0.5, attempt=0.02),
    )
    rate = rng.choice(R, size=tries, p=PRIOR)
    open_ones, gained, made = np.ones(tries, dtype=bool), np.zeros(tries), 0
    for _ in range(cap):
        made += int(open_ones.sum())
        right = rng.random(tries) < rate
        taken = open_ones & (rng.random(tries) < np.where(right, 0.9, 0.3))
        gained += np.where(taken, np.where(right, 1.0, -0.5), 0.0) - 0.02 * open_ones
        open_ones &= ~taken
    found = supposed(R, verifier, cap)
    error = gained.std() / math.sqrt(tries)
    assert abs(PRIOR @ reward(found, verifier, stakes)[:, -1] - gained.mean()) < 4 * error
    assert PRIOR @ found.made[:, -1] == pytest.approx(made / tries, rel=0.01)


def test_measured_tries_are_the_mean_over_all_orders() -> None:
    """Two of three attempts pass, c = 0.8, s = 0.6: worked out by listing the orders."""
    verifier = Verifier(completeness=0.8, soundness=0.6)
    found = measured(ints(3), ints(2), verifier, 3)
    after_right, after_wrong = 0.2, 0.6
    second_right = (after_right * 1 + after_wrong * 1 + after_right * 0) / 3 + 0
    orders = ((1, 1, 0), (1, 0, 1), (0, 1, 1))
    right = [0.0] * 3
    wrong = [0.0] * 3
    for order in orders:
        alive = 1.0
        for k, passes in enumerate(order):
            (right if passes else wrong)[k] += alive / 3
            alive *= after_right if passes else after_wrong
    assert second_right == pytest.approx(right[1])
    assert found.right[0] == pytest.approx(right)
    assert found.wrong[0] == pytest.approx(wrong)


def test_measured_rewards_have_no_bias() -> None:
    rng, n = np.random.default_rng(11), 6
    verifier = Verifier(completeness=0.9, soundness=0.75)
    rate = rng.beta(0.6, 0.8, size=60_000)
    passes = rng.binomial(n, rate)
    found = measured(np.full(60_000, n), passes, verifier, n)
    right, false = answers(found, verifier)
    true_right, true_false = answers(supposed(rate, verifier, n), verifier)
    for seen, true in ((right, true_right), (false, true_false)):
        error = (seen - true).std(axis=0) / math.sqrt(60_000)
        assert (np.abs((seen - true).mean(axis=0)) < 4 * error).all()


def test_a_verifier_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        Verifier(soundness=1.5)
    with pytest.raises(ValueError, match="from 0"):
        Stakes(attempt=-1)


def test_soundness_is_the_share_of_wrong_ones_that_weak_tests_reject() -> None:
    """1,000 attempts: 600 right, all pass the weak tests; of 400 wrong ones 100 pass them too."""
    assert soundness(0.7, 0.6, 6 / 7) == pytest.approx(0.75)
    assert math.isnan(soundness(1.0, 1.0, 1.0))


def test_saturation_is_the_worked_one() -> None:
    one = saturation.model(TTSPM["F_max"], TTSPM["p_x"])
    assert one.reached(np.arange(1.0, 9))[0] == pytest.approx(TTSPM["F(1..8)"])
    assert one.gain(floats(8))[0, 0] == pytest.approx(TTSPM["marginal(8->9)"])
    assert one.saturation(0.005)[0] == TTSPM["N_star(eps=.005)"]
    scan = np.flatnonzero(one.gain(np.arange(100.0))[0] <= 0.005)[0]
    assert scan == TTSPM["first_N_by_scan"]
    assert saturation.levelled(one.reached(np.arange(1.0, 100))[0], 0.005) == 18
    assert saturation.levelled(floats(0.1, 0.3, 0.5), 0.005) is None


def test_saturation_at_the_edges() -> None:
    assert saturation.model(0.9, 1.0).saturation(0.005)[0] == 1
    assert saturation.model(0.9, 0.001).saturation(0.005)[0] == 0
    assert saturation.model(0.0, 0.5).saturation(0.005)[0] == 0
    with pytest.raises(ValueError, match="above 0"):
        saturation.model(0.9, 0.5).saturation(0.0)


def test_a_fit_is_that_of_scipy() -> None:
    ks = points(24)
    tries = np.asarray(ks, dtype=np.float64)
    rng = np.random.default_rng(3)
    truth = saturation.model(0.7, 0.12).reached(tries)[0]
    curves = np.clip(truth + rng.normal(0, 0.01, size=(5, len(ks))), 0, 1)
    weights = 1 + rng.random(len(ks))
    found = saturation.fitted(ks, curves, weights)
    for place, curve in enumerate(curves):
        other = optimize.least_squares(
            lambda at, y=curve: (at[0] * (1 - (1 - at[1]) ** tries) - y) * np.sqrt(weights),
            (0.5, 0.5),
            bounds=((0, 0), (1, 1)),
            xtol=1e-14,
            ftol=1e-14,
            gtol=1e-14,
        )
        assert (found.most[place], found.hit[place]) == pytest.approx(tuple(other.x), rel=1e-5)
    exact = saturation.fitted(ks, truth[None], np.ones(len(ks)))
    assert (exact.most[0], exact.hit[0]) == pytest.approx((0.7, 0.12), rel=1e-6)
    flat = saturation.fitted(ks, np.ones((1, len(ks))), np.ones(len(ks)))
    assert (flat.most[0], flat.hit[0]) == pytest.approx((1.0, 1.0))
    with pytest.raises(ValueError, match="two points"):
        saturation.fitted([1], np.ones((1, 1)), np.ones(1))


@pytest.mark.parametrize(
    ("name", "model", "trials"),
    [
        ("Qwen3-8B Lin200 Lout16384 N1", QWEN_8B, 1),
        ("Qwen3-0.6B same", QWEN_06B, 1),
        ("Qwen3-8B N16", QWEN_8B, 16),
    ],
)
def test_kinetics_is_the_worked_one(name: str, model: kinetics.Decoder, trials: int) -> None:
    made = kinetics.Replies(prompt=floats(200), reply=floats(16384), trials=trials)
    found = kinetics.work(model, made, exact=False)
    parts = [float(part[0]) for part in (found.compute, found.memory, found.total)]
    assert parts == pytest.approx(KINETICS[name], rel=1e-12)
    whole = kinetics.work(model, made)
    assert whole.total[0] == pytest.approx(found.total[0], rel=1e-4)
    assert whole.total[0] > found.total[0]


def test_samples_that_differ_are_noticed() -> None:
    rng = np.random.default_rng(7)
    found = []
    for rates in (rng.choice([0.0, 0.4], 200), rng.beta(0.5, 0.5, 200)):
        moments = reliability(np.full(200, 8), rng.binomial(8, rates), (1, 2, 3))
        draws = rng.multinomial(200, np.full(200, 1 / 200), size=500) @ moments / 200
        found.append(saturation.unevenness(draws))
    assert found[0] > 0.1
    assert found[1] < 0.01


def test_intervals_of_a_fit_hold_the_truth() -> None:
    """Samples of p_x 0.3 or never solved, 60 runs: 95 % intervals miss about three times."""
    rng, held = np.random.default_rng(9), np.zeros(2)
    ks, n, samples = points(16), 16, 60
    for _ in range(60):
        passes = rng.binomial(n, np.where(rng.random(samples) < 0.7, 0.3, 0.0))
        values = coverage(np.full(samples, n), passes, ks)
        drawn = rng.multinomial(samples, np.full(samples, 1 / samples), size=200) @ values / samples
        again = saturation.fitted(ks, drawn)
        for place, (values, truth) in enumerate(((again.most, 0.7), (again.hit, 0.3))):
            low, high = np.quantile(values, [0.025, 0.975])
            held[place] += bool(low <= truth <= high)
    assert (held >= 53).all()


def test_beta_laws_have_their_moments() -> None:
    mean, square = floats(0.5, 0.3, 0.3, 0.3, 0.0, 1.0), floats(0.375, 0.12, 0.09, 0.3, 0.0, 1.0)
    rates = rates_of(mean, square)
    assert rates.mean(axis=1) == pytest.approx(mean, abs=6e-3)
    assert (rates**2).mean(axis=1) == pytest.approx(square, abs=6e-3)
    assert (rates[2] == 0.3).all()
    assert set(rates[3]) == {0.0, 1.0}
    assert (np.diff(rates, axis=1) >= 0).all()


def test_kinetics_in_seconds() -> None:
    made = kinetics.Replies(prompt=floats(200), reply=floats(16384))
    b200 = kinetics.MACHINES["b200"]
    assert b200.intensity == 562.5
    took = b200.seconds(kinetics.work(QWEN_8B, made, exact=False).total)
    assert took[0] == pytest.approx(KINETICS["B200_seconds_8B"], rel=1e-12)
    h100 = kinetics.MACHINES["h100"]
    other = kinetics.work(QWEN_8B, made, machine=h100)
    assert other.compute[0] == pytest.approx(kinetics.work(QWEN_8B, made).compute[0])
    bytes_read = 4 * float(kinetics.attended(floats(200), floats(16384))[0]) * 8 * 128 * 36
    assert other.memory[0] * 1e12 / h100.intensity == pytest.approx(bytes_read)


def test_sparse_attention_looks_at_so_many_tokens() -> None:
    told = KINETICS["kv_sum_B1024_Lin200_Lout4096"]
    prompt, reply = floats(200), floats(4096)
    assert kinetics.attended(prompt, reply, 1024)[0] == told["exact"]
    assert kinetics.attended_midway(prompt, reply, 1024)[0] == told["minus_form"]
    listed = sum(min(1024, 200 + t) for t in range(1, 4097))
    assert listed == told["exact"]
    assert kinetics.attended(floats(2000), floats(10), 1024)[0] == 10240
    assert kinetics.attended(floats(5), floats(10))[0] == sum(range(6, 16))
    made = kinetics.Replies(prompt=prompt, reply=reply, trials=2)
    free = kinetics.work(QWEN_8B, made, sparsity=kinetics.Sparsity(budget=1024))
    found = kinetics.work(QWEN_8B, made, sparsity=kinetics.Sparsity(budget=1024, block=16))
    assert free.memory[0] == pytest.approx(2 * 4 * listed * 8 * 128 * 36 * 562.5e-12)
    searched = 2 * float(kinetics.attended(prompt, reply)[0]) / 16
    assert found.memory[0] - free.memory[0] == pytest.approx(
        2 * searched * 8 * 128 * 36 * 562.5e-12
    )
    assert found.compute[0] - free.compute[0] == pytest.approx(2 * searched * 32 * 128 * 36e-12)


def row(n: int, passed: list[int], right: float = 1.0, wrong: float = 3.0) -> tallies.Row:
    samples = len(passed)
    return tallies.Row(
        n=np.full(samples, n),
        passed=ints(*passed),
        right_cost=np.full(samples, right),
        wrong_cost=np.full(samples, wrong),
        kept=np.ones(samples, dtype=bool),
        most=n,
    )


def test_stopping_early_pays_for_the_tries_that_were_made() -> None:
    """One of two attempts passes: in half of the orders the first one ends it."""
    made = strategies.outlooks(row(2, [1]), (1, 2), None, at_once=False)
    right = next(one for one in made if one.strategy == "until right")
    assert right.passed[0] == pytest.approx([0.5, 1.0])
    assert right.cost[0] == pytest.approx([2.0, (1 + (3 + 1)) / 2])
    paid = strategies.outlooks(row(2, [1]), (1, 2), None, at_once=True)[-1]
    assert paid.cost[0] == pytest.approx([2.0, 4.0])
    assert [one.strategy for one in made] == ["once", "until right"]


def test_strategies_of_many_attempts() -> None:
    verifier = Verifier(soundness=0.75)
    made = strategies.outlooks(row(8, [0, 3, 8]), (1, 2, 4, 8), verifier, at_once=False)
    by_name = {one.strategy: one for one in made}
    assert list(by_name) == ["once", "vote", "until accepted", "until right"]
    assert by_name["vote"].ks == (3, 7)
    assert by_name["until accepted"].ks == (1, 2, 4, 8)
    assert (by_name["until accepted"].passed <= by_name["until right"].passed + 1e-12).all()
    assert by_name["until right"].passed[1, -1] == 1
    assert by_name["once"].cost[:, 0] == pytest.approx([3.0, (3 + 15) / 8, 1.0])


def test_a_recorded_weak_test_is_the_mean_over_all_orders() -> None:
    """Four attempts: right and accepted, right and rejected, wrong and accepted, wrong rejected."""
    attempts = ((1, 1), (1, 0), (0, 1), (0, 0))
    accepts = replace(row(4, [2]), right_cost=floats(2.0), wrong_cost=floats(5.0))
    weak = WeakTest(row=accepts, right=ints(1), truth=ints(2))
    right, false, made, cost = np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4)
    orders = list(itertools.permutations(attempts))
    for order in orders:
        first = next(k for k, one in enumerate(order) if one[1])
        (right if order[first][0] else false)[first:] += 1 / len(orders)
        for k in range(4):
            tried = order[: min(k, first) + 1]
            made[k] += len(tried) / len(orders)
            cost[k] += sum(2.0 if one[1] else 5.0 for one in tried) / len(orders)
    ks = (1, 2, 3, 4)
    assert weak.answers(ks)[0][0] == pytest.approx(right)
    assert weak.answers(ks)[1][0] == pytest.approx(false)
    assert weak.made(ks)[0] == pytest.approx(made)
    assert weak.outlook(ks, at_once=False).cost[0] == pytest.approx(cost)
    assert weak.outlook(ks, at_once=True).cost[0] == pytest.approx([3.5, 7, 10.5, 14])


def test_errors_of_a_weak_test() -> None:
    """Of 5 right attempts 4 are accepted, of 5 wrong ones 1."""
    weak = WeakTest(row=row(5, [4, 1]), right=ints(3, 1), truth=ints(3, 2))
    completeness, soundness_, accuracy = errors(weak.shares().mean(axis=1))
    assert (completeness, soundness_, accuracy) == pytest.approx((0.8, 0.8, 0.8))
    assert soundness_ == pytest.approx(soundness(0.5, 0.5, 0.8))
    assert np.isnan(errors(floats(1, 0, 0, 0, 0))).tolist() == [False, True, True]


def test_what_a_budget_buys() -> None:
    passed, cost = floats(0.5, 0.7, 0.7, 0.9), floats(1, 3, 2, 9)
    draws = (np.stack([passed] * 4), np.stack([cost, cost, cost, cost + 5]))
    assert strategies.affordable(passed, cost, draws, 3) == (2, 0.75)
    assert strategies.affordable(passed, cost, draws, 0.5) is None
    assert strategies.affordable(passed, cost, draws, 20) == (3, 1.0)
    found = strategies.standing(passed, cost, draws)
    assert list(found.undominated) == [True, False, True, True]
    assert list(found.chance) == [1, 0, 1, 1]
    assert not strategies.standing(floats(), floats(), draws).chance
