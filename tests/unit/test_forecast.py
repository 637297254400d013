"""The model of effects: what it knows, what it does not, and that it says so."""

import numpy as np
import pytest

from qbench.benchmarks.analysis.forecast.effects import Cells, fitted
from qbench.benchmarks.analysis.forecast.scores import (
    COST_SCALE,
    costs,
    effective_trials,
    fitted_rates,
    held_out_scores,
    interval,
    log_costs,
    scores,
)
from scripts.simulate_forecast import World, tried


def cells(groups: list[list[int]], level: list[float] | None = None) -> Cells:
    codes = np.array(groups, dtype=np.int64)
    return Cells(groups=codes, level=np.array(level or [0.0] * codes.shape[1]))


def test_a_known_system_is_forecast_where_it_was_and_surer_than_an_unknown_one() -> None:
    model = [place for place in range(6) for _ in range(4)]
    rate = np.repeat([0.2, 0.3, 0.4, 0.5, 0.6, 0.7], 4)
    trials = np.full(24, 200.0)
    effects = fitted_rates(cells([model]), rate, trials)
    drawn = scores(effects, cells([[5, 9]]), np.array([200.0, 200.0]))
    known, unknown = interval(drawn[:, 0]), interval(drawn[:, 1])
    assert known.middle == pytest.approx(0.7, abs=0.03)
    assert known.high - known.low < 0.12
    assert unknown.high - unknown.low > 2 * (known.high - known.low)
    assert unknown.low < 0.45 < unknown.high


def test_levels_pull_in_one_direction() -> None:
    level = [float(n % 4) for n in range(16)]
    rate = 1 / (1 + np.exp(np.array(level) - 1.0))
    effects = fitted_rates(cells([[0] * 16], level), rate, np.full(16, 400.0))
    easy, hard = effects.draws(cells([[0, 0]], [0.0, 4.0]), 500).mean(axis=0)
    assert easy == pytest.approx(1.0, abs=0.2)
    assert hard == pytest.approx(-3.0, abs=0.6)


def test_a_forecast_allows_for_the_samples_of_the_run_itself() -> None:
    effects = fitted_rates(cells([[0] * 4]), np.full(4, 0.5), np.full(4, 1000.0))
    drawn = scores(effects, cells([[0, 0]]), np.array([10.0, 1000.0]))
    assert drawn[:, 0].std() > 2 * drawn[:, 1].std()


def test_the_order_of_cells_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    groups = rng.integers(0, 4, (3, 30))
    rate, trials = rng.random(30), np.full(30, 50.0)
    order = rng.permutation(30)
    wanted = cells([[1, 7], [2, 8], [0, 9]])
    one = fitted_rates(cells(groups.tolist()), rate, trials)
    two = fitted_rates(cells(groups[:, order].tolist()), rate[order], trials)
    for first, second in zip(
        one.draws(wanted, 4000).mean(axis=0), two.draws(wanted, 4000).mean(axis=0), strict=True
    ):
        assert first == pytest.approx(second, abs=0.05)


def test_costs_keep_their_unit() -> None:
    paid = np.array([1.0, 1.1, 0.9, 10.0, 11.0, 9.0])
    groups = cells([[0, 0, 0, 1, 1, 1]])
    wanted = cells([[0, 1]])
    small = fitted(log_costs(groups, paid * 1e-6, paid * 1e-7), scale=COST_SCALE)
    large = fitted(log_costs(groups, paid, paid / 10), scale=COST_SCALE)
    ratio = np.median(costs(large, wanted), axis=0) / np.median(costs(small, wanted), axis=0)
    assert ratio == pytest.approx([1e6, 1e6], rel=0.02)
    assert np.median(costs(large, wanted), axis=0) == pytest.approx([1.0, 10.0], rel=0.1)


def test_families_that_agree_count_for_fewer_trials() -> None:
    rate, error = np.array([0.5, 0.5, 1.0]), np.array([0.05, 0.1, 0.0])
    found = effective_trials(rate, error, np.array([100.0, 100.0, 100.0]))
    assert found == pytest.approx([100.0, 25.0, 50.0])


def test_eighty_percent_intervals_hold_about_eighty_percent() -> None:
    found = [tried(World("usual"), 5, 40, seed) for seed in range(4)]
    covered, total = sum(f.covered for f in found), sum(f.total for f in found)
    assert 0.65 < covered / total < 0.95  # three standard errors of some 60 forecasts


def test_one_run_alone_cannot_be_held_out() -> None:
    rate, trials = np.array([0.4, 0.5]), np.array([50.0, 50.0])
    run, system = np.zeros(2, dtype=np.int64), np.arange(2)
    found = held_out_scores(cells([[0, 1]]), rate, trials, run, system)
    assert (found.covered, found.total) == (0, 0)
