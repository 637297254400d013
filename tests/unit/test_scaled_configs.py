"""The table of layouts: what was measured, and what a shape outside it takes."""

import pytest
import torch

from qbench.errors import Unsupported
from qbench.kernels.formats import FORMATS
from qbench.kernels.gemm.scaled.configs import Narrow, Wide, find_config, winners
from qbench.kernels.gemm.scaled.packing import pack_bytes, unpacked_bytes
from qbench.kernels.reference import dequantize, quantize
from qbench.kernels.schemes import Scheme


def test_a_measured_shape_takes_its_own_row() -> None:
    for kernel, rows in winners().items():
        for row in rows:
            assert find_config(kernel, row.n, row.k, row.m) == row.config


@pytest.mark.parametrize("kernel", ["fp8", "fp8-block", "w8a8", "w4a8"])
def test_few_inputs_stream_and_many_stay(kernel: str) -> None:
    assert isinstance(find_config(kernel, 576, 1536, 1), Narrow)
    assert isinstance(find_config(kernel, 5000, 3000, 5000), Wide)


@pytest.mark.parametrize("name", ["fp8", "fp8-block", "w8a8", "w4a8"])
def test_packing_is_exact(name: str) -> None:
    weights, activations = FORMATS[name].weights, FORMATS[name].activations
    assert weights is not None
    assert activations is not None
    made = quantize(torch.randn(200, 384), weights)
    packed = pack_bytes(made, activations)
    assert torch.equal(unpacked_bytes(packed), dequantize(made, torch.float32))
    assert packed.codes.is_contiguous()


def test_what_no_program_reads_is_refused() -> None:
    scheme = Scheme(element="int4", strategy="group", group=128, symmetric=False)
    made = quantize(torch.randn(8, 256), scheme)
    activations = FORMATS["w4a8"].activations
    assert activations is not None
    with pytest.raises(Unsupported, match="No program multiplies int4"):
        pack_bytes(made, activations)
