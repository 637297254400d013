"""Products of many rows with 8-bit inputs: programs that stay and take tile after tile.

Tiles are fetched by the copy engine through descriptors; programs walk the tiles in groups of
GROUP_M rows of tiles, so that what is near in time shares inputs and weights in the L2 cache.
Scales are as in ``scaled_narrow``. For int4 the weight is the left operand, decoded in registers,
and what the shift by 8 adds is taken off with the sums of the inputs of each group.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import cuda

from qbench.kernels.gemm.scaled_narrow import high_nibbles


@triton.jit
def _place(tile, tiles_m, tiles_n, GROUP_M: tl.constexpr):
    """Return the row and the column of tiles that come ``tile``-th."""
    group = tile // (GROUP_M * tiles_n)
    first = group * GROUP_M
    size = tl.minimum(tiles_m - first, GROUP_M)
    within = tile % (GROUP_M * tiles_n)
    return first + within % size, within // size


@triton.jit(do_not_specialize=["M", "X_STEP"])
def wide(
    x_desc,
    w_desc,
    out_desc,
    out,
    x_scale,
    w_scale,
    M,
    N,
    WIDTH,
    N_SCALE,
    X_STEP,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    INT8: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISE: tl.constexpr,
    STORE_TMA: tl.constexpr,
    SUBTILES: tl.constexpr,
    FLATTEN: tl.constexpr,
    PDL: tl.constexpr,
):
    """Write ``x`` (M, K) times ``w`` (N, K) transposed, scaled, to ``out`` (M, N)."""
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles_n = tl.cdiv(N, BLOCK_N)
    chunks = tl.cdiv(WIDTH, BLOCK_K)
    if PDL:
        cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    if INT8:
        acc_type: tl.constexpr = tl.int32
    else:
        acc_type: tl.constexpr = tl.float32
    for tile in tl.range(tl.program_id(0), tiles_m * tiles_n, tl.num_programs(0), flatten=FLATTEN):
        tile_m, tile_n = _place(tile, tiles_m, tiles_n, GROUP_M)
        token = tile_m * BLOCK_M
        row = tile_n * BLOCK_N
        ms = token + tl.arange(0, BLOCK_M)
        ns = row + tl.arange(0, BLOCK_N)
        acc = tl.zeros((BLOCK_M, BLOCK_N), acc_type)
        for chunk in tl.range(0, chunks, num_stages=STAGES):
            at = chunk * BLOCK_K
            x = x_desc.load([token, at])
            w = w_desc.load([row, at])
            if KIND == "block":
                here = tl.load(x_scale + ms * X_STEP + chunk, mask=ms < M, other=0.0)
                there = tl.load(w_scale + (row // ROWS) * N_SCALE + chunk)
                acc += tl.dot(x, w.T) * (here * there)[:, None]
            elif PRECISE > 0:
                acc = tl.dot(x, w.T, acc, max_num_imprecise_acc=PRECISE, out_dtype=acc_type)
            else:
                acc = tl.dot(x, w.T, acc, out_dtype=acc_type)
        y = acc.to(tl.float32)
        if KIND != "block":
            y *= tl.load(x_scale + ms * X_STEP, mask=ms < M, other=0.0)[:, None]
            y *= tl.load(w_scale + ns, mask=ns < N, other=0.0)[None, :]
        y = y.to(out.dtype.element_ty)
        if STORE_TMA:
            if SUBTILES == 2:
                parts = tl.permute(tl.reshape(y, (BLOCK_M, 2, BLOCK_N // 2)), (0, 2, 1))
                left, right = tl.split(parts)
                out_desc.store([token, row], left)
                out_desc.store([token, row + BLOCK_N // 2], right)
            else:
                out_desc.store([token, row], y)
        else:
            at = out + ms[:, None].to(tl.int64) * N + ns[None, :]
            tl.store(at, y, mask=(ms < M)[:, None] & (ns < N)[None, :])


@triton.jit(do_not_specialize=["M", "X_STEP"])
def wide_group(
    x_desc,
    w_desc,
    out,
    x_scale,
    w_scale,
    x_sums,
    M,
    N,
    WIDTH,
    N_SCALE,
    X_STEP,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
    STAGES: tl.constexpr,
    FLATTEN: tl.constexpr,
    ASM: tl.constexpr,
):
    """Write ``x`` (M, K) times int4 ``w`` (N, K) transposed, scaled, to ``out`` (M, N).

    ``x_sums`` (M, groups): eight times the sum of the inputs of a group, times 2^-9.
    """
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles_n = tl.cdiv(N, BLOCK_N)
    chunks = tl.cdiv(WIDTH, BLOCK_K)
    for tile in tl.range(tl.program_id(0), tiles_m * tiles_n, tl.num_programs(0), flatten=FLATTEN):
        tile_m, tile_n = _place(tile, tiles_m, tiles_n, GROUP_M)
        token = tile_m * BLOCK_M
        row = tile_n * BLOCK_N
        ms = token + tl.arange(0, BLOCK_M)
        ns = row + tl.arange(0, BLOCK_N)
        acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
        for chunk in tl.range(0, chunks, num_stages=STAGES):
            w = w_desc.load([row, chunk * BLOCK_K])
            x_even = x_desc.load([token, chunk * 2 * BLOCK_K])
            x_odd = x_desc.load([token, chunk * 2 * BLOCK_K + BLOCK_K])
            low = (w & 0x0F).to(tl.float8e4nv, bitcast=True)
            high = high_nibbles(w, ASM).to(tl.float8e4nv, bitcast=True)
            sums_at = x_sums + ms * (2 * chunks) + 2 * chunk
            even_sum = tl.load(sums_at, mask=ms < M, other=0.0)
            odd_sum = tl.load(sums_at + 1, mask=ms < M, other=0.0)
            scale_at = w_scale + 2 * chunk * N_SCALE + ns
            even_scale = tl.load(scale_at, mask=ns < N, other=0.0).to(tl.float32)
            odd_scale = tl.load(scale_at + N_SCALE, mask=ns < N, other=0.0).to(tl.float32)
            acc += (tl.dot(low, x_even.T) - even_sum[None, :]) * even_scale[:, None]
            acc += (tl.dot(high, x_odd.T) - odd_sum[None, :]) * odd_scale[:, None]
        y = acc * tl.load(x_scale + ms * X_STEP, mask=ms < M, other=0.0)[None, :] * 512.0
        there = (ns < N)[:, None] & (ms < M)[None, :]
        at = out + ms[None, :].to(tl.int64) * N + ns[:, None]
        tl.store(at, y.to(out.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=["M"])
def group_sums(
    x, x_sums, M, K, GROUPS, GROUP: tl.constexpr, BLOCK_M: tl.constexpr, ACROSS: tl.constexpr
):
    """Write 8 x 2^-9 times the sum of each GROUP inputs of a row to ``x_sums`` (M, GROUPS)."""
    ms = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    gs = tl.program_id(1) * ACROSS + tl.arange(0, ACROSS)
    ks = gs[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    at = x + ms[:, None, None].to(tl.int64) * K + ks[None, :, :]
    there = (ms < M)[:, None, None] & (ks < K)[None, :, :]
    sums = tl.sum(tl.load(at, mask=there, other=0.0).to(tl.float32), axis=2)
    into = x_sums + ms[:, None].to(tl.int64) * GROUPS + gs[None, :]
    tl.store(into, sums * 0.015625, mask=(ms < M)[:, None] & (gs < GROUPS)[None, :])
