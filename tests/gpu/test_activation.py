"""Activation programs on a GPU against their references there: real shapes, fresh inputs.

Memory that outputs are made of is filled first (NaN, or the largest integer), so what a program
leaves out shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch

pytest.importorskip("triton")

from qbench.kernels.activation import fourbits, gating, norms, quantizing, reference, rotating
from qbench.kernels.formats import FORMATS
from qbench.kernels.schemes import Element, Scheme

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU"),
]

ELEMENTS: tuple[Element, ...] = ("int8", "e4m3")
COLUMNS = (
    4096,  # hidden size of Llama-3.1-8B
    5120,  # of Qwen3-32B: 37 % of the row a program holds is masked
    14336,  # intermediate size of Llama-3.1-8B
    28672,  # of Llama-3.1-70B
)
TOKENS = (1, 17, 300)
DTYPES = (torch.bfloat16, torch.float16)
NAMES = ("mxfp4", "nvfp4", "int4-mr")
EPSILON = 1e-5


@pytest.fixture(autouse=True)
def _poisoned() -> Iterator[None]:
    torch.use_deterministic_algorithms(mode=True)
    yield
    torch.use_deterministic_algorithms(mode=False)


def tokens(rows: int, columns: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """Rows of sizes from 1e-3 to 30 with an outlier; zeros last where there are several."""
    sizes = torch.logspace(-3, 1.5, rows, device="cuda")
    if rows > 1:
        sizes[-1] = 0
    values = torch.randn(rows, columns, device="cuda") * sizes[:, None]
    values[0, columns // 3] *= -40
    return values.to(dtype)


def same(found: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> bool:
    pairs = list(zip(found, wanted, strict=True))
    assert all(f.dtype == w.dtype and f.shape == w.shape for f, w in pairs)
    return all(torch.equal(f.float(), w.float()) for f, w in pairs)


def scheme_of(name: str) -> Scheme:
    found = FORMATS[name].activations
    assert found is not None
    return found


def off(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The share of values that differ."""
    return float((found.float() != wanted.float()).float().mean())


@pytest.mark.parametrize(("rows", "columns", "dtype"), [*product(TOKENS, COLUMNS, DTYPES)])
@pytest.mark.parametrize("element", ELEMENTS)
def test_quantize_tokens_is_its_reference_bit_for_bit(
    rows: int, columns: int, dtype: torch.dtype, element: Element
) -> None:
    x = tokens(rows, columns, dtype)
    found = quantizing.quantize_tokens(x, element)
    assert same(found, reference.quantize_tokens(x, element))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("element", ELEMENTS)
def test_every_16_bit_number_gets_the_references_code(dtype: torch.dtype, element: Element) -> None:
    bits = torch.arange(1 << 16, dtype=torch.int32, device="cuda").to(torch.int16).view(dtype)
    peaks = torch.logspace(-3, 4, 4000, device="cuda").to(dtype)
    finite = bits[bits.isfinite() & (bits.float().abs() < 1e30)].float()
    for peak in peaks[:: len(peaks) // 40].float():
        kept = finite[finite.abs() <= peak]
        x = torch.cat([kept, peak[None], torch.zeros(-(len(kept) + 1) % 16384, device="cuda")])
        x = x.view(-1, 16384).to(dtype)
        x[:, 0] = peak
        found = quantizing.quantize_tokens(x, element)
        assert same(found, reference.quantize_tokens(x, element))


@pytest.mark.parametrize(("rows", "columns"), [*product(TOKENS, COLUMNS)])
def test_quantize_groups_is_its_reference_bit_for_bit(rows: int, columns: int) -> None:
    x = tokens(rows, columns)
    assert same(quantizing.quantize_groups(x), reference.quantize_groups(x))


@pytest.mark.parametrize(("rows", "columns"), [*product(TOKENS, COLUMNS)])
@pytest.mark.parametrize("block", [16, 32, 64, 128])
@pytest.mark.parametrize("element", ELEMENTS)
def test_rotate_quantize_is_within_one_code_of_its_reference(
    rows: int, columns: int, block: int, element: Element
) -> None:
    x = tokens(rows, columns)
    codes, scale = rotating.rotate_quantize(x, block, element)
    wanted, wanted_scale = reference.rotate_quantize(x, block, element)
    torch.testing.assert_close(scale, wanted_scale, rtol=2**-7, atol=0)
    agree = (scale == wanted_scale).squeeze(1)
    assert agree.float().mean() >= (0.95 if rows > 100 else 0)
    step = wanted.float().abs().clamp_min(2**-6) / 8
    steps = torch.ones_like(step) if element == "int8" else step
    apart = (codes.float() - wanted.float()).abs() / steps
    assert apart[agree].numel() == 0 or apart[agree].max() <= 1
    assert off(codes[agree], wanted[agree]) <= 0.002 or not agree.any()


@pytest.mark.parametrize(("rows", "columns"), [*product(TOKENS, COLUMNS)])
@pytest.mark.parametrize("name", NAMES)
def test_rounding_to_four_bits_is_the_references(rows: int, columns: int, name: str) -> None:
    x, scheme = tokens(rows, columns), scheme_of(name)
    found = fourbits.rotate_round(x, None, scheme)
    assert torch.equal(found, reference.rotate_round(x, None, scheme))
    rotated = fourbits.rotate_round(x, 128, scheme)
    assert off(rotated, reference.rotate_round(x, 128, scheme)) <= 0.002
    made, wanted = fourbits.rotate_pack(x, None, scheme), reference.rotate_pack(x, None, scheme)
    zeros = ((made.codes ^ wanted[0]) & 0x77) == 0  # all but the sign of zeros
    assert bool(zeros.all())
    assert torch.equal(made.scale.float(), wanted[1].float())


@pytest.mark.parametrize(("rows", "columns"), [*product(TOKENS, COLUMNS)])
def test_norm_is_llamas(rows: int, columns: int) -> None:
    x, residual = tokens(rows, columns), tokens(rows, columns)
    gain = torch.randn(columns, device="cuda").bfloat16()
    made, total = norms.norm(x, gain, EPSILON, residual)
    wanted, added = reference.norm(x, gain, EPSILON, residual)
    assert torch.equal(total, added)
    torch.testing.assert_close(made, wanted, rtol=2**-6, atol=1e-7)
    assert off(made, wanted) <= 0.01
    found = norms.norm_quantize(x, gain, EPSILON, "e4m3", residual)
    assert same(found, (*quantizing.quantize_tokens(made, "e4m3"), total))


@pytest.mark.parametrize(("rows", "columns"), [*product(TOKENS, COLUMNS)])
def test_silu_takes_the_gate_first(rows: int, columns: int) -> None:
    gate_up = tokens(rows, 2 * columns)
    made = gating.silu_multiply(gate_up)
    wanted = reference.silu_multiply(gate_up)
    torch.testing.assert_close(made, wanted, rtol=2**-6, atol=1e-7)
    assert off(made, wanted) <= 0.01
    assert same(gating.silu_quantize(gate_up, "int8"), quantizing.quantize_tokens(made, "int8"))


def test_programs_run_in_a_cuda_graph() -> None:
    x = tokens(16, 4096)
    wanted = rotating.rotate_quantize(x, 128, "e4m3")
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = rotating.rotate_quantize(x, 128, "e4m3")
    graph.replay()
    assert same(found, wanted)
    x.copy_(tokens(16, 4096))
    graph.replay()
    assert same(found, rotating.rotate_quantize(x, 128, "e4m3"))
