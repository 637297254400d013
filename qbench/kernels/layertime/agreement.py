"""How far predictions are from whole engines: calibrated on 16 bits, held against the rest.

The overhead is found from the 16-bit rows of an engine alone, by least squares without negative
numbers, each row weighed by how far its runs are apart: what its measured seconds leave beside
products, attention and small work. Every other format is then predicted from its own kernels' rows
and that overhead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from msgspec import Struct
from scipy import optimize

from qbench.errors import NotFound
from qbench.kernels.layertime.curve import Floats
from qbench.kernels.layertime.endtoend import EndToEnd, Served
from qbench.kernels.layertime.kernels import PLAIN, Kernels, is_gpu
from qbench.kernels.layertime.serving import NO_OVERHEAD, LayerTime, Overhead, Traffic

SURE = 0.01
"""Least relative spread that a measurement is weighed by in a calibration."""
LEAST_FOR_CACHE = 3
"""Observations from which seconds per cached byte are told apart from seconds per layer."""


What = Literal["requests", "step"]
"""``requests``: of whole requests, prompts included; ``step``: of a decoding step by itself."""
WHATS: tuple[What, ...] = ("requests", "step")


class Compared(Struct, frozen=True, kw_only=True):
    """A measurement beside its prediction; tokens a second."""

    gpu: str
    engine: str
    engine_version: str
    model: str
    format: str
    kernel: str
    streams: int
    prompt: int
    output: int
    what: What
    measured: float
    predicted: float
    calibrated: bool
    """The overhead was found from it: its error says how well one overhead fits all streams."""
    doubt: str
    """Why nothing is judged by it; empty: it is."""
    date: str
    source: str

    @property
    def error(self) -> float:
        """Relative: predicted / measured - 1."""
        return self.predicted / self.measured - 1

    @property
    def judged(self) -> bool:
        """Whether the error of the model is made of it."""
        return not self.calibrated and not self.doubt


class Agreement(Struct, frozen=True, kw_only=True):
    """An engine's overhead on a GPU, and how far predictions with it are from measurements."""

    engine: str
    overhead: Overhead
    rows: tuple[Compared, ...]
    note: str = ""
    """What a reader must know of the overhead; empty for nothing."""

    @property
    def error(self) -> float | None:
        """Root mean square of the judged relative errors; None without any."""
        known = [row.error for row in self.rows if row.judged]
        return math.sqrt(float(np.mean(np.square(known)))) if known else None


@dataclass(frozen=True)
class _Point:
    """A measurement and the layer time that predicts it, without overhead."""

    of: EndToEnd
    row: Served
    time: LayerTime

    @property
    def traffic(self) -> Traffic:
        """Its requests."""
        return self.of.traffic(self.row)

    @property
    def seconds(self) -> tuple[float, ...]:
        """What was measured: a batch of requests, and a step where it was timed by itself."""
        whole = self.row.streams * self.of.output / self.row.tokens_per_second
        return (whole,) if self.row.step_s is None else (whole, self.row.step_s)

    @property
    def spread(self) -> float:
        """Half of what lies between the smallest and the largest run, relative; ``SURE`` least."""
        low, high = self.row.low, self.row.high
        if low is None or high is None:
            return SURE
        return max(SURE, (high - low) / 2 / self.row.tokens_per_second)

    def predicted(self, overhead: Overhead) -> tuple[float, ...]:
        """Predict the same parts."""
        time, traffic = replace(self.time, overhead=overhead), self.traffic
        whole = time.batch(traffic).seconds
        if self.row.step_s is None:
            return (whole,)
        return (whole, time.decode(traffic.batch, traffic.longest).seconds)


def agreement(kernels: Kernels, engine: str, known: Iterable[EndToEnd]) -> Agreement:
    """Calibrate an engine on a GPU and hold its formats against what was measured.

    Without a 16-bit measurement of the engine there, the overhead is zero and the note says so.
    """
    points = [
        point
        for one in known
        if one.engine == engine and is_gpu(one.gpu, kernels.gpu)
        for point in _points(kernels, one)
    ]
    plain = [point for point in points if _calibrates(point)]
    overhead = calibrated(plain) if plain else NO_OVERHEAD
    note = (
        ""
        if plain
        else f"{engine} was never measured end to end in {PLAIN} there, and no overhead is in it"
    )
    rows = tuple(row for point in points for row in _compared(point, overhead))
    return Agreement(engine=engine, overhead=overhead, rows=rows, note=note)


def calibrated(points: Sequence[_Point]) -> Overhead:
    """Find the overhead that explains what 16-bit measurements leave, the steadier ones first.

    Seconds per cached byte only where several batch sizes were measured, per prompt token only
    where steps were timed by themselves.
    """
    names = ["per_layer"]
    target = _column(point.seconds for point in points)
    if len(target) >= LEAST_FOR_CACHE and len({point.row.streams for point in points}) > 1:
        names.append("per_cached_byte")
    if any(point.row.step_s is not None for point in points):
        names.append("per_prompt_token")
    base = _column(point.predicted(NO_OVERHEAD) for point in points)
    each = np.column_stack(
        [
            _column(point.predicted(Overhead(**{name: 1.0})) for point in points) - base
            for name in names
        ]
    )
    scale = np.maximum(each.max(axis=0), np.finfo(float).tiny)
    weights = _column((point.spread,) * len(point.seconds) for point in points) * target
    found, _ = optimize.nnls(each / scale / weights[:, None], (target - base) / weights)
    return Overhead(**dict(zip(names, (found / scale).tolist(), strict=True)))


def _column(parts: Iterable[tuple[float, ...]]) -> Floats:
    return np.array([one for part in parts for one in part], dtype=np.float64)


def _calibrates(point: _Point) -> bool:
    return point.row.format == PLAIN and not point.row.doubt


def _points(kernels: Kernels, one: EndToEnd) -> list[_Point]:
    """Return the measurements whose kernels were timed."""
    found = []
    for row in one.rows:
        try:
            time = kernels.layer_time(one.transformer, row.format, one.engine, kernel=row.kernel)
        except NotFound:
            continue
        found.append(_Point(one, row, time))
    return found


def _compared(point: _Point, overhead: Overhead) -> Iterator[Compared]:
    one, row = point.of, point.row
    tokens = (row.streams * one.output, row.streams)
    parts = zip(WHATS, tokens, point.seconds, point.predicted(overhead), strict=False)
    for what, made, measured, predicted in parts:
        yield Compared(
            gpu=one.gpu,
            engine=one.engine,
            engine_version=one.engine_version,
            model=one.model,
            format=row.format,
            kernel=row.kernel,
            streams=row.streams,
            prompt=one.prompt,
            output=one.output,
            what=what,
            measured=made / measured,
            predicted=made / predicted,
            calibrated=_calibrates(point),
            doubt=row.doubt,
            date=one.date,
            source=one.source,
        )
