"""Few rows of inputs (decode): weights stream once, 16-bit inputs, codes decoded in registers.

The weight is the left operand, so that the tall side of a matrix instruction is outputs and its
narrow side the inputs. What a product needs of columns is divided twice: among the warps of a
program (``SHARES``, added in registers at its end), and among programs (``SPLIT``), of which the
last to arrive at a tile adds the parts in their order: a product is the same bits every time.

With ``EARLY`` (programmatic dependent launch) a program starts while the one before it ends: it
asks for its first weights, which nobody writes, and waits before it touches anything else.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from qbench.kernels.gemm.weight_only.decoding import decoded, dotted, fetched, group_scale


@triton.jit
def asked(ptr):
    """Ask for the cache lines at ``ptr``; the numbers returned mean nothing."""
    return tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; mov.u32 $0, 0;",
        "=r,l",
        [ptr],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def product(w, xs, acc, SHARES: tl.constexpr):
    """Return ``acc`` plus the products of ``w`` (shares * rows, k) with ``xs``."""
    if SHARES == 1:
        return dotted(w, xs, acc)
    else:
        return dotted(tl.reshape(w, (SHARES, w.shape[0] // SHARES, w.shape[1])), xs, acc)


@triton.jit
def spread(scale, SHARES: tl.constexpr):
    """Return ``scale`` (shares * rows,) as it multiplies sums."""
    if SHARES == 1:
        return scale[:, None]
    else:
        return tl.reshape(scale, (SHARES, scale.shape[0] // SHARES))[:, :, None]


@triton.jit(do_not_specialize=["M", "CHUNKS"])
def narrow(
    x_ptr,
    codes_ptr,
    high_ptr,
    scale_ptr,
    zero_ptr,
    out_ptr,
    parts_ptr,
    arrived_ptr,
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
    TALL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    SHARES: tl.constexpr,
    SPLIT: tl.constexpr,
    STAGES: tl.constexpr,
    AHEAD: tl.constexpr,
    EARLY: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Write ``x`` (M, K) times the weight's transpose: (M, N). See `multiply` for the rest."""
    FLOAT: tl.constexpr = x_ptr.dtype.element_ty
    PAIRS: tl.constexpr = 2 * WORDS
    HEIGHT: tl.constexpr = SHARES * TALL
    SCALES: tl.constexpr = 1 if GROUPS <= 2 else GROUPS // 2
    EACH: tl.constexpr = SLICES // (GROUPS if GROUPS else 1)
    PLAIN: tl.constexpr = GROUPS == 0 or KIND == "mxfp4" or KIND == "nvfp4"
    if EARLY:
        gdc_launch_dependents()
    tile, part, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    share = CHUNKS // SHARES
    first, last = part * share // SPLIT, (part + 1) * share // SPLIT
    line = tl.arange(0, HEIGHT)
    rows = line // TALL * share * ROWS + tile * TALL + line % TALL
    if AHEAD:
        ask = tl.arange(0, HEIGHT * AHEAD)
        chunk = tl.minimum(first + ask // HEIGHT, last - 1) + ask % HEIGHT // TALL * share
        asked(codes_ptr + (chunk * ROWS + tile * TALL + ask % TALL).to(tl.int64) * WORDS)
    if EARLY:
        gdc_wait()
    tokens = block * BLOCK_M + tl.arange(0, BLOCK_M)
    if SHARES == 1:
        columns = tl.arange(0, PAIRS)[:, None]
        token = tokens[None, :]
        acc = tl.zeros((TALL, BLOCK_M), tl.float32)
    else:
        starts = tl.arange(0, SHARES) * share * (PAIRS * SLICES)
        columns = starts[:, None, None] + tl.arange(0, PAIRS)[None, :, None]
        token = tokens[None, None, :]
        acc = tl.zeros((SHARES, TALL, BLOCK_M), tl.float32)
    empty = tl.zeros_like(acc)
    for c in tl.range(first, last, num_stages=STAGES):
        at = (rows + c * ROWS).to(tl.int64)
        words, high, scales, zeros = fetched(
            codes_ptr, high_ptr, scale_ptr, zero_ptr, at, 0, KIND, WORDS, 1, "evict_first"
        )
        for i in tl.static_range(SLICES):
            k = columns + (c * SLICES + i) * PAIRS
            inside = token < M if EVEN else (token < M) & (k < K)
            xs = tl.load(x_ptr + token * K + k, mask=inside, other=0.0)
            w = decoded(words, high, scales, zeros, i, KIND, EACH, FLOAT)
            if PLAIN:
                acc = product(w, xs, acc, SHARES)
            else:
                some = product(w, xs, empty if i % EACH == 0 else some, SHARES)  # noqa: F821
                if i % EACH == EACH - 1:
                    pair = tl.load(scale_ptr + at * SCALES + i // EACH // 2)
                    acc += some * spread(group_scale(pair, i // EACH % 2), SHARES)
    if SHARES > 1:
        acc = tl.sum(acc, axis=0)
    outs = tile * TALL + tl.arange(0, TALL)
    if GROUPS == 0:
        acc *= tl.load(scale_ptr + outs)[:, None]
    spots = tokens[None, :] * N + outs[:, None]
    mask = (tokens < M)[None, :] & (outs < N)[:, None]
    if SPLIT == 1:
        tl.store(out_ptr + spots, (acc * factor).to(FLOAT), mask=mask)
    else:
        tl.store(parts_ptr + part * M * N + spots, acc, mask=mask)
        tl.debug_barrier()
        counter = arrived_ptr + block * tl.num_programs(0) + tile
        if tl.atomic_add(counter, 1, sem="acq_rel") == SPLIT - 1:
            total = tl.zeros((TALL, BLOCK_M), tl.float32)
            for p in tl.static_range(SPLIT):
                own = parts_ptr + p * M * N + spots
                total += tl.load(own, mask=mask, other=0.0, cache_modifier=".cg")
            tl.store(out_ptr + spots, (total * factor).to(FLOAT), mask=mask)
            tl.atomic_xchg(counter, 0)
