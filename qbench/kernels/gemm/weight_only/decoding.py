"""Codes to numbers in registers: how a slice of a chunk of packed words becomes 16-bit floats.

A word holds pairs of neighbouring columns, one in each half, so that a shift, a mask and an *or*
make two floats at once: a code in the mantissa of a constant (128 in bfloat16, 1024 in float16)
is that constant plus the code, and a subtraction leaves the integer, exactly. E2M1 codes are
moved to where a float has its exponent and mantissa; the scale takes the difference of biases.

What works on two halves at once is spelled out in PTX: left to the compilers, a pair with a factor
of its own is taken apart and put together again (two instructions of five), and a constant is moved
to a register for every mask (one of six).
"""

from __future__ import annotations

import os

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
"""Triton's interpreter takes the bits of bfloat16 for whole numbers where it reckons with them."""


@triton.jit
def low(pairs, FLOAT: tl.constexpr):
    """Return the 16-bit float in the low half of int32."""
    if INTERPRETED and FLOAT == tl.bfloat16:
        return (pairs << 16).to(tl.float32, bitcast=True)
    else:
        return (pairs & 0xFFFF).to(tl.int16).to(FLOAT, bitcast=True)


@triton.jit
def halves(pairs, FLOAT: tl.constexpr):
    """Return int32 (rows, words) as 16-bit floats (rows, 2 * words), the low half first."""
    both = tl.join(low(pairs, FLOAT), low((pairs >> 16) & 0xFFFF, FLOAT))
    return tl.reshape(both, (pairs.shape[0], 2 * pairs.shape[1]))


@triton.jit
def masked(words, MASK: tl.constexpr, MAGIC: tl.constexpr):
    """Return ``words & MASK | MAGIC``."""
    if INTERPRETED:
        return (words & MASK) | MAGIC
    else:
        mask = tl.full(words.shape, MASK, tl.int32)
        magic = tl.full(words.shape, MAGIC, tl.int32)
        return tl.inline_asm_elementwise(
            "lop3.b32 $0, $1, $2, $3, 0xEA;",
            "=r,r,r,r",
            [words, mask, magic],
            dtype=tl.int32,
            is_pure=True,
            pack=1,
        )


@triton.jit
def less(one, other, FLOAT: tl.constexpr):
    """Return ``one - other`` of the 16-bit floats in the halves of int32 (rows, words)."""
    if INTERPRETED:
        return halves(one, FLOAT) - halves(other + tl.zeros_like(one), FLOAT)
    else:
        ONE: tl.constexpr = -0x407F4080 if FLOAT == tl.bfloat16 else -0x43FF4400
        minus = tl.full(one.shape, ONE, tl.int32)
        return halves(multiplied_added(other + tl.zeros_like(one), minus, one, FLOAT), FLOAT)


@triton.jit
def times(one, other, FLOAT: tl.constexpr):
    """Return ``one * other`` of the 16-bit floats in the halves of int32 (rows, words)."""
    if INTERPRETED:
        return halves(one, FLOAT) * halves(other, FLOAT)
    else:
        nothing = tl.full(one.shape, -0x7FFF8000, tl.int32)
        return halves(multiplied_added(one, other, nothing, FLOAT), FLOAT)


@triton.jit
def multiplied_added(one, other, more, FLOAT: tl.constexpr):
    """Return ``one * other + more`` of the 16-bit floats in the halves of int32, rounded once."""
    if FLOAT == tl.bfloat16:
        CODE: tl.constexpr = "fma.rn.bf16x2 $0, $1, $2, $3;"
    else:
        CODE: tl.constexpr = "fma.rn.f16x2 $0, $1, $2, $3;"
    return tl.inline_asm_elementwise(
        CODE, "=r,r,r,r", [one, other, more], dtype=tl.int32, is_pure=True, pack=1
    )


@triton.jit
def dotted(w, xs, acc):
    """Return ``acc`` plus the product of two blocks of 16-bit floats."""
    if INTERPRETED:
        return tl.dot(w.to(tl.float32), xs.to(tl.float32), acc, input_precision="ieee")
    else:
        return tl.dot(w, xs, acc)


@triton.jit
def fetched(
    codes_ptr,
    high_ptr,
    scale_ptr,
    zero_ptr,
    at,
    part,
    KIND: tl.constexpr,
    WORDS: tl.constexpr,
    PARTS: tl.constexpr,
    EVICT: tl.constexpr,
):
    """Return what rows ``at`` of a chunk hold: words, third bits, bytes of scales, zero points.

    What a kind does not have is its words once more. ``part`` of ``PARTS``: of a row's words.
    """
    TAKEN: tl.constexpr = WORDS // PARTS
    spots = at[:, None] * WORDS + (part * TAKEN + tl.arange(0, TAKEN)[None, :])
    words = tl.load(codes_ptr + spots, eviction_policy=EVICT)
    high, scales, zeros = words, words, words
    if KIND == "int3":
        third = tl.load(high_ptr + spots).to(tl.int32) & 0xFFFF
        high = third | (third << 8)
    if KIND == "int4 with zeros":
        zeros = tl.load(zero_ptr + at)
    if KIND == "mxfp4" or KIND == "nvfp4":
        BYTES: tl.constexpr = 2 * TAKEN // (32 if KIND == "mxfp4" else 16)
        own = at[:, None] * (BYTES * PARTS) + (part * BYTES + tl.arange(0, BYTES)[None, :])
        scales = tl.load(scale_ptr + own)
    return words, high, scales, zeros


@triton.jit
def decoded(
    words,
    high,
    scales,
    zeros,
    i: tl.constexpr,
    KIND: tl.constexpr,
    EACH: tl.constexpr,
    FLOAT: tl.constexpr,
):
    """Return slice ``i`` of what `fetched` found as numbers (rows, columns of a slice).

    Integers without their scale, less their zero points; E2M1 with its scale. ``EACH``: slices
    of a zero point.
    """
    if KIND == "int4":
        return integers(words >> (4 * i), 0x000F000F, 8, FLOAT)
    elif KIND == "int4 with zeros":
        zero = ((zeros >> (8 * (i // EACH))) & 0xFF)[:, None]
        return integers(words >> (4 * i), 0x000F000F, zero, FLOAT)
    elif KIND == "int8":
        return bytewise(words >> (8 * i), FLOAT)
    elif KIND == "int2":
        return integers(words >> (2 * i), 0x00030003, 2, FLOAT)
    elif KIND == "int3":
        codes = ((words >> (2 * i)) & 0x00030003) | (((high >> i) & 0x00010001) << 2)
        return integers(codes, 0x00070007, 4, FLOAT)
    else:
        numbers = small_floats(words, i, FLOAT)
        return scaled_floats(numbers, (scales >> (8 * i)) & 0xFF, KIND, FLOAT)


@triton.jit
def integers(words, MASK: tl.constexpr, bias, FLOAT: tl.constexpr):
    """Return the codes of at most 7 bits under ``MASK`` in each half, minus ``bias``."""
    MAGIC: tl.constexpr = 0x43004300 if FLOAT == tl.bfloat16 else 0x64006400
    return less(masked(words, MASK, MAGIC), bias * 0x00010001 + MAGIC, FLOAT)


@triton.jit
def bytewise(words, FLOAT: tl.constexpr):
    """Return the int8 in each half's low byte; bfloat16 has no room for 8 bits beside its one."""
    if FLOAT == tl.bfloat16:
        signs = masked(words, 0x00800080, 0x43004300)
        return less(masked(words, 0x007F007F, 0x43004300), signs, FLOAT)
    else:
        return integers(words ^ 0x00800080, 0x00FF00FF, 128, FLOAT)


@triton.jit
def small_floats(words, i: tl.constexpr, FLOAT: tl.constexpr):
    """Return the E2M1 numbers of slice ``i`` in halves, times 2^-126 (bfloat16) or 2^-14."""
    if i == 3:
        sizes = ((words >> 5) & 0x01000100) | ((words >> 4) & 0x00C000C0)
        found = sizes | ((words << 1) & -0x7FFF8000)
    else:
        found = (words << (3 * i)) & -0x7E3F7E40
    if FLOAT == tl.bfloat16:
        return found
    else:
        return ((found & 0x01C001C0) << 3) | (found & -0x7FFF8000)


@triton.jit
def scaled_floats(numbers, scales, KIND: tl.constexpr, FLOAT: tl.constexpr):
    """Return numbers (rows, words) times the scales (rows, groups) of theirs: exact."""
    ROWS: tl.constexpr = numbers.shape[0]
    GROUPS: tl.constexpr = scales.shape[1]
    apart = tl.zeros((ROWS, GROUPS, numbers.shape[1] // GROUPS), tl.int32)
    if KIND == "mxfp4":
        factors = powers(scales, FLOAT)[:, :, None] + apart
    else:
        factors = eighths(scales, FLOAT)[:, :, None] + apart
    return times(numbers, tl.reshape(factors, numbers.shape), FLOAT)


@triton.jit
def powers(exponents, FLOAT: tl.constexpr):
    """Return stored exponents as scales in both halves, with the bias of ``small_floats``."""
    if FLOAT == tl.bfloat16:
        return exponents * 0x00800080
    else:
        return tl.maximum(exponents - 224, 0) * 0x04000400


@triton.jit
def eighths(scales, FLOAT: tl.constexpr):
    """Return stored scales of 5 and 3 bits in both halves, divided by 256, with the same bias."""
    if FLOAT == tl.bfloat16:
        return scales * 0x00100010 + 0x76007600
    else:
        return scales * 0x00800080 + 0x30003000


@triton.jit
def group_scale(words, HALF: tl.constexpr):
    """Return the bfloat16 in a half of int32 ``words`` as float32."""
    if HALF == 0:
        return (words << 16).to(tl.float32, bitcast=True)
    else:
        return ((words >> 16) << 16).to(tl.float32, bitcast=True)


@triton.jit
def scaled(numbers, scale):
    """Return 16-bit floats times a scale in their type, rounded once."""
    return numbers * tl.cast(scale, numbers.dtype)
