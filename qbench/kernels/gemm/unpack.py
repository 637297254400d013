"""Weights back to 16 bits, row by row, for products so large that decoding them once is cheap.

Reading b bits and writing 16 of each weight takes as long as (b / 8 + 2) / 3e12 seconds on an
H100, its product with M tokens 2 M / 8e14: at 2,048 tokens decoding is a seventh of the time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from qbench.kernels.gemm.decoding import decoded, group_scale


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
    BYTES: tl.constexpr = PAIRS // (32 if KIND == "mxfp4" else 16)
    c = tl.program_id(0)
    own = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = (FIRST + own).to(tl.int64)
    at = rows + c * ROWS
    spots = at[:, None] * WORDS + tl.arange(0, WORDS)[None, :]
    inside = (rows < LAST)[:, None]
    words = tl.load(codes_ptr + spots, mask=inside, other=0)
    high = words
    if KIND == "int3":
        third = tl.load(high_ptr + spots, mask=inside, other=0).to(tl.int32) & 0xFFFF
        high = third | (third << 8)
    zeros = words
    if KIND == "int4 with zeros":
        zeros = tl.load(zero_ptr + at, mask=rows < LAST, other=0)
    scales = words
    if SMALL:
        across = tl.arange(0, BYTES)[None, :]
        scales = tl.load(scale_ptr + at[:, None] * BYTES + across, mask=inside, other=0)
    for i in tl.static_range(SLICES):
        zero = zeros
        if KIND == "int4 with zeros":
            zero = ((zeros >> (8 * (i // EACH))) & 0xFF).to(tl.float32)[:, None]
        w = decoded(words, high, scales, zero, i, KIND, FLOAT).to(tl.float32) * factor
        if GROUPS == 0:
            w *= tl.load(scale_ptr + rows, mask=rows < LAST, other=0.0)[:, None]
        elif not SMALL:
            pair = tl.load(scale_ptr + at * SCALES + i // EACH // 2, mask=rows < LAST, other=0)
            w *= group_scale(pair, i // EACH % 2)[:, None]
        k = (c * SLICES + i) * PAIRS + tl.arange(0, PAIRS)
        out = out_ptr + own.to(tl.int64)[:, None] * K + k[None, :]
        tl.store(out, w.to(FLOAT), mask=inside & (k < K)[None, :])
