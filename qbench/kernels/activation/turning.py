"""Device functions of block Hadamard rotation: a token as four pieces of 32 columns in 128.

Sylvester's matrix of 128 is that of 4 times that of 32, so 32 columns at a time go through matrix
units (+1 and -1 with 16-bit inputs are exact, sums are float32), and what is left are additions of
whole pieces, in registers. Blocks of 16 are two in one matrix of 32; blocks of 64 stop one
addition sooner.
"""

from __future__ import annotations

import triton
import triton.language as tl

from qbench.kernels.activation.rounding import INTERPRETED


@triton.jit
def signs(BLOCK: tl.constexpr, dtype: tl.constexpr):
    """Return the (32, 32) matrix of +1 and -1 (and 0 between two blocks of 16)."""
    row = tl.arange(0, 32)[:, None]
    column = tl.arange(0, 32)[None, :]
    common = row & column & (BLOCK - 1)
    odd = common ^ (common >> 4)
    odd = odd ^ (odd >> 2)
    odd = (odd ^ (odd >> 1)) & 1
    found = 1.0 - 2.0 * odd.to(tl.float32)
    if BLOCK == 16:
        found = tl.where((row ^ column) < 16, found, 0.0)
    return found.to(dtype)


@triton.jit
def placed(ROWS: tl.constexpr):
    """Return the columns of the first piece, (ROWS, 32); the others follow by 32."""
    return tl.arange(0, ROWS)[:, None] * 128 + tl.arange(0, 32)[None, :]


@triton.jit
def pieces(x, columns, COLUMNS: tl.constexpr):
    """Load the four pieces of the token at ``x``, zeros beyond its end."""
    a = tl.load(x + columns, mask=columns < COLUMNS, other=0.0)
    b = tl.load(x + columns + 32, mask=columns + 32 < COLUMNS, other=0.0)
    c = tl.load(x + columns + 64, mask=columns + 64 < COLUMNS, other=0.0)
    d = tl.load(x + columns + 96, mask=columns + 96 < COLUMNS, other=0.0)
    return a, b, c, d


@triton.jit
def product(piece, matrix):
    """Multiply in 16 bits with float32 sums; the interpreter knows no product of bfloat16."""
    if INTERPRETED:
        return tl.dot(piece.to(tl.float32), matrix.to(tl.float32))
    else:
        return tl.dot(piece, matrix)


@triton.jit
def turned(a, b, c, d, matrix, BLOCK: tl.constexpr):
    """Multiply by the matrix of ``signs``: float32 sums, not yet divided by the block's root."""
    a, b, c, d = product(a, matrix), product(b, matrix), product(c, matrix), product(d, matrix)
    if BLOCK >= 64:
        a, b = a + b, a - b
        c, d = c + d, c - d
    if BLOCK >= 128:
        a, c = a + c, a - c
        b, d = b + d, b - d
    return a, b, c, d


@triton.jit
def scaled(piece, BLOCK: tl.constexpr):
    """Divide by the root of the block."""
    if BLOCK == 16:
        return piece * 0.25
    elif BLOCK == 32:
        return piece * 0.17677669529663687
    elif BLOCK == 64:
        return piece * 0.125
    else:
        return piece * 0.08838834764831843


@triton.jit
def largest(a, b, c, d):
    """Return the largest magnitude of the four pieces."""
    both = tl.maximum(tl.maximum(tl.abs(a), tl.abs(b)), tl.maximum(tl.abs(c), tl.abs(d)))
    return tl.max(tl.max(both, axis=1), axis=0)
