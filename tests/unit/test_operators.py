"""Operators of the activation programs: schema, fake kernels, and graphs that keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._library.custom_ops import CustomOpDef
from torch.library import opcheck

from qbench.errors import Unsupported
from qbench.kernels.activation import reference
from qbench.kernels.formats import FORMATS
from qbench.kernels.linears import operators

EPSILON = 1e-5


def tokens(columns: int = 256) -> torch.Tensor:
    return torch.randn(3, columns, generator=torch.Generator().manual_seed(1)).bfloat16()


GAIN = torch.linspace(0.5, 1.5, 256).bfloat16()
CALLS: list[tuple[CustomOpDef, tuple[Any, ...]]] = [
    (operators.quantize_tokens, ("int8",)),
    (operators.quantize_tokens, ("e4m3",)),
    (operators.quantize_groups, ()),
    (operators.rotate_quantize, (64, "int8")),
    (operators.rotate_round, (None, "mxfp4")),
    (operators.rotate_round, (128, "nvfp4")),
    (operators.rotate_pack, (None, "nvfp4")),
    (operators.rotate_pack, (32, "mxfp4")),
    (operators.rotate_pack, (32, "int4-mr")),
    (operators.norm, (GAIN, EPSILON)),
    (operators.add_norm, (GAIN, EPSILON, tokens().flip(0))),
    (operators.norm_quantize, (GAIN, EPSILON, "int8")),
    (operators.add_norm_quantize, (GAIN, EPSILON, "e4m3", tokens().flip(0))),
    (operators.silu_multiply, ()),
    (operators.silu_quantize, ("int8",)),
]
each = pytest.mark.parametrize(("operator", "rest"), CALLS)


@each
def test_schema_and_fake_kernel_are_true(operator: CustomOpDef, rest: tuple[Any, ...]) -> None:
    opcheck(operator, (tokens(), *rest), test_utils=("test_schema", "test_faketensor"))


@each
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_graph_keeps_the_operator(
    operator: CustomOpDef, rest: tuple[Any, ...], backend: str
) -> None:
    torch.compiler.reset()

    def layer(x: torch.Tensor) -> Any:
        return operator(x * 2, *rest)

    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    found, wanted = compiled(tokens()), layer(tokens())
    found, wanted = ((t,) if isinstance(t, torch.Tensor) else t for t in (found, wanted))
    assert all(torch.equal(f.float(), w.float()) for f, w in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("operator", "plain"),
    [
        (operators.quantize_groups, reference.quantize_groups),
        (operators.silu_multiply, reference.silu_multiply),
    ],
)
def test_on_a_cpu_the_reference_answers(
    operator: CustomOpDef, plain: Callable[[torch.Tensor], Any]
) -> None:
    found, wanted = operator(tokens()), plain(tokens())
    for f, w in zip(found, wanted, strict=True):
        assert torch.equal(f.float(), w.float())


def test_a_factor_that_a_format_lacks_has_no_rows() -> None:
    codes, scale, factor = operators.rotate_pack(tokens(), None, "mxfp4")
    assert codes.shape == (3, 128)
    assert scale.shape == (3, 8)
    assert factor.shape == (0, 1)
    assert operators.rotate_pack(tokens(), None, "nvfp4")[2].shape == (3, 1)


def test_every_format_with_small_activations_has_a_name_here() -> None:
    scheme = FORMATS["nvfp4"].activations
    assert scheme is not None
    found = operators.rotate_round(tokens(), 16, "nvfp4")
    assert torch.equal(found, reference.rotate_round(tokens(), 16, scheme))


def test_formats_with_wide_activations_are_refused() -> None:
    with pytest.raises(Unsupported, match="w4a16 keeps activations"):
        operators.rotate_round(tokens(), None, "w4a16")
