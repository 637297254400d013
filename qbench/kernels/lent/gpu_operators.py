"""What a served layer does to its inputs, as operators that torch.compile keeps whole.

vLLM compiles a model once and replays CUDA graphs of it, so nothing here waits for the GPU. All
numbers that differ between layers of one shape come as tensors: then their graphs are the same,
and are compiled once. That is why these are not the operators of ``product_operators``, which take
a weight's factor as a number. ``factor`` lies in the CPU's memory: reading it waits for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import torch
from msgspec import Struct
from torch import Tensor
from torch.library import Library, register_fake

from qbench.errors import Unsupported
from qbench.kernels.activation.fourbits import rotate_round
from qbench.kernels.activation.quantizing import quantize_tokens
from qbench.kernels.activation.rotating import rotate_quantize
from qbench.kernels.gemm.multiply import multiply
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.reference import fake_quantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import Element, Scheme

_LIBRARY: Any = Library("qbench_vllm", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("inputs(Tensor x, Tensor? shared, int block, str scheme) -> Tensor")
_LIBRARY.define("product(Tensor x, Tensor[] parts, Tensor factor, int rows, str rest) -> Tensor")


class Parts(Struct, frozen=True, kw_only=True):
    """A packed weight taken apart for an operator."""

    tensors: dict[str, Tensor]
    """By the names of its fields."""
    factor: Tensor
    """One float32 number in the CPU's memory."""
    rows: int
    rest: str
    """The other fields, and the names of the tensors, as JSON."""


def taken_apart(weight: PackedWeight) -> Parts:
    """Return what ``product`` wants of a weight."""
    fields = msgspec.structs.asdict(weight)
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    rest = {name: value for name, value in fields.items() if name not in (*tensors, "factor")}
    return Parts(
        tensors=tensors,
        factor=torch.tensor(weight.factor, dtype=torch.float32, device="cpu"),
        rows=weight.rows,
        rest=msgspec.json.encode([rest, [*tensors]]).decode(),
    )


@lru_cache(maxsize=4096)
def _read(rest: str) -> tuple[dict[str, Any], list[str]]:
    fields, names = msgspec.json.decode(rest)
    for name in ("scheme", "activations"):
        if fields.get(name) is not None:
            fields[name] = msgspec.convert(fields[name], Scheme)
    return fields, names


@lru_cache(maxsize=64)
def _scheme(text: str) -> Scheme | None:
    found: Scheme | None = msgspec.json.decode(text, type=Scheme | None)
    return found


def _product(x: Tensor, parts: Sequence[Tensor], factor: Tensor, rows: int, rest: str) -> Tensor:
    """Return x (M, K) times the weight (N, K) transposed."""
    del rows
    fields, names = _read(rest)
    given = fields | dict(zip(names, parts, strict=True)) | {"factor": factor.item()}
    return multiply(x.contiguous(), PackedWeight(**given))


def _inputs(x: Tensor, shared: Tensor | None, block: int, scheme: str) -> Tensor:
    """Return x (M, K) rotated by blocks of ``block``, if any, and rounded, if at all."""
    x, how = x.contiguous(), _scheme(scheme)
    if how is None:
        return rotate(x, block) if block else x.clone()
    if how.strategy == "token":
        return _by_token(x, block, how.element)
    try:
        return rotate_round(x, block or None, how, shared=shared)
    except Unsupported:
        turned = rotate(x, block) if block else x
        return fake_quantize(turned, how, global_scale=shared, checked=False)


def _by_token(x: Tensor, block: int, element: Element) -> Tensor:
    """Return x rotated and rounded to 8 bits by token, in its own type."""
    made = rotate_quantize(x, block, element) if block else quantize_tokens(x, element)
    codes, scale = made
    return (codes.float() * scale).to(x.dtype)


def _product_shape(
    x: Tensor, parts: Sequence[Tensor], factor: Tensor, rows: int, rest: str
) -> Tensor:
    del parts, factor, rest
    return x.new_empty((x.shape[0], rows))


def _inputs_shape(x: Tensor, shared: Tensor | None, block: int, scheme: str) -> Tensor:
    del shared, block, scheme
    return x.new_empty(x.shape)


for _name, _made, _shape in (
    ("product", _product, _product_shape),
    ("inputs", _inputs, _inputs_shape),
):
    _LIBRARY.impl(_name, _made, "CompositeExplicitAutograd")
    register_fake(f"qbench_vllm::{_name}", _shape, lib=_LIBRARY)
