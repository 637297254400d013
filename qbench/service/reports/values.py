"""Report: what a run found, as values. Terminal, JSON, REST and pages all show these.

Made from ``Outcomes`` by ``qbench.benchmarks.analysis``; nothing here calls a model or draws.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from qbench.service.domain import Basis, ComputePath

T = TypeVar("T")

SCHEMA = 1
"""Version of the JSON form; a field may be added without raising it."""


class Estimate(Struct, frozen=True, kw_only=True):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float
    """``inf`` where the data do not bound it (a cost-of-pass with no pass in some resample)."""


VerdictKind = Literal[
    "baseline",
    "noise floor",
    "equivalent",
    "non-inferior",
    "worse",
    "better",
    "inconclusive",
    "invalid",
    "reference-free",
]
"""``noise floor``: the baseline measured once more; no candidate, and not judged.
``reference-free``: nothing passes or fails in the suite; see `qbench arena`."""


class Verdict(Struct, frozen=True, kw_only=True):
    """A system against the baseline, on the samples both were scored on."""

    kind: VerdictKind
    difference: Estimate | None = None
    """Pass rate minus the baseline's; None for the baseline itself."""
    p: float | None = None
    """McNemar's exact (one epoch, no families) or sign flips of families, Holm-adjusted."""
    samples: int = 0
    """Paired samples."""
    needed: int | None = None
    """Samples that would settle an inconclusive verdict at 80 % power; None when not."""


class Flips(Struct, frozen=True, kw_only=True):
    """Samples that one system passes and the other does not, by most of their attempts."""

    rate: Estimate
    """Of the paired samples, both directions together."""
    lost: int
    """The baseline passes, the system does not."""
    won: int
    samples: int


class NoiseFloor(Struct, frozen=True, kw_only=True):
    """The baseline against itself, measured a second time in the same run (A/A)."""

    label: str
    """Of the copy."""
    difference: Estimate
    """The copy's pass rate minus the baseline's."""
    bound: float
    """The end of that interval which is farther from zero: differences up to it are noise."""
    flips: Flips


class Validity(Struct, frozen=True, kw_only=True):
    """What stands behind a row. Printed under every headline."""

    planned: int
    scored: int
    errored: int
    """Excluded: infrastructure failed."""
    unscored: int
    truncated: int
    parse_failures: int
    """Attempts with a tool call that could not be read."""
    unpriced: int
    """Attempts whose cost is unknown."""
    cached_share: float | None
    """Prompt tokens that a cache served, of all; None when no usage was reported."""
    retries: int
    invalid: str = ""
    """Why the row is INVALID and keeps out of the ranking; empty when it is not."""
    stopped: str = ""
    """When and why it was asked no more, before the full design; empty when it was not."""


class Row(Struct, frozen=True, kw_only=True):
    """One system of a leaderboard."""

    system_id: str
    label: str
    model: str
    format: str
    effective: str
    """What was really served, for example ``w4a16 group 64``."""
    path: ComputePath
    engine: str
    hardware: str
    passed: int
    pass_rate: Estimate | None
    """None when nothing was scored."""
    interval: str
    """``wilson``, ``cluster-robust`` or ``confidence sequence``: how the pass rate's was made."""
    verdict: Verdict
    prompt_tokens: float | None
    """Mean per attempt."""
    completion_tokens: float | None
    seconds: float | None
    """Median wall seconds of an attempt."""
    cost: Estimate | None
    """Mean dollars per attempt; None when unpriced."""
    cost_of_pass: Estimate | None
    """Ratio of means: dollars per attempt / pass rate. ``inf`` without a pass."""
    cost_of_pass_per_problem: float | None
    """Median over samples of cost / pass rate (Cost-of-Pass, arXiv 2504.13359, Eq. 2)."""
    solved_share: float | None
    """Share of samples passed at least once: those with a finite cost-of-pass of their own."""
    on_frontier: float | None
    """Probability of being undominated in (pass rate, cost) over bootstrap resamples."""
    validity: Validity
    components: dict[str, float]
    """Means of the score components over the attempts that have them."""
    replica: int = 0
    """1 for the baseline measured once more: the noise floor, not a candidate."""
    way: str = ""
    """The strategy as it is written; empty for ``single``."""
    caveat: str = ""
    """What a reader of a strategy's numbers must know: that the suite's own verdict chose."""
    by_suite: dict[str, Estimate] = {}
    """Pass rate by suite, where the run asks several."""
    kernel: str = ""
    """Compute kernels that the engine chose; empty where it did not tell."""
    engine_version: str = ""
    startup: dict[str, float] = {}
    """Seconds of the engine's start by phase, none of them serving; empty where nobody told."""


class Stopping(Struct, frozen=True, kw_only=True):
    """How far a run went that goes on until it is decided."""

    most: int
    """Samples of the full design."""
    asked: int
    """Samples of the system that went farthest, in whole rounds."""
    rounds: int
    attempts: int
    """Made, whole rounds or not."""
    full_attempts: int
    dollars: float | None
    """Of the scored attempts, on the leaderboard's basis; None when something is unpriced."""
    full_dollars: float | None
    """Of the full design at the same mean costs."""
    systems: dict[str, str]
    """Id of each system that needs no more, to the reason."""
    finding: str


class Leaderboard(Struct, frozen=True, kw_only=True):
    """The ranking of one run, best pass rate first, INVALID rows last."""

    run_id: str
    status: str
    suite: str
    suite_version: str
    tasks: tuple[str, ...]
    levels: tuple[int, ...]
    samples: int
    epochs: int
    seed: int
    margin: float
    basis: Basis
    """Of local systems; API systems are always ``api``."""
    paid: float | None
    """Dollars of the whole run on what was really paid; None when something was unpriced."""
    made_at: datetime
    rows: tuple[Row, ...]
    finding: str
    """One sentence with its interval."""
    notes: tuple[str, ...]
    """What a reader must know: emulated formats, checkpoints, unpriced rows, unfinished runs."""
    noise: NoiseFloor | None = None
    """None where the baseline was measured once."""
    stopping: Stopping | None = None
    """None where every sample is asked."""
    schema: int = SCHEMA


def to_json(value: Any) -> bytes:
    """Write a report as JSON; infinity is the string ``inf``, an undefined number null."""
    return msgspec.json.encode(_writable(msgspec.to_builtins(value)))


def from_json(data: bytes, kind: type[T]) -> T:
    """Read what ``to_json`` wrote. Raises msgspec.ValidationError."""
    return msgspec.convert(msgspec.json.decode(data), kind, strict=False)


def _writable(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {key: _writable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_writable(part) for part in value]
    return value
