"""Run-to-run spread: the values of ``qbench noise RUN RUN``."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from qbench.service.reports.values import SCHEMA, Estimate

UNIT = "characters"
"""Of the divergence index. The paper counts tokens; transcripts hold text."""


class Configuration(Struct, frozen=True, kw_only=True):
    """One run of a system."""

    run_id: str
    values: dict[str, str]
    """What differed, by name; empty text where it is not known."""
    pass_rate: float
    completion_tokens: float | None
    """Mean per attempt; None where tokens were not reported."""


class Spread(Struct, frozen=True, kw_only=True):
    """A system over configurations, on the samples that were scored in all of them."""

    label: str
    model: str
    format: str
    engine: str
    samples: int
    configurations: tuple[Configuration, ...]
    pass_rate: float
    """Mean over configurations."""
    std_accuracy: float
    """Std@Acc: sample standard deviation of the pass rate over configurations."""
    std_length: float | None
    """Avg_Std@Output_Length: tokens; mean over samples of the standard deviation."""
    unsteady: Estimate
    """Share of samples that pass in one configuration and fail in another."""
    identical: Estimate
    """Share of samples whose outputs are the same in all configurations, to the last letter."""
    divergence: float | None
    """Div_Index: median first position at which outputs differ, where they do; None where none
    does."""


def short_names(systems: Sequence[Spread]) -> dict[str, str]:
    """Name systems by their format where they share a model, by their label otherwise."""
    alike = len({one.model for one in systems}) == 1
    return {one.label: one.format if alike else one.label for one in systems}


class Gap(Struct, frozen=True, kw_only=True):
    """A format beside the baseline's format, over configurations."""

    label: str
    baseline: str
    difference: float
    """Of mean pass rates."""
    by_configuration: tuple[float, ...]
    """In the order of the runs."""
    std_accuracy: float
    """The larger of the two."""
    beyond: bool
    """The difference is larger than Std@Acc: where it is not, it is no finding; where it is, the
    paired verdict of a run decides."""


class RunNoise(Struct, frozen=True, kw_only=True):
    """Run-to-run spread (arXiv 2506.09501)."""

    runs: tuple[str, ...]
    suite: str
    differs: tuple[str, ...]
    """Names of what differed between the runs."""
    systems: tuple[Spread, ...]
    gaps: tuple[Gap, ...]
    left_out: dict[str, str]
    """Label to reason."""
    finding: str
    unit: str = UNIT
    """Of ``divergence``."""
    schema: int = SCHEMA
