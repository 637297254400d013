"""Activations to 8-bit codes: one scale per token, or per 128 columns of a token.

One pass over memory: a program holds its token in registers, finds the peak, and writes codes.
Nothing is checked for NaN or infinity, which would need the host to wait; see the reference.
I/O: 2 bytes read and 1 written per value, and the scales.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.activation.launch import early, options, padded, require, require_element, warps
from qbench.kernels.activation.reference import CODES
from qbench.kernels.activation.rounding import codes_of, reciprocal, start, token_step
from qbench.kernels.schemes import Element

GROUP = 128
"""Columns that share a scale in ``quantize_groups``."""
_GROUPS = 16


def quantize_tokens(x: Tensor, element: Element) -> tuple[Tensor, Tensor]:
    """Return codes (M, K) of ``element`` (int8 or e4m3) and float32 scales (M, 1).

    Equal to the reference bit for bit. Raises Unsupported: see ``launch.require``.
    """
    require(x)
    require_element(x, element)
    tokens, columns = x.shape
    codes = torch.empty_like(x, dtype=CODES[element])
    scale = torch.empty(tokens, 1, dtype=torch.float32, device=x.device)
    _quantize_tokens[(tokens,)](
        x,
        codes,
        scale,
        columns,
        padded(columns),
        element,
        early(x),
        num_warps=warps(tokens, columns),
        **options(x),
    )
    return codes, scale


def quantize_groups(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return E4M3 codes (M, K) and float32 scales (M, K / 128).

    Equal to the reference bit for bit. Raises Unsupported: see ``launch.require``, and columns
    that are not whole groups.
    """
    require(x)
    require_element(x, "e4m3")
    tokens, columns = x.shape
    if columns % GROUP:
        raise Unsupported(
            f"Groups of {GROUP} do not divide {columns} columns.", hint="Use quantize_tokens."
        )
    codes = torch.empty_like(x, dtype=torch.float8_e4m3fn)
    scale = torch.empty(tokens, columns // GROUP, dtype=torch.float32, device=x.device)
    groups = scale.numel()
    _quantize_groups[(-(-groups // _GROUPS),)](
        x, codes, scale, groups, _GROUPS, early(x), num_warps=2, **options(x)
    )
    return codes, scale


@triton.jit
def _quantize_tokens(
    x,
    codes,
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
    values = tl.load(x + token * COLUMNS + columns, mask=inside, other=0.0).to(tl.float32)
    step = token_step(tl.max(tl.abs(values), axis=0), ELEMENT)
    made = codes_of(values, step, reciprocal(step), ELEMENT)
    tl.store(codes + token * COLUMNS + columns, made, mask=inside)
    tl.store(scale + token, step)


@triton.jit
def _quantize_groups(x, codes, scale, groups, GROUPS: tl.constexpr, EARLY: tl.constexpr):
    start(EARLY)
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    inside = group < groups
    places = group[:, None] * 128 + tl.arange(0, 128)[None, :]
    values = tl.load(x + places, mask=inside[:, None], other=0.0).to(tl.float32)
    step = token_step(tl.max(tl.abs(values), axis=1), "e4m3")
    inverse = reciprocal(step)
    tl.store(
        codes + places,
        codes_of(values, step[:, None], inverse[:, None], "e4m3"),
        mask=inside[:, None],
    )
    tl.store(scale + group, step, mask=inside)
