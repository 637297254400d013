"""How far a product may be from float64, derived and not fitted. Needs no torch.

The error is the norm of the difference over the norm of the exact product, for inputs and weights
that are drawn at random. Three things round:

*The result*, once, to its type: at most u of each number, so at most u of the norm
(u = 2^-8 for bfloat16, 2^-11 for float16).

*The weight*, where it is 16 bits wide in the matrix unit (weight-only formats): a decoded weight
code x scale is rounded to the inputs' type, at most u of each. Those errors are independent, so
the sum's is at most u of its norm, with a sum whose terms are independent too.

*The sums*. A matrix unit adds t columns at once and cuts the running sum, towards zero, at a last
place of q of its size: 2^-23 in float32 (t = 16 columns of 16 bits). For E4M3 Hopper keeps about
14 bits (arXiv 2412.19437, 3.3.2: q = 2^-13, t = 32). A sum of random terms grows as the root of
the steps: were all cuts of one sign, after n = K / t steps they come to q n^1.5 (2/3) of a step's
size, which is (2/3) q n of the result. Kernels that promote sums earlier stay far below that.
int8 sums are exact.

Codes that are added *moved up* (``w4a8``: by 8, to be positive; 8 times the inputs' sum is taken
off in the same unit) make terms of the sums larger than the result's, and two of each column. Of
codes from 0 to 15 the root of the mean square is 8.8, with 8 besides, against 4.6 of what remains:
cuts count 3.7 times, and there are twice as many.

A wrong scale, a column left out or a code misread shows as far more, and what is smaller is what
the one-hot probe is for: it lets nothing be wrong by more than one rounding.
"""

from __future__ import annotations

from qbench.kernels.formats import Format
from qbench.kernels.schemes import FloatName
from qbench.kernels.speed.work import unit_of

ROUNDING: dict[FloatName, float] = {"bfloat16": 2**-8, "float16": 2**-11, "float32": 2**-24}
"""u: the largest relative error of rounding to a type."""
_LAST_PLACE = {"bf16": 2**-23, "fp8": 2**-13, "int8": 0.0}
_COLUMNS = {"bf16": 16, "fp8": 32, "int8": 32}

_MOVED_UP = 2 * (8.8 + 8) / 4.6

ROUNDED_INPUTS = 2**-8
"""Bound for kernels that round activations, against the reference in plain torch. Sums in another
order move a number by about 2^-21 of a group's peak; where it lay that near to a boundary between
two codes, it takes the other. Of 127 codes that happens to at most 2^-13 of the numbers, each then
off by a step, 1/40 of their usual size: 3e-4 of the norm. Scales move as rarely. Results in 16 bits
add u."""


def elementwise_bound(dtype: FloatName, roundings: int) -> float:
    """Return the largest relative error of numbers that were rounded so often on their way."""
    return roundings * ROUNDING[dtype]


def product_bound(fmt: Format, dtype: FloatName, columns: int, *, cut: bool = False) -> float:
    """Return the largest relative error of a product over ``columns`` in ``fmt``.

    ``cut``: numbers become 16 bits by cutting, which errs by a whole last place, not by rounding.
    """
    u, unit = ROUNDING[dtype] * (2 if cut else 1), unit_of(fmt)
    steps = -(-columns // _COLUMNS[unit])
    decoded = u if unit == "bf16" and fmt.weights is not None else 0.0
    grown = _MOVED_UP if fmt.weights and fmt.weights.element == "int4" and unit == "fp8" else 1.0
    return u + decoded + 2 / 3 * steps * _LAST_PLACE[unit] * grown
