"""Laws of the layer time, whatever the model, the format and the traffic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.kernels.formats import get_format
from qbench.kernels.layertime.curve import Work
from qbench.kernels.layertime.serving import LayerTime, Overhead, Traffic
from qbench.kernels.layertime.transformer import Transformer
from qbench.kernels.sizes import LLAMA_8B
from qbench.kernels.speed.rows import Row
from qbench.kernels.speed.shapes import DECODERS, TOKENS
from tests.layer_rows import CEILINGS, made_kernels, made_rows

KERNELS = made_kernels()
MODEL = Transformer(decoder=DECODERS["llama-3.1-8b"], shape=LLAMA_8B)
TIMES = {
    name: KERNELS.layer_time(MODEL, name, "embedded") for name in ("bf16", "fp8", "w8a8", "w4a16")
}
SHAPES = {(one.rows, one.columns) for shape in DECODERS.values() for one in shape.linears}
formats = st.sampled_from(sorted(TIMES))
batches = st.integers(1, 512)
contexts = st.integers(1, 100_000)


@given(formats, batches, contexts, st.integers(1, 1000))
def test_a_longer_context_or_a_larger_batch_takes_longer(
    fmt: str, batch: int, context: int, more: int
) -> None:
    time = TIMES[fmt]
    one = time.decode(batch, context).seconds
    assert time.decode(batch, context + more).seconds > one
    assert time.decode(batch + more, context).seconds > one


@given(formats, batches, contexts)
def test_a_step_is_never_faster_than_the_bytes_it_must_read(
    fmt: str, batch: int, context: int
) -> None:
    bits = sum(
        get_format(fmt).packed_bits(one.rows, one.columns) * one.count for one in MODEL.products
    )
    head = 2 * MODEL.head.rows * MODEL.head.columns
    cache = batch * context * MODEL.cache_bytes
    floor = (bits / 8 + head + cache) / (1e12 * CEILINGS.bandwidth)
    assert TIMES[fmt].decode(batch, context).seconds >= floor


@given(formats, st.integers(1, 4000), st.integers(2, 500), batches)
def test_tokens_per_second_stay_below_what_bandwidth_and_rate_allow(
    fmt: str, prompt: int, output: int, batch: int
) -> None:
    traffic = Traffic(prompt=prompt, output=output, batch=batch)
    rate = TIMES[fmt].tokens_per_second(traffic)
    cache = (prompt + output / 2) * MODEL.cache_bytes * (output - 1) / output
    assert rate <= 1e12 * CEILINGS.bandwidth / cache
    work = 2 * sum(one.rows * one.columns * one.count for one in MODEL.products)
    assert rate <= 1e12 * CEILINGS.fp8 / (work * (prompt + output - 1) / output)


@settings(max_examples=30)
@given(st.sampled_from(made_rows(tokens=TOKENS[::3])))
def test_interpolation_passes_through_every_row(row: Row) -> None:
    taken = KERNELS.taken(row.format, row.contestant)
    found = taken.curve.seconds(row.n, row.k, row.m)
    assert found.value == pytest.approx(1e-6 * row.median_us)
    assert not found.extrapolated


@given(st.floats(1, 8192), st.floats(1, 8192))
def test_between_rows_more_tokens_never_take_less(one: float, other: float) -> None:
    curve = TIMES["w4a16"].curve
    low, high = (curve.seconds(4096, 4096, m).value for m in sorted((one, other)))
    assert low <= high * (1 + 1e-12)


@given(st.floats(8193, 1e6))
def test_beyond_the_rows_seconds_grow_with_the_tokens(tokens: float) -> None:
    curve = TIMES["bf16"].curve
    last = curve.seconds(4096, 4096, 8192).value
    assert curve.seconds(4096, 4096, tokens).value == pytest.approx(last * tokens / 8192)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(256, 9000).map(lambda n: 128 * (n // 128)),
    st.integers(256, 9000).map(lambda k: 128 * (k // 128)),
    st.sampled_from(TOKENS),
)
def test_a_shape_that_was_not_measured_is_what_the_roofline_said(n: int, k: int, m: int) -> None:
    """The made-up kernels follow the fitted curve, so that it must find them."""
    found = TIMES["bf16"].curve.seconds(n, k, m)
    moved = 2 * (n * k + m * (n + k)) / 2.4e12
    truth = 2e-6 + max(moved, 2 * n * k * m / 640e12)
    assert found.extrapolated == ((n, k) not in SHAPES)
    assert found.value == pytest.approx(truth, rel=1e-6)


@given(formats, batches, st.floats(0, 1e-4), st.floats(0, 1e-12))
def test_an_overhead_is_added_for_every_layer_and_cached_byte(
    fmt: str, batch: int, layer: float, byte: float
) -> None:
    bare = TIMES[fmt]
    laden: LayerTime = replace(bare, overhead=Overhead(per_layer=layer, per_cached_byte=byte))
    more = laden.decode(batch, 100).seconds - bare.decode(batch, 100).seconds
    assert more == pytest.approx(32 * layer + batch * 100 * 131072 * byte, abs=1e-12)


@given(formats, st.integers(1, 64), st.integers(1, 4096))
def test_parts_add_up_and_scale(fmt: str, batch: int, prompt: int) -> None:
    one = TIMES[fmt].prefill(prompt, batch)
    two = one + one.times(2)
    assert two.seconds == pytest.approx(3 * one.seconds)
    assert two.doubt == pytest.approx(3 * one.doubt)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 4096))
def test_a_floor_grows_with_every_side(n: int, k: int, m: int) -> None:
    work: Work = TIMES["w4a16"].curve.work
    sides = [np.array([float(one)]) for one in (128 * n, 128 * k, m)]
    floor = work.floor(*sides)[0]
    for place in range(3):
        wider = [side * (1 + (at == place)) for at, side in enumerate(sides)]
        assert work.floor(*wider)[0] >= floor
