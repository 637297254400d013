"""RMSNorm as Llama does it, and the same with 8-bit codes of its result.

``gain * (x / rms(x))``: the root mean square in float32, the quotient rounded to the type of x,
the product with the gain rounded again. A residual is added first, and rounded. I/O of
``norm_quantize``: 2 bytes read and 1 written per value; with a residual 4 read and 3 written.
"""

from __future__ import annotations

from typing import overload

import torch
import triton
import triton.language as tl
from torch import Tensor

from qbench.kernels.activation.launch import early, options, padded, require, require_element, warps
from qbench.kernels.activation.reference import CODES
from qbench.kernels.activation.rounding import codes_of, narrowed, reciprocal, start, token_step
from qbench.kernels.schemes import Element


@overload
def norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor: ...
@overload
def norm(x: Tensor, gain: Tensor, epsilon: float, residual: Tensor) -> tuple[Tensor, Tensor]: ...
def norm(
    x: Tensor, gain: Tensor, epsilon: float, residual: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return RMSNorm (M, K) of ``x``; with a residual, of their sum, and that sum beside it.

    Sums run in another order than the reference's: now and then a value is its 16-bit neighbour.
    Raises Unsupported: see ``launch.require``.
    """
    require(x, gain, *(() if residual is None else (residual,)))
    made = torch.empty_like(x)
    total = x if residual is None else torch.empty_like(x)
    _start(x, gain, epsilon, residual, total, made, None, "none")
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
    """Return ``quantize_tokens(norm(...), element)``; with a residual, the sum as a third.

    Raises Unsupported: see ``launch.require``.
    """
    require(x, gain, *(() if residual is None else (residual,)))
    require_element(x, element)
    codes = torch.empty_like(x, dtype=CODES[element])
    scale = torch.empty(x.shape[0], 1, dtype=torch.float32, device=x.device)
    total = x if residual is None else torch.empty_like(x)
    _start(x, gain, epsilon, residual, total, codes, scale, element)
    return (codes, scale) if residual is None else (codes, scale, total)


def _start(
    x: Tensor,
    gain: Tensor,
    epsilon: float,
    residual: Tensor | None,
    total: Tensor,
    made: Tensor,
    scale: Tensor | None,
    element: str,
) -> None:
    tokens, columns = x.shape
    _norm[(tokens,)](
        x,
        gain,
        x if residual is None else residual,
        total,
        made,
        gain if scale is None else scale,
        epsilon,
        columns,
        padded(columns),
        residual is not None,
        element,
        early(x),
        num_warps=warps(tokens, columns),
        **options(x),
    )


@triton.jit
def _norm(
    x,
    gain,
    residual,
    total,
    made,
    scale,
    epsilon,
    COLUMNS: tl.constexpr,
    PADDED: tl.constexpr,
    ADDED: tl.constexpr,
    ELEMENT: tl.constexpr,
    EARLY: tl.constexpr,
):
    start(EARLY)
    token = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, PADDED)
    inside = columns < COLUMNS
    places = token * COLUMNS + columns
    dtype = x.dtype.element_ty
    values = tl.load(x + places, mask=inside, other=0.0).to(tl.float32)
    if ADDED:
        before = tl.load(residual + places, mask=inside, other=0.0).to(tl.float32)
        added = narrowed(values + before, dtype)
        tl.store(total + places, added, mask=inside)
        values = added.to(tl.float32)
    factors = tl.load(gain + columns, mask=inside, other=0.0).to(tl.float32)
    root = tl.rsqrt(tl.div_rn(tl.sum(values * values, axis=0), COLUMNS * 1.0) + epsilon)
    normed = narrowed(narrowed(values * root, dtype).to(tl.float32) * factors, dtype)
    if ELEMENT == "none":
        tl.store(made + places, normed, mask=inside)
    else:
        values = normed.to(tl.float32)
        step = token_step(tl.max(tl.abs(values), axis=0), ELEMENT)
        tl.store(made + places, codes_of(values, step, reciprocal(step), ELEMENT), mask=inside)
        tl.store(scale + token, step)
