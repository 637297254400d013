"""Block Hadamard rotation and quantization of its result in one pass over memory.

A program holds its token: rotates it (see ``turning``), finds the peak, writes codes. The rotated
values are rounded to the type of x, as the reference's are, before anything is made of them. I/O:
2 bytes read and 1 written per value.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.activation.launch import (
    early,
    options,
    programs,
    require,
    require_element,
    rotation_warps,
    rows,
    stages,
)
from qbench.kernels.activation.reference import CODES
from qbench.kernels.activation.rounding import codes_of, narrowed, reciprocal, start, token_step
from qbench.kernels.activation.turning import largest, pieces, placed, scaled, signs, turned
from qbench.kernels.schemes import Element

BLOCKS = (16, 32, 64, 128)
"""Columns of a Hadamard block."""


def rotate_quantize(x: Tensor, block: int, element: Element) -> tuple[Tensor, Tensor]:
    """Return codes (M, K) and float32 scales (M, 1) of ``x`` rotated by blocks of ``block``.

    Sums run in another order than the reference's: a rotated value may be its 16-bit neighbour,
    and where it is the peak, or lies between two codes, codes differ by one.

    Raises:
        Unsupported: see ``launch.require``; or blocks that do not divide the columns.

    """
    refuse_block(x, block)
    require(x)
    require_element(x, element)
    tokens, columns = x.shape
    codes = torch.empty_like(x, dtype=CODES[element])
    scale = torch.empty(tokens, 1, dtype=torch.float32, device=x.device)
    _rotate_quantize[(programs(x),)](
        x,
        codes,
        scale,
        tokens,
        columns,
        rows(columns),
        block,
        element,
        stages(x),
        early(x),
        num_warps=rotation_warps(columns),
        **options(x),
    )
    return codes, scale


def refuse_block(x: Tensor, block: int) -> None:
    """Refuse blocks that no program has, or that do not divide the columns."""
    if block not in BLOCKS or x.shape[-1] % block:
        raise Unsupported(
            f"Rotation by blocks of {block} does not fit {x.shape[-1]} columns.",
            hint=f"Use one of {BLOCKS} that divides them: qbench.kernels.formats.fitted.",
        )


@triton.jit
def _wide(piece, BLOCK: tl.constexpr, dtype: tl.constexpr):
    """Return rotated values as the reference has them: of 16 bits, here in float32."""
    return narrowed(scaled(piece, BLOCK), dtype).to(tl.float32)


@triton.jit
def _rotate_quantize(
    x,
    codes,
    scale,
    tokens,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    ELEMENT: tl.constexpr,
    STAGES: tl.constexpr,
    EARLY: tl.constexpr,
):
    columns = placed(ROWS)
    dtype: tl.constexpr = x.dtype.element_ty
    matrix = signs(BLOCK, dtype)
    start(EARLY)
    for each in tl.range(tl.program_id(0), tokens, tl.num_programs(0), num_stages=STAGES):
        token = tl.cast(each, tl.int64)
        a, b, c, d = pieces(x + token * COLUMNS, columns, COLUMNS)
        a, b, c, d = turned(a, b, c, d, matrix, BLOCK)
        peak = _wide(largest(a, b, c, d), BLOCK, dtype)
        step = token_step(peak, ELEMENT)
        inverse = reciprocal(step)
        first = codes + token * COLUMNS + columns
        a = codes_of(_wide(a, BLOCK, dtype), step, inverse, ELEMENT)
        b = codes_of(_wide(b, BLOCK, dtype), step, inverse, ELEMENT)
        c = codes_of(_wide(c, BLOCK, dtype), step, inverse, ELEMENT)
        d = codes_of(_wide(d, BLOCK, dtype), step, inverse, ELEMENT)
        tl.store(first, a, mask=columns < COLUMNS)
        tl.store(first + 32, b, mask=columns + 32 < COLUMNS)
        tl.store(first + 64, c, mask=columns + 64 < COLUMNS)
        tl.store(first + 96, d, mask=columns + 96 < COLUMNS)
        tl.store(scale + token, step)
