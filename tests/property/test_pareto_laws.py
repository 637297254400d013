"""What every frontier obeys, whatever the systems."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qbench.benchmarks.analysis.frontier.choosing import (
    best_within,
    cheapest_reaching,
    mixture,
    reached,
)
from qbench.benchmarks.analysis.frontier.hypervolume import contributions, in_box, volumes
from qbench.benchmarks.analysis.frontier.pareto import dominance, knees, members
from qbench.benchmarks.analysis.sums import Floats

LEVELS = [0.0, 0.125, 0.25, 0.5, 0.625, 0.75, 1.0, np.nan]
"""Few values, so that ties are common; exact in binary."""


def clouds(objectives: tuple[int, ...] = (2, 3), least: int = 1) -> Any:
    shapes = st.tuples(st.integers(1, 4), st.integers(least, 6), st.sampled_from(objectives))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.sampled_from(LEVELS)))


def beats(one: Floats, two: Floats) -> bool:
    return bool((one <= two).all() and (one < two).any())


@given(clouds())
def test_membership_is_that_of_the_definition(losses: Floats) -> None:
    found = members(losses)
    for draw, points in enumerate(losses):
        for place, point in enumerate(points):
            free = not any(beats(other, point) for other in points)
            assert found[draw, place] == (free and not np.isnan(point).any())


@given(clouds())
def test_dominance_is_that_of_the_definition(losses: Floats) -> None:
    found = dominance(losses)
    for one, two in itertools.product(range(losses.shape[1]), repeat=2):
        share = np.mean([beats(points[one], points[two]) for points in losses])
        assert found[one, two] == share


@given(clouds())
def test_nobody_is_a_member_more_often_than_the_strongest_rival_allows(losses: Floats) -> None:
    shares, beaten = members(losses).mean(axis=0), dominance(losses).max(axis=0)
    assert (shares <= 1 - beaten + 1e-12).all()


@given(clouds(least=2), st.randoms(use_true_random=False))
def test_order_changes_nothing(losses: Floats, chance: Any) -> None:
    systems, axes = list(range(losses.shape[1])), list(range(losses.shape[2]))
    chance.shuffle(systems)
    chance.shuffle(axes)
    mixed = losses[:, systems][:, :, axes]
    found = members(losses)
    assert (members(mixed) == found[:, systems]).all()
    assert (knees(mixed, members(mixed)) == knees(losses, found)[:, systems]).all()
    ideal, reference = np.zeros(len(axes)), np.ones(len(axes))
    one = volumes(in_box(losses, ideal, reference))
    assert np.allclose(volumes(in_box(mixed, ideal, reference)), one)


@given(clouds(), st.lists(st.sampled_from([0.001, 0.5, 3.0, 1e6]), min_size=3, max_size=3))
def test_units_change_nothing(losses: Floats, units: list[float]) -> None:
    unit = np.array(units[: losses.shape[2]])
    found = members(losses)
    assert (members(losses * unit) == found).all()
    assert (knees(losses * unit, found) == knees(losses, found)).all()
    ends = np.zeros(len(unit)), np.full(len(unit), 1.5)
    one = volumes(in_box(losses, *ends))
    assert np.allclose(volumes(in_box(losses * unit, ends[0], ends[1] * unit)), one)


@given(clouds())
def test_a_duplicate_changes_nobody_else(losses: Floats) -> None:
    twice = np.concatenate([losses, losses[:, :1]], axis=1)
    found = members(twice)
    assert (found[:, :-1] == members(losses)).all()
    assert (found[:, -1] == found[:, 0]).all()
    made = in_box(twice, np.zeros(losses.shape[2]), np.full(losses.shape[2], 1.5))
    assert np.allclose(volumes(made), volumes(made[:, :-1]))
    lost = contributions(made, np.ones(made.shape[1], dtype=np.bool_))
    assert np.allclose(lost[:, [0, -1]], 0.0)


@given(clouds(least=2))
def test_hypervolume_grows_with_systems_and_only_members_count(losses: Floats) -> None:
    ends = np.zeros(losses.shape[2]), np.full(losses.shape[2], 1.5)
    made = in_box(losses, *ends)
    whole, fewer = volumes(made), volumes(made[:, 1:])
    assert (whole >= fewer - 1e-12).all()
    assert ((whole >= 0) & (whole <= 1)).all()
    alone = np.where(members(losses)[:, :, None], losses, np.nan)
    assert np.allclose(volumes(in_box(alone, *ends)), whole)
    lost = contributions(made, np.ones(made.shape[1], dtype=np.bool_))
    assert np.allclose(lost[:, 0], whole - fewer)
    assert (lost[~members(losses)] < 1e-12).all()


@settings(max_examples=25)
@given(clouds())
def test_hypervolume_is_what_darts_hit(losses: Floats) -> None:
    ends = losses.shape[2]
    made = in_box(losses, np.zeros(ends), np.ones(ends))
    darts = np.random.default_rng(0).random((20_000, ends))
    for points, found in zip(made, volumes(made), strict=True):
        inside = (points < 1).all(axis=1)
        hit = (darts[:, None, :] >= points[inside][None]).all(axis=2).any(axis=1).mean()
        assert abs(hit - found) < 5 * np.sqrt(0.25 / len(darts))


@given(clouds((3,)))
def test_a_third_objective_that_all_share_is_none(losses: Floats) -> None:
    same = np.full(losses.shape[:2], 0.5)
    flat = np.stack([losses[:, :, 0], losses[:, :, 1], same], axis=2)
    assert (members(flat) == members(losses[:, :, :2])).all()
    two = volumes(in_box(losses[:, :, :2], np.zeros(2), np.ones(2)))
    assert np.allclose(volumes(in_box(flat, np.zeros(3), np.ones(3))), two / 2)


@given(clouds((2,)), st.sampled_from(LEVELS[:-1]))
def test_whoever_is_chosen_qualifies_and_nobody_is_better(losses: Floats, bound: float) -> None:
    quality, spend = 1 - losses[:, :, 0], losses[:, :, 1]
    chosen = best_within(quality, spend, bound)
    allowed = (spend <= bound) & ~np.isnan(quality)
    assert (chosen <= allowed).all()
    assert (chosen.any(axis=1) == allowed.any(axis=1)).all()
    got = reached(quality, chosen)
    assert (np.where(allowed, quality, 0) <= got[:, None]).all()
    frugal = cheapest_reaching(quality, spend, bound)
    able = (quality >= bound) & ~np.isnan(spend)
    assert (frugal <= able).all()
    paid = np.where(frugal, spend, np.inf).min(axis=1)
    assert (np.where(able, spend, np.inf) >= paid[:, None]).all()


@given(clouds((2,)), st.sampled_from(LEVELS[:-1]))
def test_a_mixture_beats_every_single_one_within_the_budget(losses: Floats, bound: float) -> None:
    quality, spend = 1 - losses[0, :, 0], losses[0, :, 1]
    found = mixture(quality, spend, bound)
    if found is not None:
        assert 0 <= found.share < 1
        single = reached(quality[None], best_within(quality[None], spend[None], bound))
        assert found.quality > single[0]
        average = (1 - found.share) * spend[found.cheaper] + found.share * spend[found.dearer]
        assert np.isclose(average, bound)
