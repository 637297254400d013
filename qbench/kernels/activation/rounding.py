"""Device functions that round as ``qbench.kernels.reference`` does: nearest even, saturating.

Under Triton's interpreter conversions truncate where a GPU rounds, so there numbers are put on
the target's grid by arithmetic first.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
"""Whether programs run on the CPU, step by step."""
_PAIR = tl.constexpr(
    """{
    .reg .b32 pair;
    cvt.rn.bf16x2.f32 pair, $3, $2;
    shl.b32 $0, pair, 16;
    and.b32 $1, pair, 0xffff0000;
}"""
)


@triton.jit
def start(EARLY: tl.constexpr):
    """Wait for the program that wrote the inputs, and let the next one be set up."""
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()


@triton.jit
def on_grid(x, SMALLEST: tl.constexpr, BITS: tl.constexpr):
    """Round float32 to ``BITS`` bits of mantissa; below the exponent field SMALLEST, to its steps.

    A number whose last bit is the wanted step is added and taken away again. Zeros become plus.
    """
    exponent = tl.maximum(x.to(tl.int32, bitcast=True) & 0x7F800000, SMALLEST << 23)
    large = (exponent + (((23 - BITS) << 23) + 0x400000)).to(tl.float32, bitcast=True)
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
def through(x, dtype: tl.constexpr):
    """Round float32 to a 16-bit type and back, two at a time where a GPU can."""
    if INTERPRETED or dtype != tl.bfloat16:
        return narrowed(x, dtype).to(tl.float32)
    else:
        return tl.inline_asm_elementwise(
            _PAIR, "=r,=r,r,r", [x], dtype=tl.float32, is_pure=True, pack=2
        )


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
def e2m1(x):
    """Round to E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives."""
    return tl.maximum(tl.minimum(on_grid(x, 127, 1), 6.0), -6.0)


@triton.jit
def e2m1_code(number):
    """Return the four bits of a number that is on the grid of E2M1.

    Times 2^-126, its exponent and mantissa are the lowest of a float32's, subnormals too.
    """
    bits = (number * 1.1754943508222875e-38).to(tl.int32, bitcast=True)
    return ((bits >> 22) & 7) | ((bits >> 28) & 8)


@triton.jit
def e4m3_scale(size):
    """Round positive numbers to E4M3, its smallest where they would vanish."""
    return tl.maximum(tl.minimum(on_grid(size, 121, 3), 448.0), 0.001953125)
