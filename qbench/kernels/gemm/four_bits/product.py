"""4-bit floats times 4-bit floats in matrix units that take them: Blackwell and later.

A program holds 128 rows of the weight and some tokens, the weight on the left: units of sm_100
multiply 128 rows at a time, so a few tokens waste nothing. Programs may share the columns of a
tile, as in ``scaled.narrow``.

Triton 3.9 compiles it to ``tcgen05.mma`` with block scales for sm_100 and sm_103, and to
``mma.sync`` with block scales for sm_120, codes and scales copied ahead; a test looks for them.
Interpreted, its numbers are right. It has never run on such a GPU: nothing is known of its speed,
and nothing was tuned. On sm_100 scales go through registers to tensor memory, and each step waits
for its product; a layout of scales that the copy engine takes there would spare that.
"""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
"""Triton's interpreter takes every scale for a power of two."""


@triton.jit
def _numbers(codes, scales, GROUP: tl.constexpr):
    """Return float32 numbers of E2M1 ``codes`` (rows, columns / 2) with E4M3 bytes as scales."""
    ROWS: tl.constexpr = codes.shape[0]
    COLUMNS: tl.constexpr = 2 * codes.shape[1]
    both = tl.reshape(tl.join(codes & 15, codes >> 4), (ROWS, COLUMNS)).to(tl.int32)
    bits = ((both & 7) << 22) | ((both & 8) << 28)
    numbers = bits.to(tl.float32, bitcast=True) * 8.507059173023462e37  # 2^126
    steps = scales.to(tl.float8e4nv, bitcast=True).to(tl.float32)
    apart = tl.reshape(numbers, (ROWS, COLUMNS // GROUP, GROUP)) * steps[:, :, None]
    return tl.reshape(apart, (ROWS, COLUMNS))


@triton.jit
def _added(w, w_scale, x, x_scale, acc, GROUP: tl.constexpr):
    """Return ``acc`` (rows, tokens) plus the product of codes with bytes of scales."""
    if GROUP == 32:
        return tl.dot_scaled(w, w_scale, "e2m1", x.T, x_scale, "e2m1", acc)
    elif INTERPRETED:
        wide, there = _numbers(w, w_scale, GROUP), _numbers(x, x_scale, GROUP)
        return tl.dot(wide, there.T, acc, input_precision="ieee")
    else:
        steps = w_scale.to(tl.float8e4nv, bitcast=True)
        there = x_scale.to(tl.float8e4nv, bitcast=True)
        return tl.dot_scaled(w, steps, "e2m1", x.T, there, "e2m1", acc)


@triton.jit(do_not_specialize=["M"])
def four_bits(
    x,
    x_scale,
    x_factor,
    w,
    w_scale,
    out,
    parts,
    arrivals,
    factor,
    M,
    N,
    K,
    STEPS,
    GROUP: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    STEP: tl.constexpr,
    SPLIT: tl.constexpr,
    EVEN: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Write ``x`` (M, K) times ``w`` (N, STEPS * STEP) transposed to ``out`` (M, N).

    EVEN: the columns of ``x`` are whole steps too; lengths of rows are then seen to be aligned.
    """
    BYTES: tl.constexpr = STEP // 2
    GROUPS: tl.constexpr = STEP // GROUP
    tile = tl.program_id(0)
    piece = tl.program_id(1)
    across = tl.cdiv(N, BLOCK_N)
    ns = (tile % across) * BLOCK_N + tl.arange(0, BLOCK_N)
    ms = (tile // across) * BLOCK_M + tl.arange(0, BLOCK_M)
    each = tl.cdiv(STEPS, SPLIT)
    first = piece * each
    last = tl.minimum(first + each, STEPS)
    rows = tl.minimum(ns, N - 1)[:, None].to(tl.int64)
    tokens = tl.minimum(ms, M - 1)[:, None].to(tl.int64)
    ks = tl.arange(0, BYTES)[None, :]
    gs = tl.arange(0, GROUPS)[None, :]
    w_at = w + rows * (STEPS * BYTES) + ks
    w_scale_at = w_scale + rows * (STEPS * GROUPS) + gs
    if EVEN:
        x_at = x + tokens * (STEPS * BYTES) + ks
        x_scale_at = x_scale + tokens * (STEPS * GROUPS) + gs
    else:
        x_at = x + tokens * (K // 2) + ks
        x_scale_at = x_scale + tokens * (K // GROUP) + gs
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for step in tl.range(first, last, num_stages=STAGES):
        codes = tl.load(w_at + step * BYTES)
        steps = tl.load(w_scale_at + step * GROUPS)
        if EVEN:
            inputs = tl.load(x_at + step * BYTES)
            there = tl.load(x_scale_at + step * GROUPS)
        else:
            inputs = tl.load(x_at + step * BYTES, mask=step * BYTES + ks < K // 2, other=0)
            inside = step * GROUPS + gs < K // GROUP
            there = tl.load(x_scale_at + step * GROUPS, mask=inside, other=0)
        acc = _added(codes, steps, inputs, there, acc, GROUP)
    whole = True
    if SPLIT > 1:
        spot = tl.arange(0, BLOCK_N)[:, None] * BLOCK_M + tl.arange(0, BLOCK_M)[None, :]
        mine = parts + tile * (SPLIT * BLOCK_N * BLOCK_M) + spot
        tl.store(mine + piece * (BLOCK_N * BLOCK_M), acc, cache_modifier=".cg")
        tl.debug_barrier()
        whole = tl.atomic_add(arrivals + tile, 1, sem="acq_rel") == SPLIT - 1
        if whole:
            tl.store(arrivals + tile, 0)
            acc = tl.load(mine, cache_modifier=".cg")
            for other in tl.static_range(1, SPLIT):
                acc += tl.load(mine + other * (BLOCK_N * BLOCK_M), cache_modifier=".cg")
    if whole:
        y = acc * factor
        if GROUP == 16:
            y /= tl.load(x_factor + ms, mask=ms < M, other=1.0)[None, :]
        at = out + ms[None, :].to(tl.int64) * N + ns[:, None]
        tl.store(at, y.to(out.dtype.element_ty), mask=(ns < N)[:, None] & (ms < M)[None, :])
