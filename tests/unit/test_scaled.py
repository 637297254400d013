"""Products of 8-bit inputs under Triton's interpreter, against float64 of the same codes."""

import os

import pytest
import torch

os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from qbench.errors import ConfigError
from qbench.kernels.formats import FORMATS, fitted
from qbench.kernels.gemm.scaled.configs import Config, Narrow, Wide
from qbench.kernels.gemm.scaled.launch import multiply_scaled
from qbench.kernels.gemm.scaled.packing import pack_bytes, unpacked_bytes
from qbench.kernels.reference import Quantized, dequantize, quantize

NAMES = ["fp8", "fp8-block", "w8a8", "w4a8"]
CONFIGS: dict[str, Config] = {
    "whole": Narrow(block_m=16, block_n=64, block_k=128),
    "split": Narrow(block_m=16, block_n=64, block_k=128, split=3),
    "described": Narrow(block_m=32, block_n=64, block_k=256, split=2, tma=True),
    "wide": Wide(block_m=32, block_n=64),
    "halves": Wide(block_m=32, block_n=64, subtiles=2),
    "plain": Wide(block_m=32, block_n=64, store_tma=False, flatten=False),
}
SHAPES = [
    (1, 192, 256),  # one stream
    (17, 100, 576),  # nothing is a multiple of a tile
    (33, 200, 448),  # int4: a group without its pair
]


def _product(name: str, m: int, n: int, k: int) -> tuple[Quantized, Quantized]:
    """Return a weight (n, k) and inputs (m, k) in the format's codes."""
    form = fitted(FORMATS[name], k)
    assert form.weights is not None
    assert form.activations is not None
    inputs = torch.randn(m, k) * torch.rand(m, 1).exp()
    return quantize(torch.randn(n, k), form.weights), quantize(inputs, form.activations)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", CONFIGS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_products_are_those_of_float64(name: str, layout: str, m: int, n: int, k: int) -> None:
    weights, inputs = _product(name, m, n, k)
    packed = pack_bytes(weights, inputs.scheme)
    made = multiply_scaled(inputs.codes, inputs.step, packed, torch.float32, CONFIGS[layout])
    wanted = dequantize(inputs, torch.float64) @ unpacked_bytes(packed).double().t()
    assert (made - wanted).norm() <= 1e-5 * wanted.norm()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", CONFIGS)
def test_one_hot_inputs_give_the_weight_exactly(name: str, layout: str) -> None:
    weights, inputs = _product(name, 1, 96, 256)
    packed = pack_bytes(weights, inputs.scheme)
    kind = torch.int8 if name == "w8a8" else torch.float8_e4m3fn
    scale = torch.ones(256, 2 if name == "fp8-block" else 1)
    made = multiply_scaled(torch.eye(256).to(kind), scale, packed, torch.float32, CONFIGS[layout])
    assert torch.equal(made, unpacked_bytes(packed).t())
    assert torch.equal(made.t(), dequantize(weights, torch.float32))


def test_inputs_that_do_not_belong_to_the_weight_are_refused() -> None:
    weights, inputs = _product("fp8", 3, 64, 256)
    packed = pack_bytes(weights, inputs.scheme)
    with pytest.raises(ConfigError, match="do not go with a fp8 weight"):
        multiply_scaled(inputs.codes[:, :128].contiguous(), inputs.step, packed)
    with pytest.raises(ConfigError, match="do not go with a fp8 weight"):
        multiply_scaled(inputs.codes.view(torch.int8), inputs.step, packed)
    with pytest.raises(ConfigError, match="without gaps"):
        multiply_scaled(inputs.codes.t().contiguous().t(), inputs.step, packed)


def test_one_scale_for_all_inputs_and_no_inputs() -> None:
    weights, inputs = _product("w8a8", 5, 64, 256)
    packed = pack_bytes(weights, inputs.scheme)
    scale = torch.tensor([[0.25]])
    made = multiply_scaled(inputs.codes, scale, packed, torch.float32)
    wanted = inputs.codes.double() @ unpacked_bytes(packed).double().t() * 0.25
    assert (made - wanted).norm() <= 1e-5 * wanted.norm()
    assert multiply_scaled(inputs.codes[:0], inputs.step[:0], packed).shape == (0, 64)
