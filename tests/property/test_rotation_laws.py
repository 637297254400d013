"""Hadamard rotation: laws, the worked example, and where it helps."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.formats import MXFP4, NVFP4
from qbench.kernels.reference import dequantize, quantize
from qbench.kernels.rotation import hadamard, rotate
from qbench.kernels.schemes import Scheme

BLOCKS = st.sampled_from([16, 32, 64, 128])


@st.composite
def rows(draw: st.DrawFn, block: int) -> torch.Tensor:
    seed = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    columns = block * draw(st.integers(1, 3))
    return torch.randn(draw(st.integers(1, 5)), columns, generator=seed, dtype=torch.float64)


@given(block=BLOCKS, data=st.data())
@settings(max_examples=30, deadline=None)
def test_it_keeps_norms_and_undoes_itself(block: int, data: st.DataObject) -> None:
    values = data.draw(rows(block))
    turned = rotate(values, block)
    torch.testing.assert_close(turned.norm(dim=1), values.norm(dim=1), rtol=1e-12, atol=0)
    torch.testing.assert_close(rotate(turned, block), values, rtol=0, atol=1e-12)


@given(block=BLOCKS, data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_fast_transform_is_the_matrix(block: int, data: st.DataObject) -> None:
    values = data.draw(rows(block))
    blocks = values.view(len(values), -1, block) @ hadamard(block)
    torch.testing.assert_close(rotate(values, block), blocks.view_as(values), rtol=0, atol=1e-12)


@given(block=BLOCKS, data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_layer_computes_what_it_did(block: int, data: st.DataObject) -> None:
    inputs = data.draw(rows(block))
    weight = torch.randn(7, inputs.shape[1], dtype=torch.float64)
    turned = rotate(inputs, block) @ rotate(weight, block).T
    torch.testing.assert_close(turned, inputs @ weight.T, rtol=0, atol=1e-10)


@given(block=BLOCKS, data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_row_does_not_see_its_neighbours(block: int, data: st.DataObject) -> None:
    values = data.draw(rows(block)).bfloat16()
    alone = torch.stack([rotate(row, block) for row in values])
    assert torch.equal(rotate(values, block), alone)
    assert rotate(values[None], block).dtype is torch.bfloat16


@pytest.mark.parametrize("block", [1, 2, 16, 32, 64, 128])
def test_the_matrix_is_orthonormal_and_symmetric(block: int) -> None:
    matrix = hadamard(block)
    assert torch.equal(matrix, matrix.T)
    torch.testing.assert_close(matrix @ matrix, torch.eye(block, dtype=torch.float64))
    assert torch.equal(matrix.abs(), torch.full_like(matrix, 1 / math.sqrt(block)))


def test_the_worked_example() -> None:
    """Eight times the fourth unit vector: all entries +-2, norm 8."""
    values = torch.zeros(16)
    values[3] = 8
    turned = rotate(values, 16)
    assert turned.abs().tolist() == [2.0] * 16
    assert float(turned.norm()) == 8.0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"block of 24 columns.*16, 32"):
        hadamard(24)
    with pytest.raises(Unsupported, match=r"32 do not divide 48.*fitted"):
        rotate(torch.ones(2, 48), 32)


def _error(values: torch.Tensor, scheme: Scheme, block: int | None) -> float:
    seen = values if block is None else rotate(values, block)
    back = dequantize(quantize(seen, scheme), torch.float32)
    return float((back - seen).square().mean() / values.square().mean())


def _heavy(name: str) -> torch.Tensor:
    seed = torch.Generator().manual_seed(7)
    if name == "laplace":
        sizes = -torch.rand(512, 1024, generator=seed).clamp_min(1e-9).log()
        return sizes * (torch.rand(512, 1024, generator=seed) < 0.5).float().mul(2).sub(1)
    normal = torch.randn(512, 1024, generator=seed)
    squares = torch.randn(4, 512, 1024, generator=seed).square().sum(0)
    return normal / (squares / 4).sqrt()  # Student's t, 4 degrees of freedom


@pytest.mark.parametrize("tails", ["laplace", "student"])
@pytest.mark.parametrize("block", [32, 128])
def test_mxfp4_gains_on_heavy_tails(tails: str, block: int) -> None:
    """Its power-of-two scale of 32 columns is set by one outlier (arXiv 2509.23202, 4)."""
    values = _heavy(tails)
    assert _error(values, MXFP4, block) < 0.95 * _error(values, MXFP4, None)


def test_nvfp4_loses_on_laplacian_weights() -> None:
    """Groups of 16 hold an outlier nearly exactly; rotated, everything is off by a little."""
    values = _heavy("laplace")
    assert _error(values, NVFP4, 128) > _error(values, NVFP4, None)
