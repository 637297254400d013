from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.errors import EngineError, Unsupported
from qbench.kernels.floats import E2M1, E4M3, round_to
from qbench.kernels.formats import FORMATS, INT8_CHANNEL
from qbench.kernels.reference import FLOATS, Quantized, dequantize, fake_quantize, quantize
from qbench.kernels.schemes import Element, Granularity, Scheme

INTEGERS = {"int8": 8, "int4": 4}
FLOORS = {torch.bfloat16: 2**-126, torch.float16: 2**-24, torch.float32: 2**-126}


def scheme_of(element: Element, strategy: Granularity, scale: str) -> Scheme:
    group = 16 if strategy == "group" else None
    return Scheme(element=element, strategy=strategy, group=group, scale_dtype=scale)  # type: ignore[arg-type]


SCHEMES = st.builds(
    scheme_of,
    st.sampled_from(["int8", "int4", "e4m3", "e2m1"]),
    st.sampled_from(["tensor", "channel", "token", "group"]),
    st.sampled_from(["bfloat16", "float16", "float32"]),
)


@st.composite
def matrices(draw: st.DrawFn, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """Rows of different sizes, some of zeros, some with an outlier, (1..6, 16 n)."""
    rows, columns = draw(st.integers(1, 6)), 16 * draw(st.integers(1, 5))
    seed = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    sizes = [draw(st.sampled_from([0.0, 1e-30, 1e-3, 0.02, 1.0, 300.0, 4e4])) for _ in range(rows)]
    values = torch.randn(rows, columns, generator=seed).clamp_(-1.5, 1.5)
    values *= torch.tensor(sizes)[:, None]
    values[draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))] *= -9 / 9.5
    return values.clamp_(-5e4, 5e4).to(dtype)


def full_scale(quantized: Quantized, shape: torch.Size) -> torch.Tensor:
    scale = quantized.scale.float()
    group = quantized.scheme.group
    return (scale.repeat_interleave(group, dim=-1) if group else scale).expand(shape)


@given(values=matrices(), scheme=SCHEMES)
def test_integers_are_off_by_half_a_scale_at_most_unless_clipped(
    values: torch.Tensor, scheme: Scheme
) -> None:
    if scheme.element not in INTEGERS:
        return
    quantized = quantize(values, scheme)
    scale = full_scale(quantized, values.shape)
    error = (values.float() - dequantize(quantized, torch.float32)).abs()
    top = (1 << (INTEGERS[scheme.element] - 1)) - 1
    clipped = values.float() - top * scale
    bound = torch.maximum(scale / 2, clipped) + scale * 1e-4
    assert bool((error <= bound).all())


@given(values=matrices(torch.float32), element=st.sampled_from(["int8", "int4"]))
def test_with_exact_scales_nothing_is_off_by_more_than_half(
    values: torch.Tensor, element: Element
) -> None:
    quantized = quantize(values, scheme_of(element, "channel", "float32"))
    error = (values - dequantize(quantized, torch.float32)).abs()
    assert bool((error <= quantized.scale / 2 * (1 + 1e-4)).all())


@given(values=matrices(), element=st.sampled_from(["int8", "int4"]))
def test_a_bfloat16_scale_clips_by_less_than_its_own_rounding(
    values: torch.Tensor, element: Element
) -> None:
    quantized = quantize(values, scheme_of(element, "channel", "bfloat16"))
    steps = (values.float() - dequantize(quantized, torch.float32)).abs() / quantized.scale.float()
    reach = 2.0 ** (INTEGERS[element] - 1)
    assert float(steps.max()) <= 0.5 + reach * 2**-8


@given(values=matrices(), strategy=st.sampled_from(["tensor", "channel", "token", "group"]))
def test_e4m3_is_off_by_a_sixteenth_at_most(values: torch.Tensor, strategy: Granularity) -> None:
    quantized = quantize(values, scheme_of("e4m3", strategy, "float32"))
    scale = full_scale(quantized, values.shape)
    error = (values.float() - dequantize(quantized, torch.float32)).abs()
    subnormal_step = scale * 2.0**-9
    bound = torch.maximum(values.float().abs() / 16, subnormal_step / 2) * (1 + 1e-5)
    assert bool((error <= bound).all())


@given(values=matrices(), scheme=SCHEMES)
def test_quantizing_again_with_the_same_scale_changes_no_code(
    values: torch.Tensor, scheme: Scheme
) -> None:
    once = quantize(values, scheme)
    again = quantize(dequantize(once, torch.float32), scheme, scale=once.scale)
    assert torch.equal(once.codes.float(), again.codes.float())
    assert torch.equal(once.scale, again.scale)


@given(values=matrices(), element=st.sampled_from(["int8", "int4", "e4m3"]))
def test_rounding_dequantized_weights_to_bfloat16_keeps_their_codes(
    values: torch.Tensor, element: Element
) -> None:
    once = quantize(values, scheme_of(element, "channel", "bfloat16"))
    normal = once.scale.float().squeeze(-1) > 1e-30
    again = quantize(
        dequantize(once, torch.bfloat16),
        scheme_of(element, "channel", "bfloat16"),
        scale=once.scale,
    )
    assert torch.equal(once.codes.float()[normal], again.codes.float()[normal])


@given(values=matrices(), scheme=SCHEMES)
def test_signs_mirror_but_for_the_one_code_without_a_mirror(
    values: torch.Tensor, scheme: Scheme
) -> None:
    there, back = quantize(values, scheme), quantize(-values, scheme)
    assert torch.equal(there.scale, back.scale)
    ups = dequantize(there, torch.float32)
    downs = dequantize(back, torch.float32)
    lowest = -(1 << (INTEGERS.get(scheme.element, 31) - 1))
    mirrored = (there.codes.float() != lowest) & (back.codes.float() != lowest)
    assert torch.equal(ups[mirrored], -downs[mirrored])


@given(values=matrices(), scheme=SCHEMES)
def test_faking_is_quantizing_and_dequantizing(values: torch.Tensor, scheme: Scheme) -> None:
    before = values.clone()
    faked = fake_quantize(values, scheme)
    both_ways = dequantize(quantize(values, scheme), values.dtype)
    assert faked.dtype == values.dtype
    assert torch.equal(faked, both_ways)
    assert torch.equal(values, before)


@given(values=matrices(), scheme=SCHEMES)
def test_zero_rows_stay_zero_and_everything_stays_finite(
    values: torch.Tensor, scheme: Scheme
) -> None:
    back = dequantize(quantize(values, scheme), values.dtype)
    assert bool(back.isfinite().all())
    assert bool((back[(values == 0).all(dim=1)] == 0).all())


@given(values=matrices())
def test_a_token_does_not_see_its_neighbours(values: torch.Tensor) -> None:
    for name in ("fp8", "w8a8"):
        scheme = FORMATS[name].activations
        assert scheme is not None
        alone = torch.stack([fake_quantize(row, scheme) for row in values])
        assert torch.equal(fake_quantize(values, scheme), alone)
        assert torch.equal(fake_quantize(values[None], scheme)[0], alone)


@given(values=matrices(), power=st.integers(-8, 8))
def test_powers_of_two_move_through(values: torch.Tensor, power: int) -> None:
    sized = values.where(values.abs() > 1e-20, torch.zeros(()).bfloat16())
    for scheme in (INT8_CHANNEL, scheme_of("e4m3", "group", "bfloat16")):
        plain, moved = quantize(sized, scheme), quantize(sized * 2.0**power, scheme)
        assert torch.equal(plain.codes.float(), moved.codes.float())


@given(values=matrices(), grid=st.sampled_from([E4M3, E2M1]))
def test_small_floats_are_the_grid_times_the_scale(values: torch.Tensor, grid: object) -> None:
    found = E4M3 if grid is E4M3 else E2M1
    quantized = quantize(values, scheme_of(found.name, "channel", "bfloat16"))  # type: ignore[arg-type]
    scale = quantized.scale.float()
    expected = round_to(values.float() / scale, found) * scale
    assert torch.equal(dequantize(quantized, torch.float32), expected)


def test_int8_by_hand() -> None:
    quantized = quantize(torch.tensor([[127.5, -127.5, 1.0, -0.5, 1.5, 2.5]]), INT8_CHANNEL)
    assert quantized.scale.tolist() == [[1.0]]
    assert quantized.codes.tolist() == [[127, -128, 1, 0, 2, 2]]
    assert quantized.codes.dtype is torch.int8


def test_int4_groups_by_hand() -> None:
    row = torch.zeros(1, 32)
    row[0, :3] = torch.tensor([7.5, -7.5, 2.0])
    row[0, 16:18] = torch.tensor([15.0, 4.0])
    quantized = quantize(row, scheme_of("int4", "group", "bfloat16"))
    assert quantized.scale.tolist() == [[1.0, 2.0]]
    assert quantized.codes[0, [0, 1, 2, 16, 17]].tolist() == [7, -8, 2, 7, 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("element", ["int8", "int4", "e4m3", "e2m1"])
def test_huge_and_tiny_values_stay_finite(dtype: torch.dtype, element: Element) -> None:
    info = torch.finfo(dtype)
    tiny = info.smallest_normal
    values = torch.tensor([[info.max * 0.89, -info.max * 0.89] * 8, [tiny, -tiny] * 8]).to(dtype)
    back = fake_quantize(values, scheme_of(element, "token", "float32"))
    assert bool(back.isfinite().all())
    assert float(back[0, 0]) > 0.8 * info.max
    assert float(back[1].float().abs().max()) <= 2 * tiny


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3.38e38])
@pytest.mark.parametrize("name", ["fp8", "w8a8"])
def test_what_cannot_be_scaled_is_refused(bad: float, name: str) -> None:
    fmt = FORMATS[name]
    assert fmt.weights is not None
    assert fmt.activations is not None
    values = torch.ones(3, 16).bfloat16()
    values[1, 5] = bad
    with pytest.raises(EngineError, match=r"peak at (nan|inf|3\.3\d*e\+38).*fp32"):
        quantize(values, fmt.weights)
    with pytest.raises(EngineError, match="peak at"):
        fake_quantize(values, fmt.activations)


def test_groups_that_do_not_divide_are_refused() -> None:
    with pytest.raises(Unsupported, match=r"Groups of 16 do not divide 24.*fitted"):
        quantize(torch.ones(2, 24), scheme_of("int4", "group", "bfloat16"))


def test_no_tokens_are_no_trouble() -> None:
    scheme = FORMATS["w8a8"].activations
    assert scheme is not None
    assert fake_quantize(torch.empty(2, 0, 16), scheme).shape == (2, 0, 16)


@given(values=matrices())
@settings(max_examples=20)
def test_layout_does_not_matter(values: torch.Tensor) -> None:
    transposed = values.t().contiguous().t()
    for scheme in (INT8_CHANNEL, scheme_of("int4", "group", "bfloat16")):
        plain, other = quantize(values, scheme), quantize(transposed, scheme)
        assert torch.equal(plain.codes, other.codes)
        assert torch.equal(dequantize(plain, torch.bfloat16), dequantize(other, torch.bfloat16))


@given(values=matrices(), scheme=SCHEMES)
def test_scales_have_their_type_and_its_floor(values: torch.Tensor, scheme: Scheme) -> None:
    scale = quantize(values, scheme).scale
    assert scale.dtype is FLOATS[scheme.scale_dtype]  # type: ignore[index] # SCHEMES has no other
    assert float(scale.float().min()) >= FLOORS[scale.dtype]


@given(values=matrices(torch.float32))
def test_power_of_two_scales_never_saturate_e4m3_and_waste_no_factor_of_two(
    values: torch.Tensor,
) -> None:
    scheme = FORMATS["mxfp8"].weights
    assert scheme is not None
    values = values.repeat(1, 2)
    scale = quantize(values, scheme).scale
    peaks = values.abs().reshape(*scale.shape, 32).amax(dim=-1)
    known = peaks > 448 * 2.0**-126
    assert bool((peaks[known] <= 448 * scale[known]).all())
    assert bool((peaks[known] > 224 * scale[known]).all())
    assert bool((torch.frexp(scale).mantissa == 0.5).all())


@pytest.mark.parametrize(
    ("peak", "scale"), [(448.0, 1.0), (449.0, 2.0), (256.0, 1.0), (224.0, 0.5), (225.0, 1.0)]
)
def test_worked_scales_of_mxfp8(peak: float, scale: float) -> None:
    scheme = FORMATS["mxfp8"].weights
    assert scheme is not None
    assert float(quantize(torch.full((1, 32), peak), scheme).scale) == scale


@pytest.mark.parametrize(("peak", "scale"), [(6.0, 1.0), (7.9, 1.0), (8.0, 2.0), (3.9, 0.5)])
def test_worked_scales_of_mxfp4(peak: float, scale: float) -> None:
    scheme = FORMATS["mxfp4"].weights
    assert scheme is not None
    assert float(quantize(torch.full((1, 32), peak), scheme).scale) == scale
