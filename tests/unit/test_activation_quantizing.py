"""Activation programs under Triton's interpreter against their references, at small shapes."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import pytest

os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

import torch

from qbench.errors import Unsupported
from qbench.kernels.activation import gating, launch, norms, quantizing, reference, rotating
from qbench.kernels.schemes import Element

ELEMENTS: tuple[Element, ...] = ("int8", "e4m3")
DTYPES = (torch.bfloat16, torch.float16)
SHAPES = (
    (1, 128),
    (5, 384),  # not a power of two: a masked tail
    (3, 1024),
)
EPSILON = 1e-5


def tokens(shape: tuple[int, int], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Rows of different sizes, the last of zeros where there are several, one with an outlier."""
    made = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-3, 1.5, shape[0])
    if shape[0] > 1:
        sizes[-1] = 0
    values = torch.randn(*shape, generator=made) * sizes[:, None]
    values[0, 7] *= -40
    return values.to(dtype)


def same(found: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> bool:
    """Whether all tensors are of one type and equal, minus zero being zero."""
    pairs = list(zip(found, wanted, strict=True))
    assert all(f.dtype == w.dtype and f.shape == w.shape for f, w in pairs)
    return all(torch.equal(f.float(), w.float()) for f, w in pairs)


@pytest.mark.parametrize(("shape", "dtype", "element"), [*product(SHAPES, DTYPES, ELEMENTS)])
def test_quantize_tokens_is_its_reference_bit_for_bit(
    shape: tuple[int, int], dtype: torch.dtype, element: Element
) -> None:
    x = tokens(shape, dtype)
    found = quantizing.quantize_tokens(x, element)
    assert same(found, reference.quantize_tokens(x, element))


@pytest.mark.parametrize("dtype", DTYPES)
def test_quantize_tokens_breaks_ties_to_even(dtype: torch.dtype) -> None:
    x = torch.arange(-255, 255, 1).to(dtype)[None, :]  # with a peak of 255 the step is 2
    found = quantizing.quantize_tokens(x, "int8")
    assert same(found, reference.quantize_tokens(x, "int8"))
    assert found[0][0, 255 + 1] == 0
    assert found[0][0, 255 + 3] == 2


@pytest.mark.parametrize(("shape", "dtype"), [*product(SHAPES, DTYPES)])
def test_quantize_groups_is_its_reference_bit_for_bit(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    x = tokens(shape, dtype)
    assert same(quantizing.quantize_groups(x), reference.quantize_groups(x))


@pytest.mark.parametrize(
    ("shape", "dtype", "element", "block"), [*product(SHAPES, DTYPES, ELEMENTS, (16, 32, 64, 128))]
)
def test_rotate_quantize_is_within_one_code_of_its_reference(
    shape: tuple[int, int], dtype: torch.dtype, element: Element, block: int
) -> None:
    x = tokens(shape, dtype, seed=block)
    codes, scale = rotating.rotate_quantize(x, block, element)
    wanted, wanted_scale = reference.rotate_quantize(x, block, element)
    torch.testing.assert_close(scale, wanted_scale, rtol=2**-7, atol=0)
    steps = torch.full((), 1.0) if element == "int8" else wanted.float().abs().clamp_min(2**-6) / 8
    off = (codes.float() - wanted.float()).abs() / steps
    assert off.max() <= 1
    assert (off > 0).float().mean() <= 0.002


@pytest.mark.parametrize("block", [16, 32, 64, 128])
def test_one_column_becomes_a_row_of_the_hadamard_matrix(block: int) -> None:
    x = torch.zeros(1, 256, dtype=torch.bfloat16)
    x[0, 128 + 5] = 3.0
    codes, scale = rotating.rotate_quantize(x, block, "int8")
    inside = codes[0].float().abs() > 0
    start = 128 + 5 - 5 % block
    assert inside[start : start + block].all()
    assert int(inside.sum()) == block
    assert float(scale) == pytest.approx(3 / block**0.5 / 127.5, rel=2**-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("added", [False, True])
def test_norm_is_llamas(dtype: torch.dtype, added: bool) -> None:
    x, gain = tokens((5, 384), dtype), torch.linspace(0.5, 1.5, 384).to(dtype)
    if added:
        residual = tokens((5, 384), dtype, seed=1)
        made, total = norms.norm(x, gain, EPSILON, residual)
        assert torch.equal(total, x + residual)
        wanted, _ = reference.norm(x, gain, EPSILON, residual)
    else:
        made, wanted = norms.norm(x, gain, EPSILON), reference.norm(x, gain, EPSILON)
    torch.testing.assert_close(made, wanted, rtol=2**-7, atol=1e-7)
    assert (made != wanted).float().mean() <= 0.01


@pytest.mark.parametrize("element", ELEMENTS)
def test_norm_quantize_makes_codes_of_the_norm(element: Element) -> None:
    x, gain = tokens((4, 384), torch.float16), torch.linspace(0.5, 1.5, 384).half()
    residual = tokens((4, 384), torch.float16, seed=1)
    codes, scale, total = norms.norm_quantize(x, gain, EPSILON, element, residual)
    made, added = norms.norm(x, gain, EPSILON, residual)
    assert same((codes, scale, total), (*quantizing.quantize_tokens(made, element), added))
    plain = norms.norm_quantize(x, gain, EPSILON, element)
    assert same(plain, quantizing.quantize_tokens(norms.norm(x, gain, EPSILON), element))


@pytest.mark.parametrize(("dtype", "element"), [*product(DTYPES, ELEMENTS)])
def test_silu_takes_the_gate_first(dtype: torch.dtype, element: Element) -> None:
    gate_up = tokens((3, 768), dtype)
    made = gating.silu_multiply(gate_up)
    torch.testing.assert_close(made, reference.silu_multiply(gate_up), rtol=2**-7, atol=1e-7)
    assert same(gating.silu_quantize(gate_up, element), quantizing.quantize_tokens(made, element))


def test_no_tokens_give_no_codes() -> None:
    codes, scale = quantizing.quantize_tokens(torch.empty(0, 128, dtype=torch.bfloat16), "int8")
    assert codes.shape == (0, 128)
    assert scale.shape == (0, 1)


@pytest.mark.parametrize(
    "x",
    [
        torch.ones(2, 128),
        torch.ones(2, 2, 128, dtype=torch.bfloat16),
        torch.ones(128, 2, dtype=torch.bfloat16).T,
        torch.ones(2, 40960, dtype=torch.bfloat16),
    ],
    ids=["32 bits", "three dimensions", "not contiguous", "too long"],
)
def test_what_a_program_cannot_read_is_refused(x: torch.Tensor) -> None:
    with pytest.raises(Unsupported, match="contiguous"):
        quantizing.quantize_tokens(x, "int8")


def test_blocks_that_do_not_divide_are_refused() -> None:
    x = torch.ones(2, 96, dtype=torch.bfloat16)
    with pytest.raises(Unsupported, match="blocks of 64"):
        rotating.rotate_quantize(x, 64, "int8")
    with pytest.raises(Unsupported, match="Groups of 128"):
        quantizing.quantize_groups(x)
    with pytest.raises(Unsupported, match="Gate and up"):
        gating.silu_multiply(torch.ones(2, 97, dtype=torch.bfloat16))


def test_what_belongs_to_another_shape_is_refused() -> None:
    x = torch.ones(2, 128, dtype=torch.bfloat16)
    with pytest.raises(Unsupported, match="contiguous"):
        norms.norm(x, torch.ones(64, dtype=torch.bfloat16), EPSILON)
    with pytest.raises(Unsupported, match="contiguous"):
        norms.norm(x, torch.ones(128), EPSILON)
    with pytest.raises(Unsupported, match="contiguous"):
        norms.norm(x, x[0], EPSILON, x[:1])
    with pytest.raises(Unsupported, match="contiguous"):
        gating.silu_multiply(x.T)


def test_without_the_interpreter_tensors_of_a_cpu_are_refused() -> None:
    program = (
        "import torch\n"
        "from qbench.kernels.activation.quantizing import quantize_tokens\n"
        "quantize_tokens(torch.ones(2, 128).bfloat16(), 'int8')\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Unsupported: Programs for activations do not run on cpu" in found.stderr


@pytest.mark.parametrize(
    ("columns", "many", "few", "rotating"),
    [
        (1024, 1, 4, 2),
        (4096, 4, 16, 2),  # 32 rows of 128: more warps would multiply them twice
        (8192, 8, 16, 8),
        (28672, 8, 16, 16),
    ],
)
def test_warps_follow_from_the_shape(columns: int, many: int, few: int, rotating: int) -> None:
    assert launch.warps(8192, columns) == many
    assert launch.warps(1, columns) == few
    assert launch.rotation_warps(columns) == rotating
