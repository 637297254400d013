"""How far the same is from itself: the values of ``qbench noise``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from qbench.service.reports.values import SCHEMA, Estimate, NoiseFloor

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
    std_interval: tuple[float, float]
    """Its 95 % interval (chi-square): of two configurations it is very wide."""
    std_length: float | None
    """Avg_Std@Output_Length: tokens; mean over samples of the standard deviation."""
    unsteady: Estimate
    """Share of samples that pass in one configuration and fail in another."""
    identical: Estimate
    """Share of samples whose outputs are the same in all configurations, to the last letter."""
    divergence: float | None
    """Div_Index: median first position at which outputs differ, where they do; None where none
    does."""


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
    std_high: float
    """The larger of their upper ends: few runs leave much room."""
    beyond: bool
    """The difference is larger than Std@Acc: where it is not, it is no finding; where it is, the
    paired verdict of a run decides."""


class Variance(Struct, frozen=True, kw_only=True):
    """Where a system's spread comes from, and what more epochs would buy."""

    label: str
    model: str
    format: str
    samples: int
    """Scored every time."""
    runs: int
    """Measurements: runs, or a baseline and its A/A copy."""
    epochs: int
    parts: dict[str, Estimate]
    """Variance ``samples`` (how unequally hard), ``runs`` (all samples alike), ``interaction``
    (sample by run), ``epochs`` (within a sample; with one epoch the interaction too). A part
    that this design cannot tell is absent."""
    reliability: float | None
    """Share of the variance of the samples' means that is between samples."""
    error: float
    """Standard error of the pass rate, families and all; runs' common part left out. 0 where
    nothing varied, which says little: see the parts' upper ends."""
    outlook: dict[str, float]
    """Standard error at other numbers of epochs; ``inf`` leaves what samples alone cause. Empty
    where nothing varied, or the part within a sample is not known."""
    doubled: float
    """Standard error with twice the samples."""


def short_names(systems: Sequence[Spread] | Sequence[Variance]) -> dict[str, str]:
    """Name systems by their format where they share a model, by their label otherwise."""
    alike = len({one.model for one in systems}) == 1
    return {one.label: one.format if alike else one.label for one in systems}


class GradedScore(Struct, frozen=True, kw_only=True):
    """A system against the baseline in one score: pass or fail, or one in between."""

    score: str
    """``passed``, ``value``, or a component of the score."""
    label: str
    baseline: str
    samples: int
    difference: Estimate
    snr: float | None
    """|difference| / deviation of the samples' differences; None where there is neither."""
    needed: int | None
    """Samples that show the difference at 80 % power, if it is the truth."""
    steadiness: float | None
    """Mean / standard deviation (ddof 1) of the system's score over runs; None of one run."""
    monotone: Estimate | None
    """Kendall's tau of level and the system's score, -1 where each level is harder."""


class RunNoise(Struct, frozen=True, kw_only=True):
    """How far systems are from themselves (arXiv 2506.09501; 2411.00640; 2406.10229)."""

    runs: tuple[str, ...]
    suite: str
    differs: tuple[str, ...]
    """Names of what differed between the runs."""
    systems: tuple[Spread, ...]
    """Over runs; empty where there is one."""
    gaps: tuple[Gap, ...]
    left_out: dict[str, str]
    """Label to reason."""
    finding: str
    variance: tuple[Variance, ...] = ()
    floor: NoiseFloor | None = None
    """The baseline against its A/A copy; None where several runs are compared, or there is none."""
    scores: tuple[GradedScore, ...] = ()
    """Empty where a suite's scores are pass or fail alone."""
    notes: tuple[str, ...] = ()
    """What a reader must know: causes that changed together."""
    unit: str = UNIT
    """Of ``divergence``."""
    schema: int = SCHEMA


PartKind = Literal["task", "level", "family"]


class SignalPart(Struct, frozen=True, kw_only=True):
    """A part of the samples: how far systems are apart on it, and from themselves."""

    name: str
    samples: int
    signal: float | None
    """max |m_j - m_k| / mean over systems; None where nothing passes."""
    noise: float | None
    """std (ddof 0) / mean of the same measured again."""
    snr: Estimate | None
    """Their ratio; ``inf`` where nothing ever changes, None where there is neither."""
    agreement: float | None
    """Share of pairs of systems that one repeat orders as the mean of the others does."""
    kept: bool


class SignalNoise(Struct, frozen=True, kw_only=True):
    """Signal-to-noise ratio of the parts of a suite (arXiv 2508.13144)."""

    runs: tuple[str, ...]
    suite: str
    by: PartKind
    systems: tuple[str, ...]
    repeats: int
    """Most times that a system was measured."""
    chance: float | None
    """The ratio to expect where no two systems differ."""
    least: float
    """Parts below it are left out; 0 keeps all."""
    whole: SignalPart
    parts: tuple[SignalPart, ...]
    """Clearest first."""
    kept: SignalPart | None
    """All parts that are kept, together; None where that is all or none."""
    options: tuple[str, ...]
    """Of ``qbench run``, one run each, that measure the kept parts; empty where none do."""
    left_out: dict[str, str]
    notes: tuple[str, ...]
    finding: str
    schema: int = SCHEMA


class Item(Struct, frozen=True, kw_only=True):
    """A sample."""

    sample: str
    task: str
    level: int
    family: str
    difficulty: float
    """Mean pass over systems: 1 is easy."""
    discrimination: float | None
    """Correlation with the sum of the other samples; None where it does not vary."""
    p: float | None
    """That it is not below 0: one-sided, adjusted over samples; None where untested."""
    flips: float | None
    """Share of the systems measured again whose repeats disagree."""


class ItemGroup(Struct, frozen=True, kw_only=True):
    """The samples of a task."""

    name: str
    samples: int
    difficulty: float
    all_pass: int
    """Samples that every system always passes: no information."""
    all_fail: int
    flipping: int
    """Samples on which some system disagrees with itself."""
    discrimination: float | None
    """Mean over samples that vary."""
    negative: int
    """Samples with a discrimination below 0."""
    suspicious: int
    """Of those, the ones that chance does not explain: p below 0.05."""


class ItemReport(Struct, frozen=True, kw_only=True):
    """What single samples contribute (classical test theory)."""

    runs: tuple[str, ...]
    suite: str
    systems: tuple[str, ...]
    repeats: int
    whole: ItemGroup
    tasks: tuple[ItemGroup, ...]
    items: tuple[Item, ...]
    """Worst discrimination first."""
    alpha: Estimate | None
    """Cronbach's alpha (KR-20) over systems and repeats; None where they all agree."""
    split_half: float | None
    """Reliability of a sample's pass rate: odd against even repeats, stepped up."""
    left_out: dict[str, str]
    notes: tuple[str, ...]
    finding: str
    schema: int = SCHEMA
