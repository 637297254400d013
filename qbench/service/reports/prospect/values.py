"""What a plan shows: the work, the samples a question needs, and what would settle open ones."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from qbench.service.reports.prospect.forecast import Forecast
from qbench.service.reports.values import SCHEMA, Estimate


class Need(Struct, frozen=True, kw_only=True):
    """A question, and the paired samples that answer it at the wanted power."""

    question: str
    alone: int
    """For one comparison."""
    corrected: int
    """For the hardest of all comparisons with the baseline: Holm's first step, alpha / k."""


class Expected(Struct, frozen=True, kw_only=True):
    """What one system will probably take for so many samples, told by past runs of the same."""

    label: str
    dollars: float | None
    """None where no past run of this system is priced."""
    minutes: float | None
    """With as many attempts in flight as planned; None where no past run has this system."""
    runs: int
    """Past runs that tell."""


class Design(Struct, frozen=True, kw_only=True):
    """How many samples a difference of interest needs."""

    mde: float
    """Smallest difference of pass rates that is to be shown."""
    margin: float
    power: float
    epochs: int
    comparisons: int
    """Systems against the baseline; copies not counted."""
    between: float
    """Variance of a sample's true difference."""
    within: float
    """Variance of one attempt with each system, which epochs divide."""
    effect: float
    """Design effect of families, contained in ``between``."""
    source: str
    """Where the spread is from."""
    planned: int
    detectable: float
    """The difference that the planned samples show, for one comparison."""
    detectable_corrected: float
    needs: tuple[Need, ...]
    expected: tuple[Expected, ...]
    """For the corrected number of samples of the first need."""
    finding: str


class Attempts(Struct, frozen=True, kw_only=True):
    """Means of what an attempt asks of an engine."""

    calls: float
    prompt: float
    """Tokens to be read, of all calls."""
    cached: float
    """Prompt tokens that a cache served."""
    output: float
    source: str
    """The past runs that tell; empty: nobody does, and a usual request is taken."""


class Pace(Struct, frozen=True, kw_only=True):
    """What a local system will take on a GPU whose kernels were timed. Predicted, not measured."""

    label: str
    gpu: str
    kernels: str
    """Whose."""
    streams: int
    """Attempts in flight that fit the GPU's memory; 0: the weights alone do not."""
    each: Attempts
    source: str
    """What predicts it, and its error."""
    tokens_per_second: float | None = None
    """Generated, of all streams."""
    per_million: Estimate | None = None
    """Dollars per million generated tokens, prompts included; None: unpriced."""
    seconds: Estimate | None = None
    """Of one attempt's calls; None where no past run tells its tokens."""
    minutes: Estimate | None = None
    """Of all attempts."""
    dollars: Estimate | None = None
    """Of all attempts, the machine busy throughout."""


class Planned(Struct, frozen=True, kw_only=True):
    """What a run would do, cost and be able to detect."""

    suite: str
    levels: tuple[int, ...]
    systems: tuple[str, ...]
    samples: int
    epochs: int
    attempts: int
    cells: int
    shards: int
    detectable_difference: float
    margin: float
    dollars_per_hour: dict[str, float | None]
    at_most_dollars: dict[str, float | None]
    refused: dict[str, str]
    decided_after_samples: dict[str, str] = {}
    """Size of a true difference to the samples, where a run goes on until it is decided."""
    design: Design | None = None
    """Where a smallest difference was named."""
    forecast: Forecast | None = None
    """What past runs make probable; never a measured number."""
    paces: tuple[Pace, ...] = ()
    """What kernels' rows predict of local systems that nobody measured."""
    schema: int = SCHEMA

    def facts(self) -> dict[str, Any]:
        """Return what is shown as names and values."""
        kept = ("design", "forecast", "paces", "schema")
        return {name: getattr(self, name) for name in self.__struct_fields__ if name not in kept}


class Unsettled(Struct, frozen=True, kw_only=True):
    """An inconclusive system, and what would settle it."""

    label: str
    difference: Estimate
    samples: int
    """Paired samples so far."""
    needed: Estimate | None
    """Samples in all that settle it at 80 % power, with an 80 % interval; None: nobody can say."""
    dollars: float | None
    """Of those samples with this system and its baseline, as this run paid; None: unpriced."""
    minutes: float | None
    command: str
    """Runs it."""


class Settling(Struct, frozen=True, kw_only=True):
    """What would settle a run's inconclusive verdicts."""

    run_id: str
    margin: float
    rows: tuple[Unsettled, ...]
    finding: str
    schema: int = SCHEMA
