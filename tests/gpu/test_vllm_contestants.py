"""vLLM's products compute what the format says of their own inputs, before they are timed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from qbench.kernels.formats import FORMATS
from qbench.kernels.reference import dequantize, quantize
from qbench.kernels.speed.contestant import Contestant
from qbench.kernels.speed.vllm_contestants import CONTESTANTS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not in this environment"),
]

N, K = 512, 1024
TAKEN = {
    "marlin": ("w4a16", "w4a16-awq", "w8a16", "nvfp4a16", "mxfp4a16"),
    "marlin weight-only": ("fp8", "nvfp4", "mxfp4", "mxfp8"),
    "machete": ("w4a16", "w4a16-awq", "w8a16"),
    "cutlass scaled_mm": ("fp8", "fp8-block", "w8a8"),
    "cutlass product": ("fp8", "w8a8"),
    "cutlass w4a8": ("w4a8",),
}
WIDE, ROUNDED = 0.006, 0.05
"""Norm of the difference over the norm: sums in another order, 16 bits out; inputs in 8 bits, and
CUTLASS W4A8's scales in E4M3."""


def product(contestant: Contestant, name: str, weight: Tensor, x: Tensor) -> Tensor | None:
    made = contestant.make(FORMATS[name], weight)
    if made is None:
        return None
    return made(contestant.prepare(FORMATS[name], x) if contestant.prepare else x)


@pytest.mark.parametrize("m", [1, 17, 256])
@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("contestant", CONTESTANTS, ids=lambda one: one.name)
def test_a_contestant_multiplies_what_it_says(contestant: Contestant, name: str, m: int) -> None:
    torch.manual_seed(m)
    weight = torch.randn(N, K, device="cuda", dtype=torch.bfloat16)
    x = torch.randn(m, K, device="cuda", dtype=torch.bfloat16)
    made = product(contestant, name, weight, x)
    assert (made is not None) == (name in TAKEN[contestant.name])
    scheme = FORMATS[name].weights
    if made is None or scheme is None:
        return
    wanted = x.double() @ dequantize(quantize(weight, scheme), torch.float32).double().t()
    error = float((made.double() - wanted).norm() / wanted.norm())
    assert error < (WIDE if contestant.name.startswith("ma") else ROUNDED)
