from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qbench.errors import ConfigError
from qbench.kernels.floats import E2M1, E4M3, Grid, decode, encode, round_to

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
GRIDS = st.sampled_from([E4M3, E2M1])

# Thresholds of FP-Quant (arXiv 2509.23202), ties included.
E2M1_ROUNDED = {
    0: 0, 0.2: 0, 0.25: 0, 0.26: 0.5, 0.5: 0.5, 0.74: 0.5, 0.75: 1, 0.76: 1, 1.25: 1, 1.26: 1.5,
    1.74: 1.5, 1.75: 2, 2.49: 2, 2.5: 2, 2.51: 3, 3.49: 3, 3.5: 4, 3.51: 4, 4.99: 4, 5: 4,
    5.01: 6, 7: 6, -2.5: -2, -5: -4,
}  # fmt: skip

# 32 normal values, one MXFP4 block and two NVFP4 blocks (arXiv 2509.23202).
BLOCK = (
    -0.256, 0.511, -0.226, -0.315, -0.93, -0.213, 1.112, 0.424, 1.037, 0.249, 0.395, 0.185, -1.666,
    0.855, 0.506, 0.499, -1.691, -1.744, -0.89, -0.468, 0.305, -0.046, 0.521, -0.642, 0.309, 0.394,
    -0.661, 1.718, 0.557, 1.197, -0.62, -0.74,
)  # fmt: skip


def torch_codes(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.float8_e4m3fn).view(torch.uint8)


def test_all_256_codes_of_e4m3_are_torchs() -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    torch_values = codes.view(torch.float8_e4m3fn).float()
    assert torch.equal(decode(codes, E4M3).nan_to_num(nan=999), torch_values.nan_to_num(nan=999))
    assert torch.equal(decode(codes, E4M3).signbit(), torch_values.signbit())


@pytest.mark.parametrize("code", range(256))
def test_each_code_of_e4m3_follows_the_definition(code: int) -> None:
    sign, exponent, mantissa = code >> 7, (code >> 3) & 15, code & 7
    value = E4M3.value(code)
    if (exponent, mantissa) == (15, 7):
        assert math.isnan(value)
    elif exponent == 0:
        assert value == (-1) ** sign * 2.0**-6 * mantissa / 8
    else:
        assert value == (-1) ** sign * 2.0 ** (exponent - 7) * (1 + mantissa / 8)


def test_e4m3_ends_at_448_and_starts_at_two_to_the_minus_nine() -> None:
    assert E4M3.largest == 448
    assert E4M3.magnitudes[:2] == (0, 2.0**-9)
    assert len(E4M3.magnitudes) == 127


def test_all_16_codes_of_e2m1() -> None:
    sizes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    values = decode(torch.arange(16), E2M1)
    assert values.tolist() == sizes + [-size for size in sizes]
    assert values.signbit().tolist() == [False] * 8 + [True] * 8


def test_e2m1_rounds_as_worked_by_hand() -> None:
    rounded = round_to(torch.tensor(list(E2M1_ROUNDED), dtype=torch.float64), E2M1)
    assert rounded.tolist() == list(E2M1_ROUNDED.values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_16_bit_number_rounds_to_e4m3_as_torch_does(dtype: torch.dtype) -> None:
    everything = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
    finite = everything[everything.isfinite()]
    assert torch.equal(encode(finite, E4M3), torch_codes(finite.float().clamp(-448, 448)))


@given(values=st.lists(FINITE, min_size=1, max_size=50))
def test_single_precision_rounds_to_e4m3_as_torch_does(values: list[float]) -> None:
    given_values = torch.tensor(values, dtype=torch.float32)
    assert torch.equal(encode(given_values, E4M3), torch_codes(given_values.clamp(-448, 448)))


@pytest.mark.parametrize("grid", [E4M3, E2M1])
def test_ties_and_their_neighbours_round_to_even(grid: Grid) -> None:
    sizes = torch.tensor(grid.magnitudes)
    middles = (sizes[:-1] + sizes[1:]) / 2
    lower = torch.arange(len(middles), dtype=torch.uint8)
    assert torch.equal(encode(middles, grid), lower + lower % 2)
    assert torch.equal(encode(torch.nextafter(middles, torch.tensor(0.0)), grid), lower)
    assert torch.equal(encode(torch.nextafter(middles, torch.tensor(1e9)), grid), lower + 1)


@pytest.mark.parametrize("grid", [E4M3, E2M1])
def test_grid_values_are_fixed_points(grid: Grid) -> None:
    codes = torch.tensor([c for c in range(2 * grid.sign_bit) if not math.isnan(grid.value(c))])
    assert torch.equal(encode(decode(codes, grid), grid), codes.to(torch.uint8))


@given(value=FINITE, grid=GRIDS)
def test_no_other_value_is_nearer(value: float, grid: Grid) -> None:
    rounded = float(round_to(torch.tensor([value]), grid))
    clipped = max(-grid.largest, min(grid.largest, value))
    nearest = min(abs(abs(clipped) - size) for size in grid.magnitudes)
    assert abs(clipped - rounded) == nearest


@given(value=FINITE, grid=GRIDS)
def test_rounding_is_odd(value: float, grid: Grid) -> None:
    there, back = encode(torch.tensor([value]), grid), encode(torch.tensor([-value]), grid)
    assert int(there) ^ int(back) == grid.sign_bit


@given(grid=GRIDS)
def test_infinity_saturates_and_nan_is_refused(grid: Grid) -> None:
    ends = torch.tensor([math.inf, -math.inf, 3e38])
    assert round_to(ends, grid).tolist() == [grid.largest, -grid.largest, grid.largest]
    with pytest.raises(ConfigError, match=f"NaN cannot be rounded to {grid.name}.*checkpoint"):
        encode(torch.tensor([0.0, math.nan]), grid)


def test_a_microscaling_block_has_the_worked_error() -> None:
    block = torch.tensor(BLOCK, dtype=torch.float64)
    scale = 2.0 ** (math.floor(math.log2(float(block.abs().max()))) - 2)
    error = (round_to(block / scale, E2M1).double() * scale - block).square().mean()
    assert scale == 0.25
    assert float(error) == pytest.approx(0.009742718750000002, rel=1e-12)


def test_an_nvfp4_block_has_the_worked_scales_and_error() -> None:
    block = torch.tensor(BLOCK, dtype=torch.float64).view(2, 16)
    peaks = block.abs().amax(dim=1, keepdim=True)
    whole = 448 * 6 / float(peaks.max())
    scales = round_to(peaks / 6 * whole, E4M3).double() / whole
    error = (round_to(block / scales, E2M1).double() * scales - block).square().mean()
    assert scales.flatten().tolist() == pytest.approx([0.2699047619047619, 0.2906666666666667])
    assert float(error) == pytest.approx(0.0024875538548752843, rel=1e-12)
