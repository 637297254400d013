"""What a served layer does to its inputs, as an operator that torch.compile keeps whole.

vLLM compiles a model once and replays CUDA graphs of it, so nothing here waits for the GPU. Numbers
that differ between layers of one shape come as tensors: then their graphs are the same, and are
compiled once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.library import Library, register_fake

from qbench.errors import Unsupported
from qbench.kernels.activation.fourbits import rotate_round
from qbench.kernels.activation.quantizing import quantize_tokens
from qbench.kernels.activation.rotating import rotate_quantize
from qbench.kernels.reference import fake_quantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import Element, Scheme

_LIBRARY: Any = Library("qbench_vllm", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("inputs(Tensor x, Tensor? shared, int block, str scheme) -> Tensor")


@lru_cache(maxsize=64)
def _scheme(text: str) -> Scheme | None:
    found: Scheme | None = msgspec.json.decode(text, type=Scheme | None)
    return found


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


def _inputs_shape(x: Tensor, shared: Tensor | None, block: int, scheme: str) -> Tensor:
    del shared, block, scheme
    return x.new_empty(x.shape)


_LIBRARY.impl("inputs", _inputs, "CompositeExplicitAutograd")
register_fake("qbench_vllm::inputs", _inputs_shape, lib=_LIBRARY)
round_inputs: Any = torch.ops.qbench_vllm.inputs
"""The operator: (x (M, K), shared global scale or None, Hadamard block or 0, scheme as JSON)."""
