"""Products of few rows with 8-bit inputs: the weight streams once, its rows on the matrix unit.

A program takes BLOCK_N rows of the weight and a piece of its columns. The weight is the left
operand, so that the 64 rows that a Hopper matrix unit wants are the weight's, whatever M is. Where
columns are split, each piece leaves its sums in a workspace; the last to arrive adds all pieces in
their order, so results do not depend on who was last.

Scales, by ``KIND``:

- ``channel``: one of each weight row, one of each input row, on the finished sums.
- ``block``: of 128 x 128 weights and of 128 inputs, on each 128 columns (arXiv 2412.19437, 3.3).
- ``group``: int4 codes as ``scaled.packing`` lays them. E4M3 bytes 0 to 15 are the numbers 0 to 15
  times 2^-9, so a nibble is a number as it stands, moved up by 8; a product of the same inputs
  with a constant -8 moves the sum down again, exactly. The scale of a group is on its sums.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import cuda


@triton.jit
def high_nibbles(w, ASM: tl.constexpr):
    """Return the upper half of each byte. Triton shifts bytes one by one; ASM shifts four."""
    if ASM:
        high = tl.inline_asm_elementwise(
            "{ .reg .b32 t; shr.b32 t, $1, 4; and.b32 $0, t, 0x0f0f0f0f; }",
            "=r,r",
            [w],
            dtype=tl.uint8,
            is_pure=True,
            pack=4,
        )
    else:
        high = w >> 4
    return high


@triton.jit
def prefetch(at, size):
    """Ask for ``size`` bytes (a multiple of 16) from each address ``at`` into the L2 cache."""
    tl.inline_asm_elementwise(
        "cp.async.bulk.prefetch.L2.global [$1], $2; mov.u32 $0, 0;",
        "=r,l,r",
        [at.to(tl.int64), size],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def _scaled_sums(
    acc,
    x_at,
    x_there,
    w_at,
    w_desc,
    x_scale_at,
    w_scale_at,
    m_there,
    n_there,
    row,
    first,
    last,
    K,
    WIDTH,
    N_SCALE,
    KIND: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN: tl.constexpr,
    TMA: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISE: tl.constexpr,
    ASM: tl.constexpr,
):
    """Return ``acc`` (BLOCK_N, BLOCK_M) plus the products of chunks ``first`` to ``last``."""
    ks = tl.arange(0, BLOCK_K)
    for chunk in tl.range(first, last, num_stages=STAGES):
        at = chunk * BLOCK_K
        if TMA:
            w = w_desc.load([row, at])
        elif EVEN:
            w = tl.load(w_at + at)
        else:
            w = tl.load(w_at + at, mask=(at + ks < WIDTH)[None, :], other=0.0)
        if KIND == "group":
            even = at * 2
            odd = even + BLOCK_K
            if EVEN:
                x_even = tl.load(x_at + even, mask=x_there, other=0.0)
                x_odd = tl.load(x_at + odd, mask=x_there, other=0.0)
            else:
                x_even = tl.load(x_at + even, mask=x_there & (even + ks < K)[:, None], other=0.0)
                x_odd = tl.load(x_at + odd, mask=x_there & (odd + ks < K)[:, None], other=0.0)
            down = tl.full((BLOCK_N, BLOCK_K), 0x88, tl.uint8).to(tl.float8e4nv, bitcast=True)
            low = (w & 0x0F).to(tl.float8e4nv, bitcast=True)
            high = high_nibbles(w, ASM).to(tl.float8e4nv, bitcast=True)
            sums = tl.dot(low, x_even, tl.dot(down, x_even))
            acc += (
                sums
                * tl.load(w_scale_at + 2 * chunk * N_SCALE, mask=n_there, other=0.0).to(tl.float32)[
                    :, None
                ]
            )
            sums = tl.dot(high, x_odd, tl.dot(down, x_odd))
            acc += (
                sums
                * tl.load(w_scale_at + (2 * chunk + 1) * N_SCALE, mask=n_there, other=0.0).to(
                    tl.float32
                )[:, None]
            )
        else:
            if EVEN:
                x = tl.load(x_at + at, mask=x_there, other=0.0)
            else:
                x = tl.load(x_at + at, mask=x_there & (at + ks < K)[:, None], other=0.0)
            if KIND == "block":
                across = tl.load(x_scale_at + chunk, mask=m_there, other=0.0)
                acc += tl.dot(w, x) * (across * tl.load(w_scale_at + chunk))[None, :]
            elif PRECISE > 0:
                acc = tl.dot(w, x, acc, max_num_imprecise_acc=PRECISE, out_dtype=acc.dtype)
            else:
                acc = tl.dot(w, x, acc, out_dtype=acc.dtype)
    return acc


@triton.jit(do_not_specialize=["M", "X_STEP"])
def narrow(
    x,
    w,
    w_desc,
    out,
    x_scale,
    w_scale,
    parts,
    arrivals,
    M,
    N,
    K,
    WIDTH,
    N_SCALE,
    X_STEP,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SPLIT: tl.constexpr,
    EVEN: tl.constexpr,
    TMA: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISE: tl.constexpr,
    ASM: tl.constexpr,
    PDL: tl.constexpr,
    LATE: tl.constexpr,
    PREFETCH: tl.constexpr,
):
    """Write ``x`` (M, K) times ``w`` (N, K) transposed, scaled, to ``out`` (M, N).

    ``w`` has WIDTH bytes a row, filled up with zeros.
    """
    tile = tl.program_id(0)
    piece = tl.program_id(1)
    across = (N + BLOCK_N - 1) // BLOCK_N
    row = (tile % across) * BLOCK_N
    token = (tile // across) * BLOCK_M
    ns = row + tl.arange(0, BLOCK_N)
    ms = token + tl.arange(0, BLOCK_M)
    ks = tl.arange(0, BLOCK_K)
    chunks = (WIDTH + BLOCK_K - 1) // BLOCK_K
    each = (chunks + SPLIT - 1) // SPLIT
    first = piece * each
    last = tl.minimum(first + each, chunks)
    w_at = w + tl.minimum(ns, N - 1)[:, None].to(tl.int64) * WIDTH + ks[None, :]
    x_at = x + ms[None, :].to(tl.int64) * K + ks[:, None]
    if KIND == "block":
        w_scale_at = w_scale + (row // ROWS) * N_SCALE
        x_scale_at = x_scale + ms * X_STEP
    else:
        w_scale_at = w_scale + ns
        x_scale_at = x_scale + ms * X_STEP
    if PDL:
        ahead = tl.minimum(tl.minimum(last * BLOCK_K, WIDTH) - first * BLOCK_K, PREFETCH)
        if ahead > 0:
            prefetch(w + tl.minimum(ns, N - 1).to(tl.int64) * WIDTH + first * BLOCK_K, ahead)
        if not LATE:
            cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    if x.dtype.element_ty == tl.int8:
        acc = tl.zeros((BLOCK_N, BLOCK_M), tl.int32)
    else:
        acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    acc = _scaled_sums(
        acc,
        x_at,
        (ms < M)[None, :],
        w_at,
        w_desc,
        x_scale_at,
        w_scale_at,
        ms < M,
        ns < N,
        row,
        first,
        last,
        K,
        WIDTH,
        N_SCALE,
        KIND,
        BLOCK_N,
        BLOCK_K,
        EVEN,
        TMA,
        STAGES,
        PRECISE,
        ASM,
    )
    if PDL and LATE:
        cuda.gdc_launch_dependents()
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
        y = acc.to(tl.float32)
        if KIND != "block":
            y *= tl.load(x_scale_at, mask=ms < M, other=0.0)[None, :]
        if KIND == "channel":
            y *= tl.load(w_scale_at, mask=ns < N, other=0.0)[:, None]
        if KIND == "group":
            y *= 512.0
        there = (ns < N)[:, None] & (ms < M)[None, :]
        at = out + ms[None, :].to(tl.int64) * N + ns[:, None]
        tl.store(at, y.to(out.dtype.element_ty), mask=there)
