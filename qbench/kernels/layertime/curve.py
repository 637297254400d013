"""Seconds of a product (N, K) with M tokens: through the measured rows, between and beyond them.

Where N and K were measured, the logarithm of the seconds is a line in log M between neighbouring
rows; below the smallest M its seconds hold, above the largest they grow in proportion to M. Where
they were not, the seconds are those of a fitted curve,

    t(N, K, M) = a + max(bytes / bandwidth, operations / rate) / efficiency(M),

whose error is what it misses shapes by that were held out of the fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import optimize

from qbench.errors import Unsupported
from qbench.kernels.formats import Format
from qbench.kernels.formats import fitted as fitted_to
from qbench.kernels.layertime.transformer import NUMBER_BYTES
from qbench.kernels.speed.rows import Unit

Floats = NDArray[np.float64]

LEAST_SHAPES = 3
"""Of shapes that a curve is fitted to: one held out leaves two, for two numbers."""


class Ceilings(Struct, frozen=True, kw_only=True):
    """What a GPU was measured to do at most."""

    bandwidth: float
    """Bytes a second, copying or reading, whichever is faster."""
    read: float
    """Bytes a second, reading."""
    rates: dict[Unit, float]
    """Operations a second of the matrix units; those that it has."""


class Seconds(Struct, frozen=True):
    """A prediction, and how far it is from what was measured."""

    value: float
    error: float
    """Relative; of the fitted curve, or of the rows' own spread."""
    extrapolated: bool
    """N and K were not measured."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """R measured rows of one kind of kernel; units: tokens, seconds."""

    rows: Floats
    columns: Floats
    tokens: Floats
    seconds: Floats
    spread: Floats
    """Relative."""

    def of(self, chosen: NDArray[np.bool_]) -> Timings:
        """Return some of them."""
        return Timings(
            rows=self.rows[chosen],
            columns=self.columns[chosen],
            tokens=self.tokens[chosen],
            seconds=self.seconds[chosen],
            spread=self.spread[chosen],
        )

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Every (N, K) that was measured."""
        pairs = zip(self.rows.tolist(), self.columns.tolist(), strict=True)
        return tuple(sorted({(int(n), int(k)) for n, k in pairs}))


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a product must move and do in a format: the roofline's two sides."""

    fmt: Format
    ceilings: Ceilings
    unit: Unit
    """Which matrix unit multiplies."""

    def bytes(self, rows: Floats, columns: Floats, tokens: Floats) -> Floats:
        """Return bytes: the weight once, inputs and outputs in 16 bits once."""
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        weight = np.array([_weight_bytes(self.fmt, int(n), int(k)) for n, k in pairs])
        moved: Floats = weight + tokens * (columns + rows) * NUMBER_BYTES
        return moved

    def floor(self, rows: Floats, columns: Floats, tokens: Floats) -> Floats:
        """Return the seconds that no kernel can go below on a GPU with these ceilings."""
        moved = self.bytes(rows, columns, tokens) / self.ceilings.bandwidth
        return np.maximum(moved, 2.0 * rows * columns * tokens / self._rate)

    @property
    def _rate(self) -> float:
        """Of the unit where the GPU has it, else of the 16-bit one."""
        return self.ceilings.rates.get(self.unit) or self.ceilings.rates["bf16"]


def _weight_bytes(fmt: Format, rows: int, columns: int) -> float:
    return fitted_to(fmt, columns).packed_bits(rows, columns) / 8


@dataclass(frozen=True, kw_only=True)
class Fit:
    """``t = a + floor u(M)``; u = 1 / efficiency at each measured M."""

    start: float
    """a, seconds."""
    tokens: Floats
    """(G,) ascending."""
    slowness: Floats
    """(G,) u."""

    def seconds(self, floor: Floats, tokens: Floats) -> Floats:
        """Return (R,) seconds; efficiency is a line in log M, and constant beyond the rows."""
        slow = np.interp(np.log(tokens), np.log(self.tokens), self.slowness)
        made: Floats = self.start + floor * slow
        return made


def fitted(floor: Floats, tokens: Floats, seconds: Floats) -> Fit:
    """Fit a and the efficiencies by relative least squares; none of them is negative.

    Args:
        floor: (R,) seconds of the roofline.
        tokens: (R,).
        seconds: (R,) measured.

    """
    known = np.unique(tokens)
    at = (tokens[:, None] == known) * floor[:, None]
    rows = np.column_stack([np.ones(len(floor)), at]) / seconds[:, None]
    found, _ = optimize.nnls(rows, np.ones(len(floor)))
    return Fit(start=float(found[0]), tokens=known, slowness=found[1:])


class Curve:
    """Seconds of products of one kind of kernel in one format on one GPU."""

    def __init__(self, timings: Timings, work: Work, name: str = "") -> None:
        """Take measured rows; ``name`` is told in errors."""
        self._timings = timings
        self._work = work
        self._name = name or work.fmt.name
        self._lines = dict(_lines(timings))
        self._fit: tuple[Fit, float] | None = None

    @property
    def work(self) -> Work:
        """The roofline that it stands on."""
        return self._work

    def seconds(self, rows: int, columns: int, tokens: float) -> Seconds:
        """Predict one product. Raises Unsupported where too few shapes were measured to fit."""
        line = self._lines.get((rows, columns))
        if line is not None:
            return Seconds(_along(line, tokens), float(np.median(line[2])), extrapolated=False)
        fit, error = self._fitted()
        n, k, m = (np.array([float(one)]) for one in (rows, columns, tokens))
        floor = self._work.floor(n, k, m)
        return Seconds(float(fit.seconds(floor, m)[0]), error, extrapolated=True)

    @property
    def error(self) -> float:
        """Relative error of the fitted curve: root mean square over shapes held out."""
        return self._fitted()[1]

    def _fitted(self) -> tuple[Fit, float]:
        if self._fit is None:
            self._fit = self._made()
        return self._fit

    def _made(self) -> tuple[Fit, float]:
        t = self._timings
        if len(t.shapes) < LEAST_SHAPES:
            raise Unsupported(
                f"{self._name} was measured at {len(t.shapes)} shapes: too few for another one.",
                hint="Measure this model's layers: qbench kernels speed.",
            )
        floor = self._work.floor(t.rows, t.columns, t.tokens)
        missed = [self._missed(floor, shape) for shape in t.shapes]
        error = math.sqrt(float(np.mean(np.concatenate(missed) ** 2)))
        return fitted(floor, t.tokens, t.seconds), error

    def _missed(self, floor: Floats, shape: tuple[int, int]) -> Floats:
        """Return relative errors of a fit to all other shapes."""
        t = self._timings
        out = (t.rows == shape[0]) & (t.columns == shape[1])
        fit = fitted(floor[~out], t.tokens[~out], t.seconds[~out])
        made: Floats = fit.seconds(floor[out], t.tokens[out]) / t.seconds[out] - 1
        return made


Line = tuple[Floats, Floats, Floats]
"""Tokens ascending, seconds, spreads of one (N, K)."""


def _lines(timings: Timings) -> Mapping[tuple[int, int], Line]:
    found: dict[tuple[int, int], Line] = {}
    for shape in timings.shapes:
        mine = timings.of((timings.rows == shape[0]) & (timings.columns == shape[1]))
        order = np.argsort(mine.tokens)
        found[shape] = (mine.tokens[order], mine.seconds[order], mine.spread[order])
    return found


def _along(line: Line, tokens: float) -> float:
    known, seconds, _ = line
    inside = math.exp(float(np.interp(math.log(tokens), np.log(known), np.log(seconds))))
    return inside * max(1.0, tokens / float(known[-1]))
