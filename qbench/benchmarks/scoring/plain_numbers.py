r"""Numbers as people write final answers: ``1,234``, ``-0.5``, ``3/4``, ``\frac{3}{4}``, ``18%``.

Read exactly, without sympy: most reference answers are such numbers, and two of them need no
grader of their own.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor, log10

from msgspec import Struct

LONGEST = 200
"""Characters; longer texts are no plain numbers."""
_EXPONENT = 400
_DECIMAL = r"[-+]?(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d+)?(?:\.\d+|(?<=[\d])\.?)"
_SCIENTIFIC = re.compile(
    rf"(?P<digits>{_DECIMAL})(?:[eE](?P<e>[-+]?\d+)"
    r"|(?:\\times|\\cdot|×|·|\*)10(?:\^|\*\*)\{?(?P<ten>[-+]?\d+)\}?)?"
)
_RATIO = re.compile(
    rf"(?P<sign>[-+]?)(?:\\[dt]?frac(?:\{{(?P<a>{_DECIMAL})\}}\{{(?P<b>{_DECIMAL})\}}"
    rf"|(?P<c>\d)(?P<d>\d))|(?P<e>{_DECIMAL})/(?P<f>{_DECIMAL}))"
)
_NOISE = re.compile(r"\\[,;:! ]|\\left|\\right|\s|\\displaystyle")


class Tolerance(Struct, frozen=True, kw_only=True):
    """How far an answer may be off: the larger of the two counts; zero means exact."""

    relative: float = 0.0
    """Of the reference's size."""
    absolute: float = 0.0

    def around(self, value: Fraction) -> Fraction:
        """Return the largest distance that is right."""
        return max(abs(value) * Fraction(self.relative), Fraction(self.absolute))


EXACT = Tolerance()


class PlainNumber(Struct, frozen=True, kw_only=True):
    """A number and how it was written."""

    value: Fraction
    percent: bool = False
    decimal: bool = False
    """Whether it was written with a decimal point."""


def read(text: str) -> PlainNumber | None:
    """Read a plain number; None when ``text`` is anything else."""
    if len(text) > LONGEST:
        return None
    plain = _NOISE.sub("", text).strip("$").removesuffix(".").replace("\N{MINUS SIGN}", "-")
    plain = re.sub(r"^([-+]?)\\?[$€£]", r"\1", plain).strip("$")
    bare = re.sub(r"\\?%$", "", plain)
    value = _value(bare)
    if value is None:
        return None
    return PlainNumber(value=value, percent=bare != plain, decimal="." in bare)


def _value(text: str) -> Fraction | None:
    match = _SCIENTIFIC.fullmatch(text)
    if match:
        exponent = int(match["e"] or match["ten"] or 0)
        if abs(exponent) > _EXPONENT:
            return None
        return _plain(match["digits"]) * Fraction(10) ** exponent
    match = _RATIO.fullmatch(text)
    if not match:
        return None
    top = match["a"] or match["c"] or match["e"]
    bottom = _plain(match["b"] or match["d"] or match["f"])
    sign = -1 if match["sign"] == "-" else 1
    return sign * _plain(top) / bottom if bottom else None


def _plain(digits: str) -> Fraction:
    return Fraction(re.sub(r"[{},]", "", digits).removesuffix("."))


def equal(wanted: PlainNumber, given: PlainNumber, tolerance: Tolerance = EXACT) -> bool:
    """Whether ``given`` is ``wanted``, within ``tolerance``.

    A decimal stands for a fraction that has no finite one when six digits agree; a percentage
    stands for its number of percent and for its share.
    """
    return any(
        abs(one - given.value) <= _allowed(one, given, tolerance)
        for one in _readings(wanted, given)
    )


def _allowed(wanted: Fraction, given: PlainNumber, tolerance: Tolerance) -> Fraction:
    repeating = given.decimal and not _finite(wanted)
    sixth_digit = 10.0 ** (floor(log10(abs(wanted))) - 5) if repeating else 0
    return max(tolerance.around(wanted), Fraction(sixth_digit))


def _readings(wanted: PlainNumber, given: PlainNumber) -> tuple[Fraction, ...]:
    """Give what ``wanted`` may be written as, for a ``given`` with or without a percent sign."""
    if wanted.percent == given.percent:
        return (wanted.value,)
    return (wanted.value, wanted.value / 100 if wanted.percent else wanted.value * 100)


def _finite(value: Fraction) -> bool:
    """Whether the decimal of ``value`` ends."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
