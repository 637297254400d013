"""Layers of packed codes under Triton's interpreter, against the emulation of the same codes."""

import os

import pytest

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when programs are defined
pytest.importorskip("triton")

import torch

from qbench.kernels.formats import fitted, get_format
from qbench.kernels.linears.applying import _rounded
from qbench.kernels.linears.linear import prepare
from qbench.kernels.linears.quant_linear import QuantLinear, packed
from qbench.kernels.paths import OWN, OWN_ROUNDED
from qbench.kernels.reference import dequantize
from tests.single_tokens import distance

pytestmark = pytest.mark.skipif(
    os.environ["TRITON_INTERPRET"] != "1", reason="programs are compiled in this process"
)


@pytest.mark.parametrize("name", [*OWN, *OWN_ROUNDED])
def test_every_format_with_programs_gives_what_its_emulation_gives(name: str) -> None:
    """Inputs in 16 bits, a bias, and more dimensions than two."""
    draw = torch.Generator().manual_seed(5)
    fmt = fitted(get_format(name), 256)
    made = _rounded(torch.randn(128, 256, generator=draw).half(), fmt)
    bias = torch.randn(128, generator=draw).half()
    layer = QuantLinear(packed(made.quantized, made.inputs), bias, inputs=made.inputs)
    values = torch.randn(1, 5, 256, generator=draw).half()
    found = layer(values)
    assert found.shape == (1, 5, 128)
    weight = dequantize(made.quantized, torch.float32)
    expected = prepare(values, made.inputs).float() @ weight.t() + bias.float()
    assert distance(found, expected) < 2e-3
    assert layer.weight.bytes < 2 * 128 * 256
