"""What a run would take on a dedicated machine: the values of ``qbench efficiency``."""

from __future__ import annotations

from msgspec import Struct

from qbench.service.domain import Basis
from qbench.service.reports.values import SCHEMA, Estimate


class Costed(Struct, frozen=True, kw_only=True):
    """One system's recorded calls, costed with a profile."""

    system_id: str
    label: str
    model: str
    variant: str
    """The format, and which copy of it."""
    profile: str
    """What it was costed with: label and id; empty without one."""
    why: str
    """Why there is no profile; empty where there is one."""
    caution: str
    """What the profile is not: of this engine's version, of native kernels; empty for nothing."""
    attempts: int
    """Scored attempts whose calls are all known: the means are over these."""
    unknown: int
    """Scored attempts left out, because a call reported no usage or there was none."""
    calls: float | None
    """Per attempt."""
    raw: float | None
    """Measured: seconds of model calls per attempt, under the run's concurrency."""
    denoised: float | None
    """Measured: the same, each call as fast as the fastest of its repeats; None without any."""
    idealized: Estimate | None
    """Computed: seconds per attempt, one call at a time on a dedicated machine."""
    slowdown: Estimate | None
    """Raw / idealized."""
    dollars: Estimate | None
    """Idealized, per attempt; None when the profile's machine is unpriced."""
    recorded: float | None
    """Dollars per attempt as billed on the basis; None when unpriced."""
    joules: Estimate | None
    """Idealized, per attempt; None where no power is known."""
    power: str
    """Where the power is known from."""
    teraflops: float | None
    """Operations per attempt, 10^12; None where the model's shape is unknown."""
    extended: float | None
    """Share of the calls outside the profile's grid."""
    all_calls: int
    """Of every attempt, errored and superseded ones too."""
    all_seconds: float | None
    """Idealized, of those calls with known usage."""
    all_dollars: float | None
    weight_bytes: float | None
    compression: Estimate | None
    """MCR: baseline's bytes / bytes x pass rate / baseline's pass rate."""


class Scored(Struct, frozen=True, kw_only=True):
    """One system on the weighted axes; see docs/efficiency.md."""

    system_id: str
    label: str
    axes: dict[str, float | None]
    """log2 of the ratio to the baseline, more is better; None where unknown."""
    score: Estimate | None
    """Weighted mean of the axes; None where one of them is unknown."""
    first: float | None
    """Share of the resamples in which it scores most."""
    rank: float | None
    """Mean rank over the resamples."""
    wins: float | None
    """Share of all weightings under which it scores most."""
    why: str = ""
    """Why it has no score."""


class Efficiency(Struct, frozen=True, kw_only=True):
    """Recorded token counts of a run, costed without running, and a score over several axes."""

    run_id: str
    basis: Basis
    """Of the recorded dollars."""
    cached: bool
    """Prompt tokens that a cache served are left out."""
    weights: dict[str, float]
    """Of the axes that some system knows."""
    latency: str
    """Which seconds the latency axis has."""
    rows: tuple[Costed, ...]
    scores: tuple[Scored, ...]
    notes: tuple[str, ...]
    finding: str
    schema: int = SCHEMA
