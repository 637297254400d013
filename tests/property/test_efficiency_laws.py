"""Laws of idealized runtime, queries per dollar and the score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.benchmarks.analysis.efficiency import queries, score
from qbench.benchmarks.analysis.efficiency.intervals import ratio_of_sums
from qbench.benchmarks.analysis.efficiency.runtime import Grid, fit

positive = st.floats(0.001, 1000)
tokens = st.integers(1, 20_000)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Draw grids with a rising F, without noise."""
    prompts = sorted(draw(st.sets(st.integers(1, 4096), min_size=2, max_size=5)))
    steps = draw(st.lists(positive, min_size=len(prompts), max_size=len(prompts)))
    slope = draw(st.floats(0.001, 10))
    points = [
        (p, o, f + (o - 1) * slope)
        for p, f in zip(prompts, np.cumsum(steps), strict=True)
        for o in (1, 4, 16)
    ]
    prompt, output, seconds = np.array(points, dtype=np.float64).T
    return Grid(prompt=prompt, output=output, seconds=seconds)


@given(grids(), tokens, tokens, st.integers(0, 500), st.integers(0, 500))
def test_more_tokens_never_take_less_time(
    grid: Grid, prompt: int, output: int, more_in: int, more_out: int
) -> None:
    runtime = fit(grid)
    p, o = np.array([prompt, prompt + more_in]), np.array([output, output + more_out])
    one, two = runtime.seconds(p.astype(float), o.astype(float))
    assert two >= one * (1 - 1e-9)


@given(grids(), st.floats(0.01, 100))
def test_a_slower_clock_scales_everything(grid: Grid, factor: float) -> None:
    slow = fit(Grid(prompt=grid.prompt, output=grid.output, seconds=factor * grid.seconds))
    found = fit(grid)
    assert slow.coefficients == pytest.approx(factor * found.coefficients, rel=1e-6, abs=1e-9)
    assert slow.r_squared == pytest.approx(found.r_squared, abs=1e-6)


@given(grids(), st.integers(0, 2**32))
def test_the_order_of_measurements_does_not_matter(grid: Grid, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(grid.seconds))
    mixed = Grid(prompt=grid.prompt[order], output=grid.output[order], seconds=grid.seconds[order])
    assert fit(mixed).coefficients == pytest.approx(fit(grid).coefficients, rel=1e-9, abs=1e-9)


@given(grids())
def test_both_lookups_give_the_table_back(grid: Grid) -> None:
    runtime = fit(grid)
    ones = np.ones(len(runtime.prompts))
    for lookup in ("interpolated", "scaled"):
        found = runtime.seconds(runtime.prompts, ones, lookup)
        assert found == pytest.approx(runtime.table)


@given(grids(), st.lists(st.tuples(tokens, tokens), min_size=1, max_size=20))
def test_calls_add_up(grid: Grid, calls: list[tuple[int, int]]) -> None:
    runtime = fit(grid)
    prompt, output = np.array(calls, dtype=np.float64).T
    design = runtime.design(prompt, output)
    whole = float(design.sum(axis=0) @ runtime.coefficients)
    assert whole == pytest.approx(runtime.seconds(prompt, output).sum())


@given(positive, positive, st.floats(0.1, 10))
def test_queries_per_dollar_fall_with_time_and_price(
    seconds: float, price: float, factor: float
) -> None:
    found = queries.synchronous(np.array([seconds]), price)[0]
    slower = queries.synchronous(np.array([seconds * factor]), price)[0]
    dearer = queries.synchronous(np.array([seconds]), price * factor)[0]
    assert slower == pytest.approx(found / factor)
    assert dearer == pytest.approx(found / factor)
    busy = queries.asynchronous(np.array([1 / seconds]), price)[0]
    assert busy == pytest.approx(found)


@given(st.lists(positive, min_size=2, max_size=8), st.floats(0.1, 10))
def test_a_cost_reduction_knows_no_price(rates: list[float], factor: float) -> None:
    one, two = np.array(rates), np.array(rates[::-1])
    plain, dear = (
        queries.cost_reduction(one, two),
        queries.cost_reduction(one * factor, two * factor),
    )
    same = queries.cost_reduction(one, one)
    assert plain is not None
    assert dear is not None
    assert same is not None
    assert dear.value == pytest.approx(plain.value)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))


@given(
    st.lists(st.tuples(positive, positive), min_size=2, max_size=10),
    st.floats(0.1, 10),
    st.floats(0, 0.5),
)
def test_a_ratio_of_sums_scales_with_its_top(
    families: list[tuple[float, float]], factor: float, error: float
) -> None:
    top, bottom = np.array(families).T
    one = ratio_of_sums(top, bottom, relative_variance=error**2, freedom=10)
    two = ratio_of_sums(top * factor, bottom, relative_variance=error**2, freedom=10)
    assert one is not None
    assert two is not None
    assert (two.value, two.low) == pytest.approx((one.value * factor, one.low * factor))
    assert one.low <= one.value <= one.high


@given(
    st.lists(st.lists(st.floats(0.01, 100), min_size=4, max_size=4), min_size=2, max_size=6),
    st.lists(st.floats(0.1, 10), min_size=4, max_size=4),
    st.floats(0.1, 10),
)
def test_the_score_knows_no_unit_and_the_baseline_is_zero(
    systems: list[list[float]], weights: list[float], factor: float
) -> None:
    names = ("accuracy", "cost", "latency", "memory")
    values = np.array(systems).T

    def scored(columns: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[float]:
        axes = {
            name: score.axis(row, row[[0]], higher=name in score.HIGHER)
            for name, row in zip(names, columns, strict=True)
        }
        made: list[float] = score.composite(axes, dict(zip(names, weights, strict=True))).tolist()
        return made

    found = scored(values)
    assert found[0] == 0
    values[1] *= factor  # dollars in another currency
    assert scored(values) == pytest.approx(found, abs=1e-9)
