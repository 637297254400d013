"""Device functions that round as ``qbench.kernels.reference`` does: nearest even, saturating.

Under Triton's interpreter conversions truncate where a GPU rounds, so there numbers are put on
the target's grid by arithmetic first.
"""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
"""Whether programs run on the CPU, step by step."""


@triton.jit
def on_grid(x, SMALLEST: tl.constexpr, BITS: tl.constexpr):
    """Round float32 to ``BITS`` bits of mantissa; below the exponent field SMALLEST, to its steps.

    A number whose last bit is the wanted step is added and taken away again.
    """
    field = tl.maximum((x.to(tl.int32, bitcast=True) >> 23) & 0xFF, SMALLEST)
    large = (((field + (23 - BITS)) << 23) | 0x400000).to(tl.float32, bitcast=True)
    return (x + large) - large


@triton.jit
def narrowed(x, dtype: tl.constexpr):
    """Round float32 to ``dtype``, to nearest even wherever it runs."""
    if INTERPRETED:
        if dtype == tl.bfloat16:
            x = on_grid(x, 1, 7)
        elif dtype == tl.float8e4nv:
            x = on_grid(x, 121, 3)
    return x.to(dtype)


@triton.jit
def quotient(x, step, inverse):
    """Return x / step rounded once, given 1 / step rounded once (Markstein's correction).

    Three operations an element, where IEEE division takes about a dozen and a branch.
    """
    near = x * inverse
    return tl.fma(tl.fma(-near, step, x), inverse, near)


@triton.jit
def reciprocal(step):
    """Return 1 / step rounded once: the fast reciprocal, corrected."""
    near = 1.0 / step
    return tl.fma(tl.fma(-near, step, 1.0), near, near)


@triton.jit
def token_step(peak, ELEMENT: tl.constexpr):
    """Return the float32 scale of values whose largest magnitude is ``peak``."""
    if ELEMENT == "int8":
        step = quotient(peak, 127.5, 0.00784313725490196)
    elif ELEMENT == "int4":
        step = quotient(peak, 7.5, 0.13333333333333333)
    else:
        step = quotient(peak, 448.0, 0.002232142857142857)
    return tl.maximum(step, 1.1754943508222875e-38)


@triton.jit
def whole_bits(x):
    """Return whole numbers next to float32 ``x`` below 2^22, in the low bits of int32."""
    return (x + 12582912.0).to(tl.int32, bitcast=True)


@triton.jit
def codes_of(x, step, inverse, ELEMENT: tl.constexpr):
    """Return int8 or E4M3 codes of ``x``, which is no larger than the peak of ``step``."""
    exact = quotient(x, step, inverse)
    if ELEMENT == "int8":
        return whole_bits(tl.minimum(exact, 127.0)).to(tl.int8)
    else:
        return narrowed(exact, tl.float8e4nv)


@triton.jit
def e2m1(size):
    """Round magnitudes to E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6."""
    return tl.minimum(on_grid(size, 127, 1), 6.0)


@triton.jit
def e2m1_code(rounded):
    """Return the three bits of a magnitude that is on the grid of E2M1."""
    bits = rounded.to(tl.int32, bitcast=True) >> 22
    return tl.where(rounded < 1.0, (rounded * 2.0).to(tl.int32), bits - 252)


@triton.jit
def e4m3_scale(size):
    """Round positive numbers to E4M3, its smallest where they would vanish."""
    return tl.maximum(tl.minimum(on_grid(size, 121, 3), 448.0), 0.001953125)
