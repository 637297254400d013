"""Small floats: E4M3, E2M1 and NF4 as value tables, and rounding to them.

E4M3 is the finite variant of the OCP FP8 specification (arXiv 2209.05433): bias 7, largest 448, no
infinities, NaN where all bits below the sign are set. E2M1 is the element of the OCP microscaling
formats: bias 1, largest 6, neither infinity nor NaN. Both keep the sign of zero. NF4 is a
list of 16 levels: quantiles of a normal distribution (QLoRA, arXiv 2305.14314, appendix E).
"""

from __future__ import annotations

import math
from functools import cache

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import ConfigError


class Grid(Struct, frozen=True, kw_only=True):
    """A small float: its layout, from which every value follows."""

    name: str
    exponent_bits: int
    mantissa_bits: int
    bias: int
    nan_code: int | None
    """Magnitude bits that mean NaN; None where every code is a number."""

    @property
    def sign_bit(self) -> int:
        """The code of minus zero: what is added for negative values."""
        return 1 << (self.exponent_bits + self.mantissa_bits)

    @property
    def magnitudes(self) -> tuple[float, ...]:
        """All non-negative numbers, ascending: the code without its sign is the index."""
        return tuple(self.value(code) for code in range(self.sign_bit) if code != self.nan_code)

    @property
    def largest(self) -> float:
        """The largest number; what is beyond saturates to it."""
        return self.magnitudes[-1]

    def value(self, code: int) -> float:
        """Return what ``code`` means: subnormal where the exponent bits are zero."""
        magnitude = code % self.sign_bit
        exponent, mantissa = divmod(magnitude, 1 << self.mantissa_bits)
        fraction = mantissa / (1 << self.mantissa_bits) + (1 if exponent else 0)
        size = math.ldexp(fraction, max(exponent, 1) - self.bias)
        size = math.nan if magnitude == self.nan_code else size
        return -size if code >= self.sign_bit else size


E4M3 = Grid(name="e4m3", exponent_bits=4, mantissa_bits=3, bias=7, nan_code=0x7F)
E2M1 = Grid(name="e2m1", exponent_bits=2, mantissa_bits=1, bias=1, nan_code=None)


class Levels(Struct, frozen=True, kw_only=True):
    """A list of numbers, ascending: the code is the index."""

    name: str
    values: tuple[float, ...]


NF4 = Levels(
    name="nf4",
    values=(
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ),
)


def encode(values: Tensor, grid: Grid | Levels) -> Tensor:
    """Return the uint8 codes nearest to ``values``, any shape.

    Ties go to the even code of a Grid, and to the lower one of Levels.

    Values beyond the largest, infinities included, saturate. Works in float32: float64 input is
    rounded to that first.

    Raises:
        ConfigError: a value is NaN.

    """
    if bool(values.isnan().any()):
        raise ConfigError(
            f"NaN cannot be rounded to {grid.name}.",
            hint="Look for the damaged tensor: its checkpoint may be incomplete.",
        )
    exact = values.to(torch.float32)
    limits = _limits(grid, exact.device)
    if isinstance(grid, Levels):
        return torch.bucketize(exact, limits).to(torch.uint8)
    codes = torch.bucketize(exact.abs(), limits)
    return (codes + exact.signbit() * grid.sign_bit).to(torch.uint8)


def decode(codes: Tensor, grid: Grid | Levels) -> Tensor:
    """Return the float32 values of ``codes`` (integers, any shape)."""
    return _table(grid, codes.device)[codes.long()]


def round_to(values: Tensor, grid: Grid | Levels) -> Tensor:
    """Return ``values`` rounded to ``grid`` as float32; see ``encode``."""
    return decode(encode(values, grid), grid)


@cache
def _table(grid: Grid | Levels, device: torch.device) -> Tensor:
    """Return the values of all codes, kept on the device that asks again and again."""
    values = (
        grid.values
        if isinstance(grid, Levels)
        else [grid.value(code) for code in range(2 * grid.sign_bit)]
    )
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=torch.float32, device=device)


@cache
def _limits(grid: Grid | Levels, device: torch.device) -> Tensor:
    """Return the boundaries between neighbouring codes, likewise kept."""
    with torch.inference_mode(mode=False):
        found = _middles(grid) if isinstance(grid, Levels) else _boundaries(grid)
        return found.to(device)


def _boundaries(grid: Grid) -> Tensor:
    """Return the largest float32 that still rounds to each code but the last.

    That is the midpoint where the code is even, and the number just below it where it is odd.
    """
    sizes = torch.tensor(grid.magnitudes, dtype=torch.float32)
    middles = (sizes[:-1] + sizes[1:]) / 2
    below = torch.nextafter(middles, torch.zeros_like(middles))
    return torch.where(torch.arange(len(middles)) % 2 == 0, middles, below)


def _middles(levels: Levels) -> Tensor:
    """Return the boundaries between neighbouring levels."""
    values = torch.tensor(levels.values, dtype=torch.float32)
    return (values[:-1] + values[1:]) / 2
