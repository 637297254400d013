"""SiLU(gate) * up of a fused projection (M, 2K), gate first as in Llama; also as 8-bit codes.

SiLU is made in float32 and rounded to the type of its input, and so is the product. I/O of
``silu_quantize``: 4 bytes read and 1 written per result.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.activation.launch import (
    LONGEST,
    early,
    options,
    padded,
    require,
    require_element,
    warps,
)
from qbench.kernels.activation.reference import CODES
from qbench.kernels.activation.rounding import codes_of, narrowed, reciprocal, start, token_step
from qbench.kernels.schemes import Element


def silu_multiply(gate_up: Tensor) -> Tensor:
    """Return SiLU(gate) * up, (M, K) of (M, 2K). Raises Unsupported: see ``launch.require``."""
    made = _halved(gate_up, gate_up.dtype)
    _start(gate_up, made, None, "none")
    return made


def silu_quantize(gate_up: Tensor, element: Element) -> tuple[Tensor, Tensor]:
    """Return ``quantize_tokens(silu_multiply(gate_up), element)``: codes (M, K), scales (M, 1).

    Raises Unsupported: see ``launch.require``.
    """
    require_element(gate_up, element)
    codes = _halved(gate_up, CODES[element])
    scale = torch.empty(len(codes), 1, dtype=torch.float32, device=gate_up.device)
    _start(gate_up, codes, scale, element)
    return codes, scale


def _halved(gate_up: Tensor, dtype: torch.dtype) -> Tensor:
    if gate_up.ndim != 2 or gate_up.shape[1] % 2:
        raise Unsupported(
            f"Gate and up cannot be told apart in {tuple(gate_up.shape)}.",
            hint="Give (tokens, 2 * columns), the gate's columns first.",
        )
    tokens, columns = gate_up.shape
    require(gate_up, longest=2 * LONGEST)
    return torch.empty(tokens, columns // 2, dtype=dtype, device=gate_up.device)


def _start(gate_up: Tensor, made: Tensor, scale: Tensor | None, element: str) -> None:
    tokens, columns = made.shape
    _silu[(tokens,)](
        gate_up,
        made,
        made if scale is None else scale,
        columns,
        padded(columns),
        element,
        early(gate_up),
        num_warps=warps(tokens, columns),
        **options(gate_up),
    )


@triton.jit
def _silu(
    gate_up,
    made,
    scale,
    COLUMNS: tl.constexpr,
    PADDED: tl.constexpr,
    ELEMENT: tl.constexpr,
    EARLY: tl.constexpr,
):
    start(EARLY)
    token = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, PADDED)
    inside = columns < COLUMNS
    dtype = gate_up.dtype.element_ty
    first = gate_up + token * (2 * COLUMNS) + columns
    gate = tl.load(first, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(first + COLUMNS, mask=inside, other=0.0).to(tl.float32)
    opened = narrowed(gate / (1.0 + tl.exp(-gate)), dtype).to(tl.float32)
    product = narrowed(opened * up, dtype)
    places = token * COLUMNS + columns
    if ELEMENT == "none":
        tl.store(made + places, product, mask=inside)
    else:
        values = product.to(tl.float32)
        step = token_step(tl.max(tl.abs(values), axis=0), ELEMENT)
        tl.store(made + places, codes_of(values, step, reciprocal(step), ELEMENT), mask=inside)
        tl.store(scale + token, step)
