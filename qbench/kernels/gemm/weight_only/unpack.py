"""Weights back to 16 bits, row by row, for products so large that decoding them once is cheap.

Reading b bits and writing 16 of each weight takes as long as (b / 8 + 2) / 3e12 seconds on an
H100, its product with M tokens 2 M / 8e14: at 2,048 tokens decoding is a seventh of the time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from qbench.kernels.gemm.weight_only.decoding import decoded, fetched, group_scale


@triton.jit
def unpack(
    codes_ptr,
    high_ptr,
    scale_ptr,
    zero_ptr,
    out_ptr,
    factor,
    FIRST,
    LAST,
    K,
    ROWS,
    KIND: tl.constexpr,
    WORDS: tl.constexpr,
    SLICES: tl.constexpr,
    GROUPS: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Write rows ``FIRST`` up to ``LAST`` of the weight, dequantized, to (rows, K) at ``out``."""
    FLOAT: tl.constexpr = out_ptr.dtype.element_ty
    PAIRS: tl.constexpr = 2 * WORDS
    SCALES: tl.constexpr = 1 if GROUPS <= 2 else GROUPS // 2
    EACH: tl.constexpr = SLICES // (GROUPS if GROUPS else 1)
    SMALL: tl.constexpr = KIND == "mxfp4" or KIND == "nvfp4"
    c = tl.program_id(0)
    own = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = (FIRST + own).to(tl.int64)
    at = rows + c * ROWS
    words, high, scales, zeros = fetched(
        codes_ptr, high_ptr, scale_ptr, zero_ptr, at, 0, KIND, WORDS, 1, ""
    )
    for i in tl.static_range(SLICES):
        w = decoded(words, high, scales, zeros, i, KIND, EACH, FLOAT).to(tl.float32) * factor
        if GROUPS == 0:
            w *= tl.load(scale_ptr + rows)[:, None]
        elif not SMALL:
            pair = tl.load(scale_ptr + at * SCALES + i // EACH // 2)
            w *= group_scale(pair, i // EACH % 2)[:, None]
        k = (c * SLICES + i) * PAIRS + tl.arange(0, PAIRS)
        out = out_ptr + own.to(tl.int64)[:, None] * K + k[None, :]
        tl.store(out, w.to(FLOAT), mask=(rows < LAST)[:, None] & (k < K)[None, :])
