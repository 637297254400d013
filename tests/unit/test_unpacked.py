"""Packed weights turned back to numbers are those that were packed, bit for bit."""

from __future__ import annotations

import pytest
import torch
from msgspec.structs import replace

from qbench.kernels.formats import FORMATS
from qbench.kernels.gemm.scaled.packing import pack_bytes
from qbench.kernels.gemm.unpacked import unpacked
from qbench.kernels.gemm.weight_only.packing import pack_weight
from qbench.kernels.reference import dequantize, quantize


def weight(rows: int = 70, columns: int = 640) -> torch.Tensor:
    """Neither rows nor columns are whole tiles."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(5)).bfloat16()


@pytest.mark.parametrize("name", ["w8a16", "w4a16", "w4a16-awq", "w3a16", "w2a16", "mxfp4a16"])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_what_was_packed_comes_back(name: str, group: int) -> None:
    scheme = FORMATS[name].weights
    assert scheme is not None
    if scheme.group == 128:
        scheme = replace(scheme, group=group)
    quantized = quantize(weight(), scheme)
    assert torch.equal(unpacked(pack_weight(quantized)), dequantize(quantized, torch.float32))


def test_scales_of_nvfp4_are_multiplied_where_the_reference_divides() -> None:
    scheme = FORMATS["nvfp4a16"].weights
    assert scheme is not None
    quantized = quantize(weight(), scheme)
    found, wanted = unpacked(pack_weight(quantized)), dequantize(quantized, torch.float32)
    torch.testing.assert_close(found, wanted, rtol=2**-22, atol=0)


@pytest.mark.parametrize("name", ["fp8", "fp8-block", "w8a8", "w4a8"])
def test_weights_for_8_bit_inputs_come_back_too(name: str) -> None:
    fmt = FORMATS[name]
    assert fmt.weights is not None
    assert fmt.activations is not None
    quantized = quantize(weight(), fmt.weights)
    found = unpacked(pack_bytes(quantized, fmt.activations))
    assert torch.equal(found, dequantize(quantized, torch.float32))
