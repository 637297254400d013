"""Operators of products on a GPU: the programs' results, and graphs that keep them."""

from __future__ import annotations

import pytest
import torch
from torch.library import opcheck

pytest.importorskip("triton")

from qbench.kernels.formats import FORMATS
from qbench.kernels.gemm.scaled.packing import pack_bytes
from qbench.kernels.gemm.weight_only.packing import pack_weight
from qbench.kernels.linears.operators import quantize_tokens
from qbench.kernels.linears.product_operators import scaled, taken_apart, weight_only
from qbench.kernels.reference import dequantize, quantize

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"),
]

ROWS, COLUMNS = 1024, 4096


def numbers(rows: int) -> torch.Tensor:
    return torch.randn(rows, COLUMNS, device="cuda").bfloat16()


@pytest.mark.parametrize("name", ["w4a16", "w8a16", "mxfp4a16"])
def test_weight_only_products_stay_in_a_graph(name: str) -> None:
    torch.compiler.reset()
    scheme = FORMATS[name].weights
    assert scheme is not None
    x, quantized = numbers(5), quantize(numbers(ROWS), scheme)
    parts = taken_apart(pack_weight(quantized)).given
    opcheck(weight_only, (x, *parts), test_utils=("test_schema", "test_faketensor"))
    compiled = torch.compile(
        lambda y: weight_only(y, *parts) * 2, backend="aot_eager", fullgraph=True
    )
    wanted = 2 * x.double() @ dequantize(quantized, torch.float32).double().T
    assert float((compiled(x).double() - wanted).norm() / wanted.norm()) < 0.006


@pytest.mark.parametrize("name", ["fp8", "w8a8"])
def test_products_with_8_bit_inputs_stay_in_a_graph(name: str) -> None:
    torch.compiler.reset()
    fmt = FORMATS[name]
    assert fmt.weights is not None
    assert fmt.activations is not None
    element = fmt.activations.element
    x, quantized = numbers(5), quantize(numbers(ROWS), fmt.weights)
    parts = taken_apart(pack_bytes(quantized, fmt.activations)).given

    def layer(y: torch.Tensor) -> torch.Tensor:
        codes, scale = quantize_tokens(y, element)
        product: torch.Tensor = scaled(codes, scale, torch.bfloat16, *parts)
        return product

    found = torch.compile(layer, backend="aot_eager", fullgraph=True)(x)
    codes, scale = quantize_tokens(x, element)
    wanted = codes.double() * scale.double() @ dequantize(quantized, torch.float32).double().T
    assert float((found.double() - wanted).norm() / wanted.norm()) < 0.006
