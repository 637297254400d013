"""Variance components where the truth is known, worked by hand, or simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qbench.benchmarks.analysis.noise.flips import std_interval
from qbench.benchmarks.analysis.noise.variance import (
    Components,
    complete,
    components,
    error_at,
    hidden,
    spreads,
)
from qbench.benchmarks.analysis.sums import Floats


def made(
    seed: int, shape: tuple[int, int, int], parts: tuple[float, float, float, float]
) -> Floats:
    """Draw (R, S, K) with variances between samples, between runs, of both, within."""
    runs, samples, epochs = shape
    rng = np.random.default_rng(seed)
    a, b, ab, e = (math.sqrt(part) for part in parts)
    return np.asarray(
        rng.normal(0, a, samples)[None, :, None]
        + rng.normal(0, b, runs)[:, None, None]
        + rng.normal(0, ab, (runs, samples))[:, :, None]
        + rng.normal(0, e, (runs, samples, epochs))
    )


def test_one_run_by_hand() -> None:
    # samples pass 2, 1, 0 of 2 epochs: MS between 1/2 x 2 x 2/... = 0.5, MS within 0.5 / 3
    values = np.array([[[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]])
    found = components(values)
    within, between = 0.5 / 3, 2 * (0.25 + 0 + 0.25) / 2
    assert found.epochs == pytest.approx(within)
    assert found.samples == pytest.approx((between - within) / 2)
    assert (found.runs, found.interaction) == (None, None)
    assert found.reliability == pytest.approx(1 - within / between)
    assert (found.n, found.runs_n, found.epochs_n) == (3, 1, 2)


def test_simulated_components_are_found() -> None:
    truth = (0.09, 0.0025, 0.01, 0.04)
    found = [components(made(seed, (8, 400, 4), truth)) for seed in range(20)]
    for name, value in zip(("samples", "runs", "interaction", "epochs"), truth, strict=True):
        mean = np.mean([getattr(one, name) for one in found])
        assert mean == pytest.approx(value, rel=0.25), name


def test_one_epoch_holds_the_interaction() -> None:
    found = components(made(1, (6, 2000, 1), (0.09, 0.0, 0.01, 0.04)))
    assert found.interaction is None
    assert found.epochs == pytest.approx(0.05, rel=0.1)
    assert found.within == found.epochs


def test_intervals_hold_the_truth() -> None:
    """Of 60 simulated designs, each component's interval holds it in about 95 %."""
    truth = {"samples": 0.09, "runs": 0.0025, "interaction": 0.01, "epochs": 0.04}
    trials, held = 60, dict.fromkeys(truth, 0)
    for seed in range(trials):
        values = made(seed, (4, 120, 3), (0.09, 0.0025, 0.01, 0.04))
        found = spreads(values, np.arange(120, dtype=np.int32), resamples=400)
        for name, value in truth.items():
            low, high = found.intervals[name]
            held[name] += low <= value <= high
    assert min(held.values()) >= 50, held  # P(fewer of 60 at 95 %) < 0.1 %


def test_shift_and_scale() -> None:
    values = made(3, (3, 40, 2), (0.1, 0.01, 0.02, 0.05))
    family = np.arange(40, dtype=np.int32) // 4
    one = spreads(values, family, resamples=200)
    two = spreads(values + 7.0, family, resamples=200)
    three = spreads(2 * values, family, resamples=200)
    for name, (low, high) in one.intervals.items():
        value = getattr(one.components, name)
        assert getattr(two.components, name) == pytest.approx(value, abs=1e-9)
        assert getattr(three.components, name) == pytest.approx(4 * value)
        assert three.intervals[name] == pytest.approx((4 * low, 4 * high))


def test_order_does_not_matter() -> None:
    values = made(4, (3, 30, 2), (0.1, 0.01, 0.02, 0.05))
    turned = values[::-1, ::-1, ::-1]
    for name in ("samples", "runs", "interaction", "epochs"):
        one, two = (getattr(components(part), name) for part in (values, turned))
        assert one == pytest.approx(two)


def test_what_agrees_can_hide_something() -> None:
    found = spreads(np.ones((2, 30, 2)), np.arange(30, dtype=np.int32))
    assert set(found.intervals) == {"samples", "runs", "interaction", "epochs"}
    for low, high in found.intervals.values():
        assert low == 0
        assert high == pytest.approx((1 - 0.05 ** (1 / 30)) / 2)
    assert found.components.reliability is None
    assert hidden(10) > hidden(1000) > 0


def test_incomplete_samples_are_told() -> None:
    values = np.ones((2, 3, 2))
    values[1, 2, 0] = np.nan
    assert complete(values).tolist() == [True, True, False]


def test_epochs_buy_what_the_formula_says() -> None:
    """Var = Var(x) + E[sigma^2] / K, per sample: checked against means of fewer epochs."""
    part = Components(
        samples=0.1, runs=None, interaction=None, epochs=0.08, n=200, runs_n=1, epochs_n=4
    )
    error = math.sqrt((0.1 + 0.08 / 4) / 200)
    for epochs in (1, 2, 4, 8):
        assert error_at(part, error, epochs) == pytest.approx(
            math.sqrt((0.1 + 0.08 / epochs) / 200)
        )
    assert error_at(part, error, math.inf) == pytest.approx(math.sqrt(0.1 / 200))
    nothing = Components(
        samples=None, runs=None, interaction=None, epochs=None, n=200, runs_n=1, epochs_n=1
    )
    assert error_at(nothing, error, 8) is None


def test_the_interval_of_a_deviation() -> None:
    low, high = std_interval(1.0, 10, 100)
    assert (low, high) == pytest.approx((0.6878, 1.8256), abs=1e-4)  # chi-square tables, 9 df
    assert std_interval(0.0, 3, 100)[1] > 0
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        low, high = std_interval(float(rng.normal(0, 0.02, 4).std(ddof=1)), 4, 100)
        held += low <= 0.02 <= high
    assert 365 <= held <= 394
