"""What comparisons of systems show: two of them by many methods, or all pairs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from qbench.service.reports.values import SCHEMA, Estimate, Verdict


class Slice(Struct, frozen=True, kw_only=True):
    """Two systems on a part of the samples."""

    name: str
    """``all``, ``level 2``, or a task such as ``calendar``."""
    samples: int
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: Estimate
    """First minus second, in pass rate."""
    p: float
    """Unadjusted."""


class Method(Struct, frozen=True, kw_only=True):
    """What one method says of the difference of two systems on all samples."""

    name: str
    difference: Estimate | None
    """None for a test that has no interval."""
    p: float | None
    """Two-sided, of no difference; None for an interval that has no test."""
    families: bool
    """It knows that samples of one family are alike."""


class Rate(Struct, frozen=True, kw_only=True):
    """A system's pass rate on the shared samples, by two intervals."""

    label: str
    pass_rate: Estimate
    """Wilson's, on the effective number of attempts where there are families or epochs."""
    jeffreys: Estimate
    """95 % credible interval of the Beta-binomial posterior, on the same number."""


class Belief(Struct, frozen=True, kw_only=True):
    """The posterior of the difference, Jeffreys' prior on the four cells."""

    difference: Estimate
    """With its 95 % credible interval."""
    worse: float
    """P(the first is worse by more than the margin)."""
    equivalent: float
    better: float


class Comparison(Struct, frozen=True, kw_only=True):
    """Two systems of a run, by every method and part by part."""

    run_id: str
    first: str
    second: str
    """Labels."""
    verdict: Verdict
    slices: tuple[Slice, ...]
    components: dict[str, tuple[float | None, float | None]]
    """Mean of each score component, by system; None where it has no meaning."""
    finding: str
    margin: float = 0.05
    """Declared before the run."""
    equivalence_p: float | None = None
    """Of two one-sided tests against a difference of the margin or more."""
    non_inferiority_p: float | None = None
    """One-sided, against the first being worse by the margin or more."""
    methods: tuple[Method, ...] = ()
    rates: tuple[Rate, ...] = ()
    belief: Belief | None = None
    schema: int = SCHEMA


class Pair(Struct, frozen=True, kw_only=True):
    """Two of many systems."""

    first: str
    second: str
    verdict: Verdict
    """Its ``p`` is adjusted over all pairs."""
    p: float
    """Unadjusted."""


class Pairs(Struct, frozen=True, kw_only=True):
    """Every system of a run against every other one."""

    run_id: str
    margin: float
    correction: Literal["holm", "bh"]
    pairs: tuple[Pair, ...]
    """Smallest p first."""
    left_out: dict[str, str]
    """Label to reason."""
    finding: str
    schema: int = SCHEMA
