"""Drift: what is raised, what is confirmed, how often wrongly, and how often missed."""

from __future__ import annotations

import numpy as np
import pytest

from qbench.benchmarks.analysis.runs.drift import DriftReport, Series, Watch, confirmed, drift
from qbench.benchmarks.analysis.sums import Floats

WINDOW = ("a", "b", "c", "d")
WATCH = Watch()


def series(
    passes: Floats, *, cost: Floats | None = None, tokens: Floats | None = None, task: str = "t"
) -> Series:
    blank = np.full(passes.shape, np.nan)
    return Series(
        system_id="s",
        label="S",
        task=task,
        tries=np.ones(passes.shape, dtype=np.int64),
        passes=passes.astype(np.int64),
        cost=blank if cost is None else cost,
        tokens=blank if tokens is None else tokens,
        family=np.arange(passes.shape[1], dtype=np.int32),
    )


def drawn(
    rng: np.random.Generator, chances: Floats, runs: int, *, drop: float = 0.0, inflate: float = 1.0
) -> Series:
    """Draw runs of the same samples; the newest may pass less and say more."""
    passes = (rng.random((runs, len(chances))) < chances).astype(float)
    passes[-1] = rng.random(len(chances)) < chances * (1 - drop / chances.mean())
    tokens = rng.lognormal(4, 0.3, size=passes.shape)
    tokens[-1] *= inflate
    return series(passes, tokens=tokens, cost=tokens * 1e-6)


def chances_of(rng: np.random.Generator, samples: int = 200) -> Floats:
    """Difficulties of samples: most are nearly sure, some are coins."""
    return rng.beta(0.6, 0.4, size=samples)


def test_too_few_earlier_runs_are_no_history() -> None:
    cell = series(np.ones((3, 5)))
    assert drift([cell], ("a", "b"), WATCH).state == "insufficient history"


def test_equal_runs_are_steady_and_change_is_bounded() -> None:
    report = drift([series(np.ones((5, 100)))], WINDOW, WATCH)
    assert report.state == "steady"
    [shift] = report.shifts
    assert (shift.change, shift.p, shift.samples) == (0.0, 1.0, 100)
    assert shift.low is not None
    assert -0.05 < shift.low < 0


def test_a_drop_is_suspected_with_its_size_and_interval() -> None:
    passes = np.ones((5, 100))
    passes[-1, :12] = 0
    report = drift([series(passes)], WINDOW, WATCH)
    [shift] = report.raised
    assert report.state == "suspected"
    assert shift.change == pytest.approx(-0.12)
    assert shift.low is not None
    assert shift.high is not None
    assert shift.low < -0.12 < shift.high < 0
    assert shift.p == pytest.approx(2 * 0.2**12)


def test_a_change_too_small_to_matter_is_not_raised() -> None:
    passes, costs = np.ones((5, 1000)), np.full((5, 1000), 0.01)
    passes[-1, :15] = 0
    costs[-1] *= 1.04
    report = drift([series(passes, cost=costs)], WINDOW, WATCH)
    assert [shift.q < 0.05 for shift in report.shifts] == [True, True]
    assert report.state == "steady"


def test_costs_that_grew_are_raised_as_a_ratio_and_unknown_ones_left_out() -> None:
    rng = np.random.default_rng(2)
    costs = rng.lognormal(-6, 0.2, size=(5, 80))
    costs[-1] *= 1.5
    costs[-1, :10] = np.nan
    report = drift([series(np.ones((5, 80)), cost=costs)], WINDOW, WATCH)
    [shift] = report.raised
    assert shift.metric == "cost"
    assert shift.samples == 70
    assert shift.low is not None
    assert shift.high is not None
    assert 1.4 < shift.low < shift.change < shift.high < 1.62


def test_confirmed_only_when_the_same_change_shows_again() -> None:
    down, up, same = np.ones((5, 100)), np.zeros((5, 100)), np.ones((5, 100))
    down[-1, :12] = 0
    up[-1] = 1
    report = drift([series(down)], WINDOW, WATCH)
    again = confirmed(report, [series(down)])
    assert again.state == "confirmed"
    assert again.confirmed[0].confirming == pytest.approx(-0.12)
    assert confirmed(report, [series(same)]).state == "not confirmed"
    assert confirmed(report, [series(up)]).state == "not confirmed"
    assert confirmed(report, []).state == "not confirmed"


def alarm(rng: np.random.Generator, *, cells: int, drop: float = 0.0) -> DriftReport:
    """Make one schedule's newest run and its confirming run, and judge them."""
    newest, fresh = [], []
    for number in range(cells):
        chances = chances_of(rng)
        both = drawn(rng, chances, 5, drop=drop)
        again = drawn(rng, chances, 1, drop=drop)
        passes, tokens = both.passes.astype(np.float64), both.tokens.copy()
        passes[-1], tokens[-1] = again.passes[-1], again.tokens[-1]
        newest.append(
            series(
                both.passes.astype(np.float64), tokens=both.tokens, cost=both.cost, task=str(number)
            )
        )
        fresh.append(series(passes, tokens=tokens, cost=tokens * 1e-6, task=str(number)))
    report = drift(newest, WINDOW, WATCH)
    return confirmed(report, fresh) if report.state == "suspected" else report


def test_noise_alone_is_seldom_suspected_and_hardly_ever_confirmed() -> None:
    rng = np.random.default_rng(11)
    reports = [alarm(rng, cells=3) for _ in range(60)]
    suspected = sum(report.state != "steady" for report in reports)
    assert suspected <= 7  # at 5 % of 60, more than 7 has a chance of 1 %
    assert sum(report.state == "confirmed" for report in reports) <= 1


def test_a_drop_of_ten_points_on_200_samples_is_mostly_confirmed() -> None:
    rng = np.random.default_rng(12)
    reports = [alarm(rng, cells=1, drop=0.1) for _ in range(40)]
    found = sum(report.state == "confirmed" for report in reports)
    assert found >= 24  # 231 of 300 in a longer simulation (77 %); fewer than 24 of 40 is 0.5 %
