"""Products of few rows with 8-bit inputs: the weight streams once, its rows on the matrix unit.

The weight is the left operand, so that the 64 rows that a Hopper matrix unit wants are the
weight's, whatever M is. Programs share the work evenly (stream-K, arXiv 2301.03598): where a tile
of BLOCK_N rows is shared, each piece leaves its sums in a workspace, and the last to arrive adds
all pieces in their order, so results do not depend on who was last.

Scales, by ``KIND``:

- ``channel``: one of each weight row, one of each input row, on the finished sums.
- ``block``: of 128 x 128 weights and of 128 inputs, on each 128 columns (arXiv 2412.19437, 3.3).
- ``group``: int4 codes as ``packing_bytes`` lays them. E4M3 bytes 0 to 15 are the numbers 0 to 15
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


@triton.jit
def _add_up(acc, parts, arrivals, tile, program, each, chunks, PIECES: tl.constexpr):
    """Leave ``acc`` for the others of a tile; return all sums, and whether they are all there.

    Programs ``first`` to ``last`` share the tile. One that began in an earlier tile keeps this
    piece in its second place.
    """
    BLOCK_N: tl.constexpr = acc.shape[0]
    BLOCK_M: tl.constexpr = acc.shape[1]
    first = (tile * chunks) // each
    last = ((tile + 1) * chunks - 1) // each
    spot = tl.arange(0, BLOCK_N)[:, None] * BLOCK_M + tl.arange(0, BLOCK_M)[None, :]
    place = 2 * program + (program * each < tile * chunks).to(tl.int32)
    tl.store(parts + place * (BLOCK_N * BLOCK_M) + spot, acc, cache_modifier=".cg")
    tl.debug_barrier()
    whole = tl.atomic_add(arrivals + tile, 1, sem="acq_rel") == last - first
    if whole:
        tl.store(arrivals + tile, 0)
        acc = tl.zeros_like(acc)
        for piece in tl.static_range(PIECES):
            owner = first + piece
            place = 2 * owner + (owner * each < tile * chunks).to(tl.int32)
            at = parts + place * (BLOCK_N * BLOCK_M) + spot
            there = spot < (last + 1 - owner) * (BLOCK_N * BLOCK_M)
            acc += tl.load(at, mask=there, other=0.0, cache_modifier=".cg")
    return acc, whole


@triton.jit(do_not_specialize=["M", "X_STEP", "each"])
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
    each,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PIECES: tl.constexpr,
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

    ``w`` has WIDTH bytes a row, filled up with zeros. Steps of BLOCK_K bytes are counted through
    all tiles; a program does ``each`` of them, of one tile or of neighbours.
    """
    program = tl.program_id(0)
    across = (N + BLOCK_N - 1) // BLOCK_N
    chunks = (WIDTH + BLOCK_K - 1) // BLOCK_K
    step = program * each
    end = tl.minimum(step + each, across * ((M + BLOCK_M - 1) // BLOCK_M) * chunks)
    ks = tl.arange(0, BLOCK_K)
    if PDL:
        if PREFETCH > 0:
            ns = ((step // chunks) % across) * BLOCK_N + tl.arange(0, BLOCK_N)
            begin = (step % chunks) * BLOCK_K
            ahead = tl.minimum(tl.minimum(WIDTH - begin, each * BLOCK_K), PREFETCH)
            prefetch(w + tl.minimum(ns, N - 1).to(tl.int64) * WIDTH + begin, ahead)
        if not LATE:
            cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    while step < end:
        tile = step // chunks
        first = step % chunks
        last = tl.minimum(chunks, first + end - step)
        row = (tile % across) * BLOCK_N
        ns = row + tl.arange(0, BLOCK_N)
        ms = (tile // across) * BLOCK_M + tl.arange(0, BLOCK_M)
        w_at = w + tl.minimum(ns, N - 1)[:, None].to(tl.int64) * WIDTH + ks[None, :]
        x_at = x + ms[None, :].to(tl.int64) * K + ks[:, None]
        x_scale_at = x_scale + ms * X_STEP
        w_scale_at = w_scale + ((row // ROWS) * N_SCALE if KIND == "block" else ns)
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
        if PIECES > 1:
            whole = last - first == chunks
            if not whole:
                acc, whole = _add_up(acc, parts, arrivals, tile, program, each, chunks, PIECES)
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
        step += last - first
