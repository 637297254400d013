"""Codes to numbers in registers: how a slice of a chunk of packed words becomes 16-bit floats.

A word holds pairs of neighbouring columns, one in each half, so that a shift, a mask and an *or*
make two floats at once: a code in the mantissa of a constant (128 in bfloat16, 1024 in float16)
is that constant plus the code, and a subtraction leaves the integer, exactly. E2M1 codes are
moved to where a float has its exponent and mantissa; the scale takes the difference of biases.
"""

from __future__ import annotations

import os

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
"""Triton's interpreter takes the bits of bfloat16 for whole numbers where it reckons with them."""


@triton.jit
def halves(pairs, FLOAT: tl.constexpr):
    """Return int32 (rows, words) as 16-bit floats (rows, 2 * words), the low half first."""
    if INTERPRETED and FLOAT == tl.bfloat16:
        low = (pairs << 16).to(tl.float32, bitcast=True)
        high = ((pairs >> 16) << 16).to(tl.float32, bitcast=True)
    else:
        low = (pairs & 0xFFFF).to(tl.int16).to(FLOAT, bitcast=True)
        high = ((pairs >> 16) & 0xFFFF).to(tl.int16).to(FLOAT, bitcast=True)
    return tl.reshape(tl.join(low, high), (pairs.shape[0], 2 * pairs.shape[1]))


@triton.jit
def less(one, other):
    """Return ``one - other`` in the type of ``one``."""
    return one - tl.cast(other, one.dtype)


@triton.jit
def times(one, other):
    """Return ``one * other`` in the type of ``one``, rounded once."""
    return one * tl.cast(other, one.dtype)


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
    MAGIC: tl.constexpr = 128.0 if FLOAT == tl.bfloat16 else 1024.0
    if KIND == "int4":
        return less(shifted((words >> (4 * i)) & 0x000F000F, FLOAT), MAGIC + 8.0)
    elif KIND == "int4 with zeros":
        zero = ((zeros >> (8 * (i // EACH))) & 0xFF).to(tl.float32)[:, None]
        return less(shifted((words >> (4 * i)) & 0x000F000F, FLOAT), zero + MAGIC)
    elif KIND == "int8":
        return bytewise(words >> (8 * i), FLOAT)
    elif KIND == "int2":
        return less(shifted((words >> (2 * i)) & 0x00030003, FLOAT), MAGIC + 2.0)
    elif KIND == "int3":
        codes = ((words >> (2 * i)) & 0x00030003) | (((high >> i) & 0x00010001) << 2)
        return less(shifted(codes, FLOAT), MAGIC + 4.0)
    else:
        numbers = small_floats(words << (12 - 4 * i), FLOAT)
        return scaled_floats(numbers, (scales >> (8 * i)) & 0xFF, KIND, FLOAT)


@triton.jit
def shifted(codes, FLOAT: tl.constexpr):
    """Return codes of at most 7 bits, one in each half of int32 ``codes``, plus ``MAGIC``."""
    if FLOAT == tl.bfloat16:
        return halves(codes | 0x43004300, FLOAT)
    else:
        return halves(codes | 0x64006400, FLOAT)


@triton.jit
def bytewise(words, FLOAT: tl.constexpr):
    """Return the int8 in each half's low byte; bfloat16 has no room for 8 bits beside its one."""
    if FLOAT == tl.bfloat16:
        signs = halves((words & 0x00800080) | 0x43004300, FLOAT)
        return less(halves((words & 0x007F007F) | 0x43004300, FLOAT), signs)
    else:
        return less(halves(((words & 0x00FF00FF) ^ 0x00800080) | 0x64006400, FLOAT), 1152.0)


@triton.jit
def small_floats(words, FLOAT: tl.constexpr):
    """Return the E2M1 number in each half's high 4 bits, times 2^-126 (bfloat16) or 2^-14."""
    if FLOAT == tl.bfloat16:
        return halves(((words >> 6) & 0x01C001C0) | (words & -0x7FFF8000), FLOAT)
    else:
        return halves(((words >> 3) & 0x0E000E00) | (words & -0x7FFF8000), FLOAT)


@triton.jit
def scaled_floats(numbers, scales, KIND: tl.constexpr, FLOAT: tl.constexpr):
    """Return ``numbers`` (rows, columns) times the scales (rows, groups) of theirs: exact."""
    ROWS: tl.constexpr = numbers.shape[0]
    COLUMNS: tl.constexpr = numbers.shape[1]
    GROUPS: tl.constexpr = scales.shape[1]
    apart = tl.reshape(numbers, (ROWS, GROUPS, COLUMNS // GROUPS))
    if KIND == "mxfp4":
        factors = powers(scales, FLOAT)
    else:
        factors = eighths(scales, FLOAT)
    return tl.reshape(times(apart, factors[:, :, None]), (ROWS, COLUMNS))


@triton.jit
def powers(exponents, FLOAT: tl.constexpr):
    """Return stored exponents as scales, with the bias that ``small_floats`` left: see packing."""
    if FLOAT == tl.bfloat16:
        return (exponents << 7).to(tl.int16).to(FLOAT, bitcast=True)
    else:
        return (tl.maximum(exponents - 224, 0) << 10).to(tl.int16).to(FLOAT, bitcast=True)


@triton.jit
def eighths(scales, FLOAT: tl.constexpr):
    """Return stored scales of 5 and 3 bits, divided by 256, with the same bias: see packing."""
    if FLOAT == tl.bfloat16:
        return ((scales << 4) + (236 << 7)).to(tl.int16).to(FLOAT, bitcast=True)
    else:
        return ((scales << 7) + (12 << 10)).to(tl.int16).to(FLOAT, bitcast=True)


@triton.jit
def group_scale(words, HALF: tl.constexpr):
    """Return the bfloat16 in a half of int32 ``words`` as float32."""
    if HALF == 0:
        return (words << 16).to(tl.float32, bitcast=True)
    else:
        return ((words >> 16) << 16).to(tl.float32, bitcast=True)
