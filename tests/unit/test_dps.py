"""Differential performance evaluation on worked numbers."""

from __future__ import annotations

import pytest

from qbench.benchmarks.scoring.dps import Ladder, ladder, mean_over_tasks, pairwise, standing
from tests.worked import WORKED


def test_the_worked_example_is_matched_from_the_fastest() -> None:
    told = WORKED["dps"]
    rungs = Ladder(costs=(1.0, 0.5, 0.2, 0.1), scores=tuple(told["cluster_scores"]))
    found = [standing(cost, rungs) for cost in told["sample_costs"]]
    assert [one.index for one in found] == told["matched_index"]
    assert [one.dps for one in found] == told["dps"]
    assert [one.dps_norm for one in found] == told["dps_norm"]


def test_scores_are_shares_of_references_that_are_not_faster() -> None:
    rungs = ladder([8.0, 1.0, 4.0, 2.0])
    assert rungs == Ladder(costs=(8.0, 4.0, 2.0, 1.0), scores=(25.0, 50.0, 75.0, 100.0))


def test_costs_that_noise_could_swap_are_one_cluster() -> None:
    rungs = ladder([10.0, 9.0, 8.5, 2.0, 1.9], gap=1.25)
    assert rungs == Ladder(costs=(10.0, 2.0), scores=(60.0, 100.0))


def test_clusters_do_not_grow_from_neighbour_to_neighbour() -> None:
    assert ladder([4.0, 3.0, 2.2, 1.7], gap=1.5).costs == (4.0, 2.2)


def test_an_equal_cost_matches_and_a_little_more_does_so_within_the_tolerance() -> None:
    rungs = ladder([4.0, 1.0])
    assert standing(1.0, rungs).dps == 100.0
    assert standing(1.04, rungs).dps == 50.0
    assert standing(1.04, rungs, tolerance=0.05).dps == 100.0
    assert standing(4.3, rungs, tolerance=0.05).dps == 0.0


@pytest.mark.parametrize("costs", [[], [1.0, 0.0]])
def test_a_ladder_without_costs_is_refused(costs: list[float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ladder(costs)


def test_means_are_over_samples_first_and_then_over_tasks() -> None:
    assert mean_over_tasks({"a": [100.0, 0.0], "b": [25.0], "c": []}) == 37.5
    assert mean_over_tasks({"a": []}) is None


def test_systems_are_compared_on_tasks_that_both_pass() -> None:
    one = {"a": [100.0], "b": [50.0, 0.0], "c": [75.0], "d": []}
    other = {"a": [75.0], "b": [25.0], "c": [100.0], "d": [100.0], "e": [1.0]}
    found = pairwise(one, other)
    assert (found.wins, found.losses, found.ties) == (1, 1, 1)
    assert found.win_rate == pytest.approx(1 / 3)
    assert pairwise({}, other).win_rate is None
