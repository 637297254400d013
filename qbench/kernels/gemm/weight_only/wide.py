"""Many rows of inputs (prefill, batches): a tile of the weight is decoded for a tile of tokens.

The weight is the left operand, decoded in the registers from which the matrix unit takes it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from qbench.kernels.gemm.weight_only.decoding import decoded, dotted, fetched, group_scale, scaled


@triton.jit
def placed(tiles_n, tiles_m, BAND: tl.constexpr):
    """Return the tile of a program: bands of ``BAND`` tiles of tokens share weights in L2."""
    program = tl.program_id(0)
    band = program // (BAND * tiles_n)
    tall = tl.minimum(tiles_m - band * BAND, BAND)
    inside = program % (BAND * tiles_n)
    return inside // tall, band * BAND + inside % tall


@triton.jit(do_not_specialize=["M", "CHUNKS"])
def wide(
    x_ptr,
    codes_ptr,
    high_ptr,
    scale_ptr,
    zero_ptr,
    out_ptr,
    factor,
    M,
    N,
    K,
    ROWS,
    CHUNKS,
    KIND: tl.constexpr,
    WORDS: tl.constexpr,
    SLICES: tl.constexpr,
    GROUPS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BAND: tl.constexpr,
    PARTS: tl.constexpr,
    STAGES: tl.constexpr,
    FOLD: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Write ``x`` (M, K) times the weight's transpose: (M, N). See `multiply` for the rest."""
    FLOAT: tl.constexpr = x_ptr.dtype.element_ty
    PAIRS: tl.constexpr = 2 * WORDS // PARTS
    SCALES: tl.constexpr = 1 if GROUPS <= 2 else GROUPS // 2
    EACH: tl.constexpr = SLICES // (GROUPS if GROUPS else 1)
    PLAIN: tl.constexpr = GROUPS == 0 or KIND == "mxfp4" or KIND == "nvfp4"
    n, m = placed(tl.cdiv(N, BLOCK_N), tl.cdiv(M, BLOCK_M), BAND)
    rows = (n * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    tokens = m * BLOCK_M + tl.arange(0, BLOCK_M)
    there = tokens < M
    columns = tl.arange(0, PAIRS)
    begin = x_ptr + tokens.to(tl.int64) * K
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    empty = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for step in tl.range(0, CHUNKS * PARTS, num_stages=STAGES):
        c, p = step // PARTS, step % PARTS
        at = rows + c * ROWS
        words, high, scales, zeros = fetched(
            codes_ptr, high_ptr, scale_ptr, zero_ptr, at, p, KIND, WORDS, PARTS, ""
        )
        for i in tl.static_range(SLICES):
            k = ((c * SLICES + i) * PARTS + p) * PAIRS + columns
            inside = there[None, :] if EVEN else there[None, :] & (k < K)[:, None]
            xs = tl.load(begin[None, :] + k[:, None], mask=inside, other=0.0)
            w = decoded(words, high, scales, zeros, i, KIND, EACH, FLOAT)
            if PLAIN:
                acc = dotted(w, xs, acc)
            else:
                pair = tl.load(scale_ptr + at * SCALES + i // EACH // 2)
                scale = group_scale(pair, i // EACH % 2)[:, None]
                if FOLD:
                    acc = dotted(scaled(w, scale), xs, acc)
                else:
                    part = dotted(w, xs, empty if i % EACH == 0 else part)  # noqa: F821
                    if i % EACH == EACH - 1:
                        acc += part * scale
    if GROUPS == 0:
        acc *= tl.load(scale_ptr + rows)[:, None]
    mask = there[None, :] & (rows < N)[:, None]
    out = out_ptr + tokens.to(tl.int64)[None, :] * N + rows[:, None]
    tl.store(out, (acc * factor).to(FLOAT), mask=mask)
