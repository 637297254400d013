"""A cascade between two systems: its curve, its threshold chosen held out, and whole runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qbench.benchmarks.analysis.economics.cascade import Both, chosen, halves, held_out
from qbench.cli.pictures import drawn
from qbench.cli.render import cascade as rendered
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Controls
from qbench.service.order import Order
from qbench.service.reports.cascade.report import cascade_of
from qbench.service.reports.cascade.values import CascadeReport
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from tests.scripted_runs import made_run


def drawn_both(rng: np.random.Generator, n: int, *, informed: bool) -> Both:
    """Draw questions: the cheap one passes as often as it is sure, or whatever it says."""
    sure = rng.choice([0.2, 0.4, 0.6, 0.8], n)
    rate = sure if informed else np.full(n, 0.5)
    return Both(
        sure=sure,
        cheap=(rng.random(n) < rate).astype(np.float64),
        cheap_cost=np.ones(n),
        dear=(rng.random(n) < (0.9 if informed else 0.5)).astype(np.float64),
        dear_cost=np.full(n, 10.0),
        family=np.arange(n, dtype=np.int32),
    )


def test_the_curve_begins_with_the_cheap_system_and_ends_with_both_paid() -> None:
    both = drawn_both(np.random.default_rng(1), 50, informed=True)
    first, *_, last = (both.handed_on(threshold) for threshold in both.thresholds())
    assert both.passed(first).mean() == both.cheap.mean()
    assert both.passed(last).mean() == both.dear.mean()
    assert (both.cost(first).mean(), both.cost(last).mean()) == (1, 11)


def test_accuracy_and_cost_at_a_threshold_are_those_of_the_theory() -> None:
    both = drawn_both(np.random.default_rng(2), 40_000, informed=True)
    handed = both.handed_on(0.7)
    assert both.passed(handed).mean() == pytest.approx(0.75 * 0.9 + 0.25 * 0.8, abs=0.01)
    assert both.cost(handed).mean() == pytest.approx(1 + 0.75 * 10, abs=0.1)


def test_a_signal_of_luck_gains_nothing_held_out_but_seems_to_where_it_chose() -> None:
    rng = np.random.default_rng(3)
    seen, honest = [], []
    for _ in range(300):
        both = drawn_both(rng, 40, informed=False)
        best = max(both.passed(both.handed_on(float(t))).mean() for t in both.thresholds())
        seen.append(best - 0.5)
        honest.append(held_out(both, 0.0).passed.mean() - 0.5)
    assert np.mean(seen) > 0.03
    assert abs(np.mean(honest)) < 4 * np.std(honest) / np.sqrt(len(honest))


def test_halves_keep_families_together_and_are_even() -> None:
    family = np.repeat(np.arange(20, dtype=np.int32), 3)
    first = halves(family, seed=4)
    assert first.sum() == 30
    assert all(len(set(first[family == one])) == 1 for one in range(20))


def test_nothing_is_handed_on_where_the_cheap_one_is_as_good() -> None:
    both = drawn_both(np.random.default_rng(5), 60, informed=True)
    assert both.handed_on(chosen(both, np.ones(60, bool), margin=1.0)).sum() == 0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("cascade") / "q.db")) as store:
        order = Order(
            suite="sums",
            formats=("w4a16",),
            engine="scripted",
            samples=50,
            levels=(2, 3),
            epochs=3,
            noise_floor=False,
            options={"accuracy": {"bf16": 0.95, "*": 0.7}, "unsteady": 1.0},
        )
        made_run(store, order, Controls(hardware="cpu-2core", probe=False))
        yield store


def test_votes_of_the_cheap_system_hand_on_what_they_disagree_on(store: Store) -> None:
    found = cascade_of(store, "last", "w4a16", "bf16")
    assert found.votes == 3
    cheap, dear, made = found.policies
    assert dear.pass_rate.value > cheap.pass_rate.value
    assert made.pass_rate.value >= cheap.pass_rate.value
    assert [point.handed for point in found.curve] == sorted(p.handed for p in found.curve)
    assert cheap.cost is not None
    assert made.cost is not None
    assert made.cost.value >= cheap.cost.value
    assert "hands on" in found.finding


def test_what_can_always_be_read_is_never_handed_on(store: Store) -> None:
    found = cascade_of(store, "last", "w4a16", "bf16", signal="unread")
    assert found.policies[2].handed in (0.0, 1.0, pytest.approx(0.5, abs=0.1))
    assert found.curve[0].handed == 0


def test_it_is_the_same_after_json_and_is_drawn(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = cascade_of(store, "last", "w4a16", "bf16")
    assert from_json(to_json(found), CascadeReport) == found
    drawn("cascade", found, str(tmp_path / "c.svg"))
    assert (tmp_path / "c.svg").stat().st_size > 1000
    rendered.cascade(found)
    assert "held out" in capsys.readouterr().out


def test_what_makes_no_cascade_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="itself"):
        cascade_of(store, "last", "bf16", "bf16")
    with pytest.raises(NotFound):
        cascade_of(store, "last", "w4a16", "bf16", signal="luck")
