"""What each format keeps of its baseline: the values of ``qbench compare RUN --by format``."""

from __future__ import annotations

from msgspec import Struct

from qbench.service.domain import Basis, ComputePath
from qbench.service.fidelity import Fidelity
from qbench.service.reports.values import SCHEMA, Estimate, Flips, NoiseFloor, Verdict


class Kept(Struct, frozen=True, kw_only=True):
    """What is kept on a part of the samples."""

    name: str
    """A task, or ``all``."""
    samples: int
    """Paired: scored for both."""
    baseline: float
    """Pass rate on the paired samples."""
    system: float
    recovery: Estimate | None
    """Ratio of the two averages; None where the baseline passes nothing."""
    difference: Estimate
    """System minus baseline, in pass rate."""


class Shift(Struct, frozen=True, kw_only=True):
    """A mean of a system beside the baseline's."""

    baseline: float | None
    """Over all attempts that have a value."""
    system: float | None
    difference: Estimate | None
    """System minus baseline, over the samples on which both have a value."""
    samples: int
    """Those samples."""


class Lengths(Struct, frozen=True, kw_only=True):
    """Tokens written per attempt beside the baseline's, on the paired samples."""

    baseline: float
    system: float
    ratio: Estimate | None
    """Of the averages; None where the baseline writes nothing."""
    difference: Estimate
    """Tokens more than the baseline."""
    samples: int


class FormatReport(Struct, frozen=True, kw_only=True):
    """One format beside its baseline."""

    system_id: str
    label: str
    format: str
    effective: str
    """What was really served."""
    path: ComputePath
    verdict: Verdict
    """Against the baseline of its model; p adjusted over all formats of the report (Holm)."""
    within_noise: bool | None
    """The difference is no larger than the noise floor's bound; None without a noise floor."""
    overall: Kept | None
    """None without a sample that both were scored on."""
    tasks: tuple[Kept, ...]
    """Empty where there is one task only."""
    flips: Flips | None
    truncation: Shift | None
    """Share of attempts cut at a limit."""
    length: Lengths | None
    """None where tokens were not reported."""
    cost: Estimate | None
    """Ratio of mean dollars per attempt; None when one of them is unpriced."""
    decisions: dict[str, Shift]
    """Tool decisions by name, as docs/suites.md explains them; empty without tools."""
    fidelity: Fidelity | None
    invalid: str
    """Why the row is INVALID; empty when it is not."""


class ModelReport(Struct, frozen=True, kw_only=True):
    """One model in its formats."""

    model: str
    baseline: str
    """Label of the system that the others are compared with."""
    baseline_format: str
    baseline_invalid: str
    pass_rate: Estimate | None
    """The baseline's, over all of its samples."""
    noise: NoiseFloor | None
    """The baseline measured twice; None where it was measured once."""
    fidelity: Fidelity | None
    """The baseline's own, for its perplexity."""
    formats: tuple[FormatReport, ...]


class FormatComparison(Struct, frozen=True, kw_only=True):
    """Every model of a run: its baseline against each of its formats."""

    run_id: str
    status: str
    suite: str
    samples: int
    epochs: int
    margin: float
    basis: Basis
    models: tuple[ModelReport, ...]
    left_out: dict[str, str]
    """Model to reason."""
    finding: str
    schema: int = SCHEMA
