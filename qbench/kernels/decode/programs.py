"""Triton programs for one new token of every sequence: attention split along keys, norm, gate.

Of attention, one program takes one key-value head of one sequence and a part of its keys. It turns
the queries that share the head by their position's angle; the first part also turns and stores the
new key and value, which it attends from registers. The parts of a sequence are as long as its
length asks for, so nothing is read that nobody wrote, whatever the memory's size; who comes last
adds them up. (FlashAttention, arXiv 2205.14135; split along keys as in Flash-Decoding, and joined
as in stream-K, arXiv 2301.03598.)
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def _load_turned(
    source, gains, cosines, sines, heads, live, epsilon, SIZE: tl.constexpr, NORM: tl.constexpr
):
    """Return heads (rows, SIZE) of one token, normed and turned; each product rounded."""
    T = source.dtype.element_ty
    columns = tl.arange(0, SIZE)
    across = (columns + SIZE // 2) % SIZE
    mask = live[:, None]
    own = tl.load(source + heads[:, None] * SIZE + columns[None, :], mask=mask, other=0.0)
    other = tl.load(source + heads[:, None] * SIZE + across[None, :], mask=mask, other=0.0)
    own, other = own.to(tl.float32), other.to(tl.float32)
    if NORM:
        spread = tl.rsqrt(tl.sum(own * own, axis=1) / SIZE + epsilon)[:, None]
        own = (own * spread).to(T).to(tl.float32) * tl.load(gains + columns)[None, :]
        other = (other * spread).to(T).to(tl.float32) * tl.load(gains + across)[None, :]
        own, other = own.to(T).to(tl.float32), other.to(T).to(tl.float32)
    cosine = tl.load(cosines + columns).to(tl.float32)[None, :]
    sine = tl.load(sines + columns).to(tl.float32)[None, :]
    other = tl.where((columns < SIZE // 2)[None, :], -other, other)
    return ((own * cosine).to(T).to(tl.float32) + (other * sine).to(T).to(tl.float32)).to(T)


@triton.jit
def _walk(
    query, keys, values, peak, total, sums, first, last, scale,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attend keys ``first`` to ``last`` of one head in blocks; return peak, total and sums."""
    K = keys.dtype.element_ty
    columns = tl.arange(0, SIZE)
    for start in range(first, last, BLOCK):
        rows = start + tl.arange(0, BLOCK)
        within = rows < last
        where = rows[:, None] * SIZE + columns[None, :]
        key = tl.load(keys + where, mask=within[:, None], other=0.0)
        value = tl.load(values + where, mask=within[:, None], other=0.0)
        score = tl.dot(query, tl.trans(key), input_precision=PRECISION) * scale
        score = tl.where(within[None, :], score, float("-inf"))
        higher = tl.maximum(peak, tl.max(score, axis=1))
        fade = tl.exp2(peak - higher)
        share = tl.exp2(score - higher[:, None])
        total = total * fade + tl.sum(share, axis=1)
        sums = sums * fade[:, None]
        sums = tl.dot(share.to(K), value, sums, input_precision=PRECISION)
        peak = higher
    return peak, total, sums


@triton.jit
def _join(
    partial, stats, active,
    GROUP: tl.constexpr, SIZE: tl.constexpr, SPLITS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Add up the parts of one head, which other programs wrote: (ROWS, SIZE)."""
    rows, columns = tl.arange(0, ROWS), tl.arange(0, SIZE)
    live = rows < GROUP
    peak = tl.full((ROWS,), float("-inf"), tl.float32)
    for part in tl.static_range(SPLITS):
        wanted = rows < tl.where(part < active, GROUP, 0)
        found = stats + part * 2 * GROUP + rows
        own = tl.load(found, mask=wanted, other=float("-inf"), cache_modifier=".cg")
        peak = tl.maximum(peak, own)
    peak = tl.where(live, peak, 0.0)
    total = tl.zeros((ROWS,), tl.float32)
    sums = tl.zeros((ROWS, SIZE), tl.float32)
    for part in tl.static_range(SPLITS):
        wanted = rows < tl.where(part < active, GROUP, 0)
        found = stats + part * 2 * GROUP + rows
        own = tl.load(found, mask=wanted, other=float("-inf"), cache_modifier=".cg")
        count = tl.load(found + GROUP, mask=wanted, other=0.0, cache_modifier=".cg")
        where = (part * GROUP + rows[:, None]) * SIZE + columns[None, :]
        values = tl.load(partial + where, mask=wanted[:, None], other=0.0, cache_modifier=".cg")
        share = tl.exp2(own - peak)
        total += count * share
        sums += values * share[:, None]
    return sums / tl.where(live, total, 1.0)[:, None]


@triton.jit
def attend_program(
    qkv, keys, values, slots, positions, cosines, sines, query_gain, key_gain,
    partial, stats, tickets, out,
    qkv_stride, slot_stride, head_stride, scale, epsilon,
    SHARED: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr,
    JOINED: tl.constexpr, BLOCK: tl.constexpr, SPLITS: tl.constexpr, NORM: tl.constexpr,
    PDL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attend for one sequence, one key-value head and one part of its keys.

    ``scale`` is that of the scores times log2(e). A position below zero is a row of filling: its
    output is zero and nothing is written to memory.
    """
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    K = keys.dtype.element_ty
    position = tl.load(positions + row)
    rows, columns = tl.arange(0, ROWS), tl.arange(0, SIZE)
    live = rows < GROUP
    target = out + (row * SHARED + head) * GROUP * SIZE
    target += rows[:, None] * SIZE + columns[None, :]
    blocks = tl.cdiv(tl.maximum(position, 0), BLOCK)
    size = tl.maximum(tl.cdiv(blocks, SPLITS), 1)
    active = tl.maximum(tl.cdiv(blocks, size), 1)
    if (position < 0) & (split == 0):
        tl.store(target, tl.zeros((ROWS, SIZE), out.dtype.element_ty), mask=live[:, None])
    if (position >= 0) & (split < active):
        source = qkv + row * qkv_stride
        cosines += position * SIZE
        sines += position * SIZE
        query = _load_turned(
            source, query_gain, cosines, sines, head * GROUP + rows, live, epsilon, SIZE, NORM
        ).to(K)
        inside = tl.load(slots + row).to(tl.int64) * slot_stride + head * head_stride
        peak = tl.full((ROWS,), float("-inf"), tl.float32)
        total = tl.zeros((ROWS,), tl.float32)
        sums = tl.zeros((ROWS, SIZE), tl.float32)
        if split == 0:
            one = tl.arange(0, 1)
            its = SHARED * GROUP + head + one
            key = _load_turned(
                source, key_gain, cosines, sines, its, one == 0, epsilon, SIZE, NORM
            ).to(K)
            value = tl.load(source + (its + SHARED)[:, None] * SIZE + columns[None, :]).to(K)
            new = inside + position * SIZE + one[:, None] + columns[None, :]
            tl.store(keys + new, key)
            tl.store(values + new, value)
            peak = tl.sum(query.to(tl.float32) * key.to(tl.float32), axis=1) * scale
            total = tl.full((ROWS,), 1.0, tl.float32)
            sums = tl.zeros((ROWS, SIZE), tl.float32) + value.to(tl.float32)
        first = split * size * BLOCK
        last = tl.minimum(first + size * BLOCK, position)
        peak, total, sums = _walk(
            query, keys + inside, values + inside, peak, total, sums, first, last, scale,
            SIZE, BLOCK, PRECISION,
        )  # fmt: skip
        if active == 1:
            made = sums / total[:, None]
            tl.store(target, made.to(out.dtype.element_ty), mask=live[:, None])
        else:
            place = row * SHARED + head
            parts = partial + place * SPLITS * GROUP * SIZE
            sizes = stats + place * SPLITS * 2 * GROUP
            where = (split * GROUP + rows[:, None]) * SIZE + columns[None, :]
            tl.store(parts + where, sums, mask=live[:, None])
            tl.store(sizes + split * 2 * GROUP + rows, peak, mask=live)
            tl.store(sizes + (split * 2 + 1) * GROUP + rows, total, mask=live)
            tl.debug_barrier()
            ticket = tl.atomic_add(tickets + place, 1, sem="acq_rel")
            if ticket == active - 1:
                joined = _join(parts, sizes, active, GROUP, SIZE, SPLITS, JOINED)
                few = tl.arange(0, JOINED)[:, None]
                goal = out + place * GROUP * SIZE + few * SIZE + columns[None, :]
                tl.store(goal, joined.to(out.dtype.element_ty), mask=few < GROUP)
                tl.store(tickets + place, 0)


@triton.jit
def turn_program(
    qkv, keys, values, slots, positions, cosines, sines, query_gain, key_gain, turned,
    qkv_stride, slot_stride, head_stride, epsilon,
    SHARED: tl.constexpr, QUERIES: tl.constexpr, ROWS: tl.constexpr, FEW: tl.constexpr,
    SIZE: tl.constexpr, NORM: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Turn one token's queries, and store its keys, turned, and values."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    row = tl.program_id(0).to(tl.int64)
    position = tl.load(positions + row)
    source = qkv + row * qkv_stride
    cosines += position * SIZE
    sines += position * SIZE
    heads, few, columns = tl.arange(0, ROWS), tl.arange(0, FEW), tl.arange(0, SIZE)
    query = _load_turned(
        source, query_gain, cosines, sines, heads, heads < QUERIES, epsilon, SIZE, NORM
    )
    target = turned + row * QUERIES * SIZE + heads[:, None] * SIZE + columns[None, :]
    tl.store(target, query.to(turned.dtype.element_ty), mask=(heads < QUERIES)[:, None])
    live = few < SHARED
    key = _load_turned(source, key_gain, cosines, sines, QUERIES + few, live, epsilon, SIZE, NORM)
    start = source + (QUERIES + SHARED + few)[:, None] * SIZE + columns[None, :]
    value = tl.load(start, mask=live[:, None], other=0.0)
    inside = tl.load(slots + row).to(tl.int64) * slot_stride + position * SIZE
    inside += few[:, None] * head_stride + columns[None, :]
    tl.store(keys + inside, key.to(keys.dtype.element_ty), mask=live[:, None])
    tl.store(values + inside, value.to(values.dtype.element_ty), mask=live[:, None])


@triton.jit
def likeliest_program(
    logits, peaks, places, tickets, found, ids, positions, columns, stride,
    WIDTH: tl.constexpr, PARTS: tl.constexpr, PADDED: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Find the first of the largest logits of a row's part; who comes last, of the row."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    row, part = tl.program_id(0), tl.program_id(1)
    at = part * WIDTH + tl.arange(0, WIDTH)
    start = logits + row.to(tl.int64) * stride
    value = tl.load(start + at, mask=at < columns, other=float("-inf")).to(tl.float32)
    peak = tl.max(value, axis=0)
    tl.store(peaks + row * PARTS + part, peak)
    tl.store(places + row * PARTS + part, tl.min(tl.where(value == peak, at, columns), axis=0))
    tl.debug_barrier()
    ticket = tl.atomic_add(tickets + row, 1, sem="acq_rel")
    if ticket == PARTS - 1:
        parts = tl.arange(0, PADDED)
        where = row * PARTS + parts
        among = parts < PARTS
        highest = tl.load(peaks + where, mask=among, other=float("-inf"), cache_modifier=".cg")
        first = tl.load(places + where, mask=among, other=columns, cache_modifier=".cg")
        best = tl.where(highest == tl.max(highest, axis=0), first, columns)
        token = tl.minimum(tl.min(best, axis=0), columns - 1)  # where all are NaN
        position = tl.load(positions + row)
        tl.store(found + row, token)
        tl.store(ids + row, token)
        tl.store(positions + row, tl.where(position >= 0, position + 1, position))
        tl.store(tickets + row, 0)


@triton.jit
def norm_program(
    values, gain, residual, total, made, epsilon,
    COLUMNS: tl.constexpr, PADDED: tl.constexpr, ADDED: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Add and norm one token; rounded where transformers rounds."""
    T = made.dtype.element_ty
    token = tl.program_id(0).to(tl.int64) * COLUMNS
    columns = tl.arange(0, PADDED)
    within = columns < COLUMNS
    factor = tl.load(gain + columns, mask=within, other=0.0).to(tl.float32)
    if PDL:  # gains are no one's result: they may be read before
        gdc_wait()
        gdc_launch_dependents()
    value = tl.load(values + token + columns, mask=within, other=0.0).to(tl.float32)
    if ADDED:
        before = tl.load(residual + token + columns, mask=within, other=0.0).to(tl.float32)
        rounded = (value + before).to(T)
        tl.store(total + token + columns, rounded, mask=within)
        value = rounded.to(tl.float32)
    root = tl.rsqrt(tl.sum(value * value, axis=0) / COLUMNS + epsilon)
    normed = (value * root).to(T).to(tl.float32) * factor
    tl.store(made + token + columns, normed.to(T), mask=within)


@triton.jit
def silu_program(gate_up, made, columns, GATED: tl.constexpr, PDL: tl.constexpr):
    """Gate some columns of one token; rounded where transformers rounds."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    T = made.dtype.element_ty
    token = tl.program_id(1).to(tl.int64)
    places = tl.program_id(0) * GATED + tl.arange(0, GATED)
    within = places < columns
    start = gate_up + token * 2 * columns + places
    gate = tl.load(start, mask=within, other=0.0).to(tl.float32)
    up = tl.load(start + columns, mask=within, other=0.0).to(tl.float32)
    gated = (gate / (1.0 + tl.exp(-gate))).to(T).to(tl.float32)
    tl.store(made + token * columns + places, (gated * up).to(T), mask=within)
