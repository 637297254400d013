"""Operators of products: schema, fake kernels, graphs that keep them, and what they compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._library.custom_ops import CustomOpDef
from torch.library import opcheck

from qbench.kernels.activation import reference
from qbench.kernels.formats import FORMATS, Format
from qbench.kernels.gemm.four_bits.packing import pack_four_bits
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.scaled.packing import pack_bytes
from qbench.kernels.gemm.weight_only.packing import pack_weight
from qbench.kernels.linears.operators import rotate_pack
from qbench.kernels.linears.product_operators import four_bits, scaled, taken_apart, weight_only
from qbench.kernels.reference import Quantized, dequantize, fake_quantize, quantize

ROWS, COLUMNS = 24, 384
WIDE = ("w8a16", "w4a16", "w4a16-awq", "w3a16", "w2a16", "mxfp4a16", "nvfp4a16")
SMALL = ("fp8", "fp8-block", "w8a8", "w4a8")
FOUR = ("mxfp4", "nvfp4")


def numbers(rows: int, seed: int) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(rows, COLUMNS, generator=made).bfloat16()


def packed(fmt: Format) -> tuple[PackedWeight, Quantized]:
    assert fmt.weights is not None
    quantized = quantize(numbers(ROWS, 1), fmt.weights)
    if fmt.name in FOUR and fmt.activations is not None:
        return pack_four_bits(quantized, fmt.activations), quantized
    if fmt.activations is not None:
        return pack_bytes(quantized, fmt.activations), quantized
    return pack_weight(quantized), quantized


def inputs_of(fmt: Format) -> tuple[torch.Tensor, ...]:
    x = numbers(5, 2)
    if fmt.activations is None:
        return (x,)
    if fmt.activations.strategy == "group":
        return reference.quantize_groups(x)
    return reference.quantize_tokens(x, fmt.activations.element)


def call(name: str) -> tuple[CustomOpDef, tuple[Any, ...], torch.Tensor]:
    """Return the operator of a format, a call of it, and the product in float64."""
    fmt = FORMATS[name]
    if name in FOUR:
        return four_bits_call(fmt)
    weight, quantized = packed(fmt)
    given = inputs_of(fmt)
    x = given[0].double()
    if len(given) == 2:
        x = x * given[1].double().repeat_interleave(COLUMNS // given[1].shape[1], dim=1)
    wanted = x @ dequantize(quantized, torch.float32).double().T
    if fmt.activations is None:
        return weight_only, (*given, *taken_apart(weight).given), wanted
    return scaled, (*given, torch.bfloat16, *taken_apart(weight).given), wanted


def four_bits_call(fmt: Format) -> tuple[CustomOpDef, tuple[Any, ...], torch.Tensor]:
    weight, quantized = packed(fmt)
    assert fmt.activations is not None
    x = fake_quantize(numbers(5, 2), fmt.activations).double()
    inputs = rotate_pack(numbers(5, 2), None, fmt.name)
    wanted = x @ dequantize(quantized, torch.float32).double().T
    return four_bits, (*inputs, torch.bfloat16, *taken_apart(weight).given), wanted


each = pytest.mark.parametrize("name", [*WIDE, *SMALL, *FOUR])


@each
def test_the_product_is_that_of_the_format(name: str) -> None:
    operator, given, wanted = call(name)
    found = operator(*given)
    assert found.dtype == torch.bfloat16
    assert float((found.double() - wanted).norm() / wanted.norm()) < 0.004


@each
def test_schema_and_fake_kernel_are_true(name: str) -> None:
    operator, given, _ = call(name)
    small = any(isinstance(g, torch.Tensor) and g.dtype == torch.float8_e4m3fn for g in given)
    checks = ("test_faketensor",) if small else ("test_faketensor", "test_schema")
    opcheck(operator, given, test_utils=checks)  # the schema's check multiplies what it is given


@each
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_graph_keeps_the_operator(name: str, backend: str) -> None:
    torch.compiler.reset()
    operator, given, _ = call(name)

    def layer(x: torch.Tensor) -> Any:
        return operator(x, *given[1:]) * 2

    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    assert torch.equal(compiled(given[0]), layer(given[0]))
