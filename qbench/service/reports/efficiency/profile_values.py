"""What a profile says: the values of ``qbench profile``."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from qbench.service.domain import ComputePath
from qbench.service.reports.values import SCHEMA, Estimate


class First(Struct, frozen=True, kw_only=True):
    """One prompt of the grid."""

    prompt: int
    seconds: Estimate
    """F(p): until the first token."""
    per_token: float | None
    """Slope of the further tokens at this prompt alone."""


class Point(Struct, frozen=True, kw_only=True):
    """One point of the grid: mean of its repeats beside the fit."""

    prompt: int
    output: int
    seconds: float
    fastest: float
    fitted: float
    repeats: int


class Trend(Struct, frozen=True, kw_only=True):
    """Whether a token takes longer after a longer prompt."""

    change: Estimate
    """Relative, from the shortest to the longest prompt."""
    gain: float
    """Rise of the adjusted R² with the context term."""
    used: bool
    """The term is in the fit that everything is costed with."""


class Fitted(Struct, frozen=True, kw_only=True):
    """``T(p, o) = F(p) + (o - 1) g``, with ``c p`` beside g where the grid wants it."""

    firsts: tuple[First, ...]
    per_token: Estimate
    """g, seconds."""
    context: float
    """c, seconds per prompt token; 0 where it is not used."""
    r_squared: float
    """Of T - F(p)."""
    spread: float
    """Relative residual standard deviation."""
    worst: float
    """Largest relative residual."""
    denoised: bool
    """Of the fastest repeat of each point; else of all repeats."""
    denoised_per_token: float | None
    """g from the fastest repeat of each point."""
    trend: Trend | None
    """None where the grid cannot tell."""
    points: tuple[Point, ...]


class CaseRow(Struct, frozen=True, kw_only=True):
    """One use case."""

    name: str
    prompt: int
    output: int
    seconds: Estimate
    """Idealized."""
    synchronous: Estimate | None
    """Queries per dollar, one at a time; None when unpriced."""
    asynchronous: float | None
    """Queries per dollar at the measured throughput; None when it was not measured."""
    extended: bool
    """Outside the measured grid."""


class Metric(Struct, frozen=True, kw_only=True):
    """One of the six metrics."""

    name: str
    value: float | None
    unit: str
    why: str = ""
    """Why it is unknown; what it was made of where it is known."""


class Reduction(Struct, frozen=True, kw_only=True):
    """How many times as many queries a dollar buys as with the first profile."""

    synchronous: Estimate
    """Mean of the use cases' ratios; interval: errors of both fits."""
    by_case: tuple[float, ...]
    over_cases: Estimate
    """The same mean; interval: t over the use cases."""
    asynchronous: float | None
    paired: Estimate | None
    """How many times as fast, geometric mean over the grid's pairs of requests made in turn; None
    where they were not. What else the machine does falls out of it."""
    in_turn: bool
    """Measured request by request in turn with the first; else at another time."""


class Profiled(Struct, frozen=True, kw_only=True):
    """One profile."""

    id: str
    label: str
    ref: str
    format: str
    effective: str
    path: ComputePath
    engine: str
    engine_version: str
    hardware: str
    devices: int
    made_at: datetime
    per_hour: float | None
    """Dollars of the machine; None when unpriced."""
    price: str
    """Whose, and since when."""
    fitted: Fitted
    streams: int
    """At which throughput was measured; 0: it was not."""
    cases: tuple[CaseRow, ...]
    metrics: tuple[Metric, ...]
    reduction: Reduction | None
    """None for the first, and where it runs on another machine without a price."""
    discarded: tuple[str, ...]


class Profiles(Struct, frozen=True, kw_only=True):
    """Profiles side by side; the first is the one that others are compared with."""

    rows: tuple[Profiled, ...]
    notes: tuple[str, ...]
    finding: str
    schema: int = SCHEMA
