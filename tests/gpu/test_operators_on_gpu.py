"""Operators on a GPU run the programs, and compiled graphs keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.library import opcheck

pytest.importorskip("triton")

from qbench.kernels.activation import fourbits, gating, norms, quantizing, rotating
from qbench.kernels.formats import FORMATS
from qbench.kernels.linears import operators

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU"),
]

EPSILON = 1e-5
MXFP4, NVFP4 = FORMATS["mxfp4"].activations, FORMATS["nvfp4"].activations
TOKENS = "x"
"""Stands for another (M, K) tensor in a call."""
CALLS: list[tuple[Any, Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = [
    (operators.quantize_tokens, quantizing.quantize_tokens, ("int8",), ("int8",)),
    (operators.quantize_groups, quantizing.quantize_groups, (), ()),
    (operators.rotate_quantize, rotating.rotate_quantize, (64, "e4m3"), (64, "e4m3")),
    (operators.rotate_round, fourbits.rotate_round, (128, "mxfp4"), (128, MXFP4)),
    (operators.rotate_pack, fourbits.rotate_pack, (None, "nvfp4"), (None, NVFP4)),
    (operators.silu_multiply, gating.silu_multiply, (), ()),
    (operators.silu_quantize, gating.silu_quantize, ("e4m3",), ("e4m3",)),
]
each = pytest.mark.parametrize(("operator", "program", "named", "given"), CALLS)


def tokens() -> torch.Tensor:
    return torch.randn(17, 4096, device="cuda").bfloat16()


def tensors(made: Any) -> tuple[torch.Tensor, ...]:
    return (made,) if isinstance(made, torch.Tensor) else tuple(made)


@each
def test_the_operator_is_the_program(
    operator: Any, program: Callable[..., Any], named: tuple[Any, ...], given: tuple[Any, ...]
) -> None:
    x = tokens()
    opcheck(operator, (x, *named), test_utils=("test_schema", "test_faketensor"))
    found, wanted = tensors(operator(x, *named)), tensors(program(x, *given))
    assert all(torch.equal(f.float(), w.float()) for f, w in zip(found, wanted, strict=True))


def test_norms_are_the_programs() -> None:
    x, residual = tokens(), tokens()
    gain = torch.randn(4096, device="cuda").bfloat16()
    assert torch.equal(operators.norm(x, gain, EPSILON), norms.norm(x, gain, EPSILON))
    found = operators.add_norm_quantize(x, gain, EPSILON, "e4m3", residual)
    wanted = norms.norm_quantize(x, gain, EPSILON, "e4m3", residual)
    assert all(torch.equal(f.float(), w.float()) for f, w in zip(found, wanted, strict=True))


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_graph_keeps_the_operators(backend: str) -> None:
    torch.compiler.reset()
    gain = torch.randn(4096, device="cuda").bfloat16()

    def layer(x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, ...]:
        normed, total = operators.add_norm(x, gain, EPSILON, residual)
        return (*operators.rotate_quantize(normed * 2, 128, "e4m3"), total)

    x, residual = tokens(), tokens()
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    found, wanted = compiled(x, residual), layer(x, residual)
    assert all(torch.equal(f.float(), w.float()) for f, w in zip(found, wanted, strict=True))
