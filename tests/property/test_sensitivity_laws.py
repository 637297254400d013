"""The choice of formats: the best there is, by trying all of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.errors import ConfigError
from qbench.workers.sensitivity import (
    Budget,
    Choice,
    Unit,
    described,
    read_budget,
    rivals,
    suggest,
)

FORMATS = (("w4a16", 4), ("w8a16", 8), ("bf16", 16))


@st.composite
def some_units(draw: st.DrawFn) -> list[Unit]:
    found = []
    for at in range(draw(st.integers(1, 5))):
        weights = draw(st.sampled_from([100, 300, 1000]))
        error = draw(st.floats(1e-6, 1))
        shares = (1.0, draw(st.floats(0, 1)), 0.0)
        choices = [
            Choice(
                format=name,
                bits=bits * weights,
                error=error * share,
                output_error=0,
                weight_error=0,
            )
            for (name, bits), share in zip(FORMATS, shares, strict=True)
        ]
        found.append(Unit(names=[f"layers.{at}.down_proj"], weights=weights, choices=choices))
    return found


def every(units: list[Unit]) -> list[tuple[str, ...]]:
    return list(itertools.product(*([choice.format for choice in unit.choices] for unit in units)))


@given(units=some_units(), bits=st.floats(4, 16))
@settings(max_examples=60, deadline=None)
def test_nothing_of_its_size_has_less_error(units: list[Unit], bits: float) -> None:
    found = suggest(units, Budget(bits=bits))
    assert found.bits_per_weight <= bits * (1 + 1e-9)
    costs = [described(units, formats) for formats in every(units)]
    best = min(cost.error for cost in costs if cost.bits_per_weight <= bits)
    assert found.error <= best + 1e-5 * max(cost.error for cost in costs)


@given(units=some_units(), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_nothing_with_its_error_is_smaller(units: list[Unit], share: float) -> None:
    costs = [described(units, formats) for formats in every(units)]
    limit = share * max(cost.error for cost in costs)
    found = suggest(units, Budget(error=limit))
    assert found.error <= limit * (1 + 1e-5) + 1e-12
    best = min(cost.bits_per_weight for cost in costs if cost.error <= limit)
    assert found.bits_per_weight <= best * (1 + 1e-5)


@given(units=some_units(), bits=st.floats(4, 16), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_rivals_are_no_larger(units: list[Unit], bits: float, seed: int) -> None:
    mine = suggest(units, Budget(bits=bits))
    found = rivals(units, mine, 3, seed)
    assert list(found) == ["evenly spread", "first layers", "random 1", "random 2", "random 3"]
    for formats in found.values():
        cost = described(units, formats)
        assert cost.bits_per_weight <= mine.bits_per_weight * (1 + 1e-9)


def test_budgets_are_read_and_refused() -> None:
    assert read_budget("4.8bits", None) == Budget(bits=4.8)
    assert read_budget(" 5 ", None) == Budget(bits=5.0)
    assert read_budget("", 0.1) == Budget(error=0.1)
    for size, error in (("", None), ("5bits", 0.1)):
        with pytest.raises(ConfigError, match=r"needs a budget.*--max-error"):
            read_budget(size, error)
    with pytest.raises(ConfigError, match=r"'five' is no size.*4\.8bits"):
        read_budget("five", None)


def test_what_no_choice_can_keep_is_refused() -> None:
    choices = [
        Choice(format="w4a16", bits=425, error=0.2, output_error=0, weight_error=0),
        Choice(format="w8a16", bits=810, error=0.1, output_error=0, weight_error=0),
    ]
    units = [Unit(names=["a.up_proj"], weights=100, choices=choices)]
    with pytest.raises(ConfigError, match=r"4 bits per weight are less.*4\.250 at least"):
        suggest(units, Budget(bits=4))
    with pytest.raises(ConfigError, match=r"error of 0.05 cannot be kept: 0.1 is the least"):
        suggest(units, Budget(error=0.05))
