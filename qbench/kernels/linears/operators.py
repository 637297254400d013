"""Torch operators (namespace ``qbench``) for activations: ``torch.compile`` keeps them as they are.

On a GPU each runs its Triton program, elsewhere its reference in plain torch; fake kernels give
shapes and types, so that graphs are traced without either. Triton is imported by the first call
on a GPU. Operators take plain values: a scheme is named by the format whose activations it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef
from torch.library import custom_op

from qbench.errors import Unsupported
from qbench.kernels.activation import reference
from qbench.kernels.activation.reference import CODES
from qbench.kernels.formats import get_format
from qbench.kernels.schemes import Element, Scheme

_PROGRAMS = {
    "quantize_tokens": "quantizing",
    "quantize_groups": "quantizing",
    "rotate_quantize": "rotating",
    "rotate_round": "fourbits",
    "rotate_pack": "fourbits",
    "norm": "norms",
    "norm_quantize": "norms",
    "silu_multiply": "gating",
    "silu_quantize": "gating",
}
"""Where each program is."""
_PACKED_SCALES = {
    "e8m0": torch.uint8,
    "e4m3": torch.float8_e4m3fn,
    "float32": torch.float32,
}


@cache
def _program(name: str) -> Callable[..., Any]:
    """Return a Triton program. Raises Unsupported where Triton is not installed."""
    try:
        room = importlib.import_module(f"qbench.kernels.activation.{_PROGRAMS[name]}")
    except ModuleNotFoundError as error:
        raise Unsupported(
            f"{name} on a GPU needs Triton.", hint="pip install triton, or use the CPU."
        ) from error
    return cast("Callable[..., Any]", getattr(room, name))


def _on_gpus(operator: CustomOpDef, name: str) -> None:
    """Let ``operator`` run the program of the same arguments on CUDA tensors."""

    def run(*given: Any) -> Any:
        return _program(name)(*given)

    operator.register_kernel("cuda")(run)


@cache
def _scheme(name: str) -> Scheme:
    """Return the activations' scheme of a format."""
    scheme = get_format(name).activations
    if scheme is None:
        raise Unsupported(
            f"{name} keeps activations in 16 bits.", hint="Name mxfp4, nvfp4 or int4-mr."
        )
    return scheme


def _coded(x: Tensor, element: str, scales: int = 1) -> tuple[Tensor, Tensor]:
    """Return codes and scales without contents."""
    rows = x.shape[0]
    codes = x.new_empty(x.shape, dtype=CODES[cast("Element", element)])
    return codes, x.new_empty(rows, scales, dtype=torch.float32)


def _gated(gate_up: Tensor) -> Tensor:
    return gate_up.new_empty(gate_up.shape[0], gate_up.shape[1] // 2)


@custom_op("qbench::quantize_tokens", mutates_args=(), device_types="cpu")
def quantize_tokens(x: Tensor, element: str) -> tuple[Tensor, Tensor]:
    """See ``activation.quantizing.quantize_tokens``."""
    return reference.quantize_tokens(x, cast("Element", element))


@custom_op("qbench::quantize_groups", mutates_args=(), device_types="cpu")
def quantize_groups(x: Tensor) -> tuple[Tensor, Tensor]:
    """See ``activation.quantizing.quantize_groups``."""
    return reference.quantize_groups(x)


@custom_op("qbench::rotate_quantize", mutates_args=(), device_types="cpu")
def rotate_quantize(x: Tensor, block: int, element: str) -> tuple[Tensor, Tensor]:
    """See ``activation.rotating.rotate_quantize``."""
    return reference.rotate_quantize(x, block, cast("Element", element))


@custom_op("qbench::rotate_round", mutates_args=(), device_types="cpu")
def rotate_round(x: Tensor, block: int | None, scheme: str) -> Tensor:
    """See ``activation.fourbits.rotate_round``; ``scheme`` is a format's name."""
    return reference.rotate_round(x, block, _scheme(scheme))


@custom_op("qbench::rotate_pack", mutates_args=(), device_types="cpu")
def rotate_pack(x: Tensor, block: int | None, scheme: str) -> tuple[Tensor, Tensor, Tensor]:
    """See ``activation.fourbits.rotate_pack``; what is None there has no rows here."""
    return _three(reference.rotate_pack(x, block, _scheme(scheme)))


@custom_op("qbench::norm", mutates_args=(), device_types="cpu")
def norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """See ``activation.norms.norm``."""
    return reference.norm(x, gain, epsilon)


@custom_op("qbench::add_norm", mutates_args=(), device_types="cpu")
def add_norm(x: Tensor, gain: Tensor, epsilon: float, residual: Tensor) -> tuple[Tensor, Tensor]:
    """See ``activation.norms.norm`` with a residual: the norm, and the sum."""
    return reference.norm(x, gain, epsilon, residual)


@custom_op("qbench::norm_quantize", mutates_args=(), device_types="cpu")
def norm_quantize(x: Tensor, gain: Tensor, epsilon: float, element: str) -> tuple[Tensor, Tensor]:
    """See ``activation.norms.norm_quantize``."""
    return reference.norm_quantize(x, gain, epsilon, cast("Element", element))


@custom_op("qbench::add_norm_quantize", mutates_args=(), device_types="cpu")
def add_norm_quantize(
    x: Tensor, gain: Tensor, epsilon: float, element: str, residual: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """See ``activation.norms.norm_quantize`` with a residual: codes, scales, and the sum."""
    return reference.norm_quantize(x, gain, epsilon, cast("Element", element), residual)


@custom_op("qbench::silu_multiply", mutates_args=(), device_types="cpu")
def silu_multiply(gate_up: Tensor) -> Tensor:
    """See ``activation.gating.silu_multiply``."""
    return reference.silu_multiply(gate_up)


@custom_op("qbench::silu_quantize", mutates_args=(), device_types="cpu")
def silu_quantize(gate_up: Tensor, element: str) -> tuple[Tensor, Tensor]:
    """See ``activation.gating.silu_quantize``."""
    return reference.silu_quantize(gate_up, cast("Element", element))


def _three(made: tuple[Tensor, Tensor, Tensor | None]) -> tuple[Tensor, Tensor, Tensor]:
    """Return a factor without rows where there is none."""
    codes, scale, factor = made
    return codes, scale, scale.new_empty(0, 1, dtype=torch.float32) if factor is None else factor


_on_gpus(quantize_tokens, "quantize_tokens")
_on_gpus(quantize_groups, "quantize_groups")
_on_gpus(rotate_quantize, "rotate_quantize")
_on_gpus(norm, "norm")
_on_gpus(add_norm, "norm")
_on_gpus(norm_quantize, "norm_quantize")
_on_gpus(add_norm_quantize, "norm_quantize")
_on_gpus(silu_multiply, "silu_multiply")
_on_gpus(silu_quantize, "silu_quantize")


@rotate_round.register_kernel("cuda")
def _rotate_round(x: Tensor, block: int | None, scheme: str) -> Tensor:
    return cast("Tensor", _program("rotate_round")(x, block, _scheme(scheme)))


@rotate_pack.register_kernel("cuda")
def _rotate_pack(x: Tensor, block: int | None, scheme: str) -> tuple[Tensor, Tensor, Tensor]:
    return _three(_program("rotate_pack")(x, block, _scheme(scheme)))


@quantize_tokens.register_fake
def _quantize_tokens_shapes(x: Tensor, element: str) -> tuple[Tensor, Tensor]:
    return _coded(x, element)


@quantize_groups.register_fake
def _quantize_groups_shapes(x: Tensor) -> tuple[Tensor, Tensor]:
    return _coded(x, "e4m3", x.shape[1] // 128)


@rotate_quantize.register_fake
def _rotate_quantize_shapes(x: Tensor, block: int, element: str) -> tuple[Tensor, Tensor]:
    del block
    return _coded(x, element)


@rotate_round.register_fake
def _rotate_round_shapes(x: Tensor, block: int | None, scheme: str) -> Tensor:
    del block, scheme
    return torch.empty_like(x)


@rotate_pack.register_fake
def _rotate_pack_shapes(x: Tensor, block: int | None, scheme: str) -> tuple[Tensor, Tensor, Tensor]:
    del block
    found = _scheme(scheme)
    rows, columns = x.shape
    return (
        x.new_empty(rows, columns // 2, dtype=torch.uint8),
        x.new_empty(rows, columns // (found.group or 1), dtype=_PACKED_SCALES[found.scale_dtype]),
        x.new_empty(rows if found.two_level else 0, 1, dtype=torch.float32),
    )


@norm.register_fake
def _norm_shapes(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    del gain, epsilon
    return torch.empty_like(x)


@add_norm.register_fake
def _add_norm_shapes(
    x: Tensor, gain: Tensor, epsilon: float, residual: Tensor
) -> tuple[Tensor, Tensor]:
    del gain, epsilon, residual
    return torch.empty_like(x), torch.empty_like(x)


@norm_quantize.register_fake
def _norm_quantize_shapes(
    x: Tensor, gain: Tensor, epsilon: float, element: str
) -> tuple[Tensor, Tensor]:
    del gain, epsilon
    return _coded(x, element)


@add_norm_quantize.register_fake
def _add_norm_quantize_shapes(
    x: Tensor, gain: Tensor, epsilon: float, element: str, residual: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    del gain, epsilon, residual
    return (*_coded(x, element), torch.empty_like(x))


@silu_multiply.register_fake
def _silu_multiply_shapes(gate_up: Tensor) -> Tensor:
    return _gated(gate_up)


@silu_quantize.register_fake
def _silu_quantize_shapes(gate_up: Tensor, element: str) -> tuple[Tensor, Tensor]:
    return _coded(_gated(gate_up), element)
