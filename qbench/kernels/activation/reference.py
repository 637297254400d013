"""What the programs of this room compute, in plain torch: the same names and signatures.

Made of ``kernels.reference`` and ``kernels.rotation``, so they run anywhere and raise what those
raise: EngineError for NaN and infinity, Unsupported for groups that do not divide.
"""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor
from torch.nn import functional

from qbench.kernels.formats import E4M3_GROUP, E4M3_TOKEN, INT8_TOKEN
from qbench.kernels.reference import fake_quantize, quantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import Element, Scheme

TOKEN_SCHEMES: dict[Element, Scheme] = {"int8": INT8_TOKEN, "e4m3": E4M3_TOKEN}
"""Schemes with one scale per token, by element."""
CODES: dict[Element, torch.dtype] = {"int8": torch.int8, "e4m3": torch.float8_e4m3fn}
"""Types of their codes."""


def quantize_tokens(x: Tensor, element: Element) -> tuple[Tensor, Tensor]:
    """Return codes (M, K) and float32 scales (M, 1)."""
    made = quantize(x, TOKEN_SCHEMES[element])
    return made.codes, made.step


def quantize_groups(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return E4M3 codes (M, K) and float32 scales (M, K / 128)."""
    made = quantize(x, E4M3_GROUP)
    return made.codes, made.step


def rotate_quantize(x: Tensor, block: int, element: Element) -> tuple[Tensor, Tensor]:
    """Return ``quantize_tokens`` of ``x`` rotated by blocks of ``block``."""
    return quantize_tokens(rotate(x, block), element)


def rotate_round(x: Tensor, block: int | None, scheme: Scheme) -> Tensor:
    """Return ``x`` rotated, if by any block, and rounded to ``scheme``."""
    return fake_quantize(x if block is None else rotate(x, block), scheme)


def rotate_pack(
    x: Tensor, block: int | None, scheme: Scheme
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return 4-bit codes two a byte, scales as they are stored, and g of NVFP4."""
    made = quantize(x if block is None else rotate(x, block), scheme)
    codes = made.codes & 15
    packed = (codes[:, 0::2] | (codes[:, 1::2] << 4)).view(torch.uint8)
    if scheme.scale_dtype == "e8m0":
        exponents = torch.frexp(made.scale)[1] + 126
        return packed, exponents.to(torch.uint8), None
    if scheme.two_level:
        return packed, made.scale.to(torch.float8_e4m3fn), made.global_scale
    return packed, made.scale, None


@overload
def norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor: ...
@overload
def norm(x: Tensor, gain: Tensor, epsilon: float, residual: Tensor) -> tuple[Tensor, Tensor]: ...
def norm(
    x: Tensor, gain: Tensor, epsilon: float, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return Llama's RMSNorm of ``x``; with a residual, of their sum, and that sum."""
    total = x if residual is None else x + residual
    wide = total.float()
    root = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    made = gain * (wide * root).to(x.dtype)
    return made if residual is None else (made, total)


@overload
def norm_quantize(
    x: Tensor, gain: Tensor, epsilon: float, element: Element
) -> tuple[Tensor, Tensor]: ...
@overload
def norm_quantize(
    x: Tensor, gain: Tensor, epsilon: float, element: Element, residual: Tensor
) -> tuple[Tensor, Tensor, Tensor]: ...
def norm_quantize(
    x: Tensor, gain: Tensor, epsilon: float, element: Element, residual: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Return ``quantize_tokens`` of ``norm``; with a residual, the sum as a third."""
    if residual is None:
        return quantize_tokens(norm(x, gain, epsilon), element)
    made, total = norm(x, gain, epsilon, residual)
    return (*quantize_tokens(made, element), total)


def silu_multiply(gate_up: Tensor) -> Tensor:
    """Return SiLU(gate) * up of (M, 2K), the gate's columns first."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up


def silu_quantize(gate_up: Tensor, element: Element) -> tuple[Tensor, Tensor]:
    """Return ``quantize_tokens`` of ``silu_multiply``."""
    return quantize_tokens(silu_multiply(gate_up), element)
