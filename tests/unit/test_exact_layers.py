"""Emulated layers against the definition in float64, on the CPU and, where there is one, a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from qbench.kernels.exact import exact_layer
from qbench.kernels.floats import E2M1, NF4, decode, encode
from qbench.kernels.formats import FORMATS, fitted, get_format
from qbench.kernels.linears.linear import apply_format
from qbench.kernels.reference import FLOATS, quantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import Scheme

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
SCHEMES = [
    (name, side, scheme)
    for name, fmt in sorted(FORMATS.items())
    for side, scheme in (("weights", fmt.weights), ("activations", fmt.activations))
    if scheme is not None
]


def heavy(rows: int, columns: int, seed: int = 0) -> Tensor:
    """Heavy-tailed numbers over many powers of two, a row of zeros among them."""
    torch.manual_seed(seed)
    made = torch.randn(rows, columns) * torch.exp(2 * torch.randn(rows, 1))
    made[:, ::37] *= 12
    made[rows // 2] = 0
    return made.bfloat16()


def layer(columns: int) -> nn.Sequential:
    made = nn.Sequential(nn.Linear(columns, 48).bfloat16())
    made[0].get_parameter("weight").data = heavy(48, columns, seed=1) / columns**0.5
    return made


@torch.no_grad()
@pytest.mark.parametrize("columns", [576, 256])
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_emulated_layer_is_within_its_bound_of_float64(name: str, columns: int) -> None:
    fmt = get_format(name)
    inputs = heavy(6, columns).to(FLOATS[fmt.arithmetic or fmt.storage])
    weight = layer(columns)[0].get_parameter("weight").detach()
    bias = layer(columns)[0].get_parameter("bias").detach()
    for hold in (None, "float32"):
        model = layer(columns)
        torch.nn.init.constant_(model[0].get_parameter("bias"), 0.25)
        torch.nn.init.constant_(bias, 0.25)
        apply_format(model, fmt, multiply_in=hold)
        exact = exact_layer(weight, fmt, inputs, bias)
        error = (model(inputs).double() - exact.outputs).abs()
        assert bool((error <= exact.bound).all())
        assert float(exact.bound.norm() / exact.outputs.norm()) < 0.1


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize(("name", "side", "scheme"), SCHEMES)
def test_a_gpu_makes_the_same_codes_and_scales(name: str, side: str, scheme: Scheme) -> None:
    fit = fitted(get_format(name), 576)
    values = heavy(130, 576)
    given = getattr(fit, side)
    here, there = quantize(values, given), quantize(values.cuda(), given)
    assert torch.equal(here.codes.view(torch.uint8), there.codes.cpu().view(torch.uint8))
    assert torch.equal(here.scale, there.scale.cpu())
    assert torch.equal(here.step, there.step.cpu())
    if here.zero is not None:
        assert there.zero is not None
        assert torch.equal(here.zero, there.zero.cpu())
    assert scheme.element == given.element


@pytest.mark.gpu
@cuda
def test_a_gpu_rotates_and_rounds_as_a_cpu_does() -> None:
    values = heavy(64, 1024)
    assert torch.equal(rotate(values, 128), rotate(values.cuda(), 128).cpu())
    for grid in (E2M1, NF4):
        codes = encode(values, grid)
        assert torch.equal(codes, encode(values.cuda(), grid).cpu())
        assert torch.equal(decode(codes, grid), decode(codes.cuda(), grid).cpu())


@pytest.mark.gpu
@cuda
@torch.no_grad()
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_layer_on_a_gpu_is_within_its_bound_of_float64(name: str) -> None:
    fmt = get_format(name)
    inputs = heavy(6, 576).to(FLOATS[fmt.arithmetic or fmt.storage])
    weight, bias = (layer(576)[0].get_parameter(part).detach() for part in ("weight", "bias"))
    model = layer(576)
    model[0].get_parameter("bias").data = bias.clone()
    apply_format(model.cuda(), fmt)
    exact = exact_layer(weight, fmt, inputs, bias)
    assert bool(((model(inputs.cuda()).cpu().double() - exact.outputs).abs() <= exact.bound).all())
