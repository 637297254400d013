"""Laws of comparisons: what must hold for any two systems."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qbench.benchmarks.analysis import design
from qbench.benchmarks.analysis.clusters import Mean, standard_error
from qbench.benchmarks.analysis.comparison import paired
from qbench.benchmarks.analysis.comparison.cells import cells, effective, newcombe, posterior
from qbench.benchmarks.analysis.comparison.multiplicity import adjusted
from qbench.benchmarks.analysis.sums import Floats

Ints = NDArray[np.int32]

samples = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 6)), min_size=2, max_size=60
)
margins = st.floats(0.01, 0.4)


def arrays(drawn: list[tuple[bool, bool, int]]) -> tuple[Floats, Floats, Ints]:
    one, two, family = zip(*drawn, strict=True)
    return (
        np.array(one, dtype=np.float64),
        np.array(two, dtype=np.float64),
        np.array(family, dtype=np.int32),
    )


def compared(one: Floats, two: Floats, family: Ints) -> paired.Difference:
    found = paired.difference(one, two, family, epochs=1)
    assert found is not None
    return found


TURNED = {"worse": "better", "better": "worse"}


@given(samples, margins)
def test_turning_the_systems_around_turns_the_answer_around(
    drawn: list[tuple[bool, bool, int]], margin: float
) -> None:
    one, two, family = arrays(drawn)
    here, there = compared(one, two, family), compared(two, one, family)
    assert here.mean.value == pytest.approx(-there.mean.value)
    low, high = there.interval
    assert here.interval == pytest.approx((-high, -low))
    assert here.p == there.p
    kind = paired.verdict(here, here.p, margin)
    assert paired.verdict(there, there.p, margin) == TURNED.get(kind, kind)
    assert paired.equivalence_p(here, margin) == pytest.approx(paired.equivalence_p(there, margin))


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(
    drawn: list[tuple[bool, bool, int]],
    random: st.random.Random,  # type: ignore[name-defined]
) -> None:
    mixed = list(drawn)
    random.shuffle(mixed)
    here, there = compared(*arrays(drawn)), compared(*arrays(mixed))
    assert here.interval == pytest.approx(there.interval)
    assert here.p == there.p


@given(samples, margins)
def test_a_system_never_differs_from_itself(
    drawn: list[tuple[bool, bool, int]], margin: float
) -> None:
    one, _, family = arrays(drawn)
    found = compared(one, one, family)
    assert found.mean.value == 0
    assert found.p == 1
    assert paired.verdict(found, found.p, margin) in ("equivalent", "inconclusive")


@given(samples)
def test_samples_repeated_within_their_family_tell_nothing_new(
    drawn: list[tuple[bool, bool, int]],
) -> None:
    one, two, family = arrays(drawn)
    once = compared(one, two, family)
    assume(once.mean.clusters > 1)
    again = compared(np.tile(one, 3), np.tile(two, 3), np.tile(family, 3))
    assert again.mean.error == pytest.approx(once.mean.error, abs=1e-12)
    tripled = standard_error(np.tile(one - two, 3), np.tile(family, 3))
    assert tripled == pytest.approx(standard_error(one - two, family), abs=1e-12)


@given(samples, margins)
def test_p_of_equivalence_agrees_with_the_interval(
    drawn: list[tuple[bool, bool, int]], margin: float
) -> None:
    found = compared(*arrays(drawn))
    low, high = found.narrow
    assume(found.mean.clusters > 1)
    assume(min(abs(low + margin), abs(high - margin)) > 1e-9)
    assume(-1 < low < high < 1)
    assert (paired.equivalence_p(found, margin) < 0.05) == (-margin < low and high < margin)
    assert (paired.non_inferiority_p(found, margin) < 0.05) == (low > -margin)


@given(samples, margins)
def test_equivalent_is_non_inferior_and_asking_for_less_takes_nothing_away(
    drawn: list[tuple[bool, bool, int]], margin: float
) -> None:
    found = compared(*arrays(drawn))
    two_sided = paired.verdict(found, found.p, margin)
    one_sided = paired.verdict(found, found.p, margin, one_sided=True)
    assert one_sided == two_sided or (two_sided, one_sided) == ("inconclusive", "non-inferior")
    assert paired.non_inferiority_p(found, margin) <= paired.equivalence_p(found, margin)


@given(samples, margins)
def test_the_posterior_is_a_distribution_around_the_difference(
    drawn: list[tuple[bool, bool, int]], margin: float
) -> None:
    one, two, family = arrays(drawn)
    found, mean = cells(one, two), compared(one, two, family).mean
    believed = posterior(effective(found, mean), margin)
    assert believed.worse + believed.equivalent + believed.better == pytest.approx(1)
    low, high = newcombe(found)
    assert -1 <= low <= found.difference + 1e-12
    assert found.difference - 1e-12 <= high <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.sampled_from(["holm", "bh"]))
def test_corrected_p_values_are_no_smaller_and_in_the_same_order(
    ps: list[float],
    way: str,
) -> None:
    made = adjusted(ps, "bh" if way == "bh" else "holm")
    assert all(0 <= p <= q + 1e-15 <= 1 + 1e-15 for p, q in zip(ps, made, strict=True))
    by_p = [q for _, q in sorted(zip(ps, made, strict=True))]
    assert by_p == sorted(by_p)


@given(st.floats(0.005, 0.3), st.floats(0.01, 1), st.floats(0.01, 0.99), st.floats(0.5, 0.99))
def test_more_power_smaller_gaps_and_more_spread_need_more(
    gap: float, variance: float, alpha: float, power: float
) -> None:
    wanted = design.for_difference(gap, variance, alpha=alpha, power=power)
    assert design.for_difference(gap / 2, variance, alpha=alpha, power=power) == pytest.approx(
        4 * wanted
    )
    assert design.for_difference(gap, 2 * variance, alpha=alpha, power=power) >= wanted
    assert design.detectable(wanted, variance, alpha=alpha, power=power) == pytest.approx(gap)


@given(st.floats(-0.3, 0.3), st.floats(0.001, 0.2), st.integers(2, 500))
def test_what_settles_a_verdict_is_known_or_unbounded(gap: float, error: float, n: int) -> None:
    mean = Mean(value=gap, error=error, n=n, clusters=n)
    wanted = design.to_settle(mean, 0.05)
    assert wanted is not None
    assert wanted > 0
    interval = design.settling_interval(mean, 0.05)
    assert interval is not None
    assert 0 < interval[0] <= interval[1]
