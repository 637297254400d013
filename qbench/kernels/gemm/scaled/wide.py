"""Products of many rows with 8-bit inputs: programs that stay and take tile after tile.

Tiles are fetched by the copy engine through descriptors; programs walk the tiles in groups of
GROUP_M rows of tiles, so that what is near in time shares inputs and weights in the L2 cache.
Scales are as in ``scaled.narrow``. Int4 codes are spelled out in E4M3 first (``spell``): with many
inputs that costs a few percent, and decoding them for each tile of inputs costs half the rate.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import cuda

from qbench.kernels.gemm.scaled.narrow import prefetch


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
    w,
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
    PREFETCH: tl.constexpr,
):
    """Write ``x`` (M, K) times ``w`` (N, K) transposed, scaled, to ``out`` (M, N)."""
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles_n = tl.cdiv(N, BLOCK_N)
    chunks = tl.cdiv(WIDTH, BLOCK_K)
    if PDL:
        if PREFETCH > 0:
            _, tile_n = _place(tl.program_id(0), tiles_m, tiles_n, GROUP_M)
            ns = tl.minimum(tile_n * BLOCK_N + tl.arange(0, BLOCK_N), N - 1)
            prefetch(w + ns.to(tl.int64) * WIDTH, tl.minimum(WIDTH, PREFETCH))
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
            tile_w = w_desc.load([row, at])
            if KIND == "block":
                here = tl.load(x_scale + ms * X_STEP + chunk, mask=ms < M, other=0.0)
                there = tl.load(w_scale + (row // ROWS) * N_SCALE + chunk)
                acc += tl.dot(x, tile_w.T) * (here * there)[:, None]
            elif KIND == "group":
                each = tl.load(w_scale + chunk * N_SCALE + ns, mask=ns < N, other=0.0)
                acc += tl.dot(x, tile_w.T) * each[None, :]
            elif PRECISE > 0:
                acc = tl.dot(x, tile_w.T, acc, max_num_imprecise_acc=PRECISE, out_dtype=acc_type)
            else:
                acc = tl.dot(x, tile_w.T, acc, out_dtype=acc_type)
        y = acc.to(tl.float32)
        if KIND != "block":
            y *= tl.load(x_scale + ms * X_STEP, mask=ms < M, other=0.0)[:, None]
        if KIND == "group":
            y *= 512.0
        if KIND == "channel":
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


@triton.jit
def spell(w, spelled, N, WIDTH, GROUP: tl.constexpr, BLOCK_N: tl.constexpr):
    """Write the int4 codes of ``w`` (N, WIDTH bytes) to ``spelled`` (N, 2 WIDTH) as E4M3 x 2^-9."""
    pair = tl.program_id(0)
    ns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    ks = tl.arange(0, GROUP)
    at = ns[:, None].to(tl.int64) * WIDTH + pair * GROUP + ks[None, :]
    codes = tl.load(w + at, mask=(ns < N)[:, None], other=0.0)
    into = spelled + ns[:, None].to(tl.int64) * (2 * WIDTH) + 2 * pair * GROUP + ks[None, :]
    tl.store(into, _signed(codes & 0x0F), mask=(ns < N)[:, None])
    tl.store(into + GROUP, _signed(codes >> 4), mask=(ns < N)[:, None])


@triton.jit
def _signed(nibble):
    """Return sign and size (bytes of E4M3 below 2^-5 are their own size) of a nibble less 8."""
    return tl.where(nibble >= 8, nibble - 8, 0x88 - nibble).to(tl.uint8)
