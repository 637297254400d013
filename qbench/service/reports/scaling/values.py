"""Test-time scaling of one run as values: what terminal, JSON, REST and pictures show."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from qbench.benchmarks.analysis.scaling.strategies import Strategy as Strategy  # noqa: PLC0414
from qbench.service.reports.values import SCHEMA, Estimate

Share = Annotated[float, Meta(ge=0, le=1)]
Cost = Annotated[float, Meta(ge=0)]
CostUnit = Literal["dollars", "kinetics"]
Group = Literal["within reach", "upper bound"]
"""``upper bound``: a verifier that is never wrong chooses. All others are ``within reach``: one
attempt and a weak test as measured, a vote as it is at least, a verifier as supposed."""
Reach = Literal["never", "yes", "open"]


class ScalingAsked(Struct, frozen=True, kw_only=True):
    """What a reader wants to know beyond the curves."""

    ks: tuple[int, ...] = ()
    """Numbers of attempts to tell; empty: 1, 2, 4, 8 … as far as the run goes."""
    soundness: Share | None = None
    """Of the verifier; None with ``completeness`` None: no verifier is supposed."""
    completeness: Share | None = None
    false_positive_cost: Cost = 0.0
    """Lost by a false answer, in right answers."""
    attempt_cost: Cost = 0.0
    """Lost by an attempt, in right answers."""
    weak_test: str = ""
    """Score component that accepts an attempt where it is 1; empty: none."""
    budgets: tuple[float, ...] = ()
    """Per sample, in the unit of cost."""
    cost: CostUnit = "dollars"
    gpu: str = "b200"
    """For ``kinetics``."""
    at_once: bool = False
    """All k attempts are made and paid, rather than one after the other until one is accepted."""
    least_gain: float = 0.005
    """Coverage per attempt at which more of them stop paying."""


class Depth(Struct, frozen=True, kw_only=True):
    """One system after k attempts at each sample."""

    k: int
    coverage: Estimate
    """pass@k: at least one passes. An upper bound of what any selector gets."""
    reliability: Estimate
    """pass^k: all pass."""
    vote: Estimate
    """More than half pass: a lower bound of majority voting."""
    cost: Estimate | None
    """Mean per sample when stopping at the first that passes; None when unknown."""
    cost_at_once: Estimate | None
    """Of k attempts."""


class Saturation(Struct, frozen=True, kw_only=True):
    """F(N) = F_max [1 - (1 - p_x)^N], fitted to the coverage curve."""

    most: Estimate
    """F_max."""
    hit: Estimate
    """p_x."""
    point: Estimate
    """N*: the first N after which an attempt adds at most ``least_gain``. May be infinite."""
    seen: int | None
    """The same read off the curve; None where that is beyond it."""
    gain: float
    """Of one more attempt than the curve has, by the fit."""
    error: float
    """Largest distance between fit and curve."""
    lower_bound: bool
    """Samples differ in difficulty: coverage goes on rising past ``most`` and ``point``."""
    cautions: tuple[str, ...]
    """Why the fit may mislead; empty where nothing speaks against it."""


class Accepted(Struct, frozen=True, kw_only=True):
    """Resampling until the verifier accepts, at most k times; without bias from the attempts."""

    k: int
    right: Estimate
    """Share of samples that end with a right answer."""
    false: Estimate
    """With a false one; the rest has none."""
    reward: Estimate
    """Right - false x its cost - attempts x theirs."""
    attempts: float
    """Expected number."""
    cost: Estimate | None


class Checked(Struct, frozen=True, kw_only=True):
    """What a system reaches with an imperfect verifier."""

    depths: tuple[Accepted, ...]
    at_least: Estimate
    """Right answers within all the attempts there are: below any ceiling, and without bias."""
    ceiling: Estimate | None
    """Right answers with endless attempts, if rates follow a beta law with the moments that were
    measured; None with one attempt per sample."""
    at_most: Estimate
    """The ceiling if all samples were equally hard: whatever their law, it is not higher."""
    best: int
    """K with the largest reward among the attempts there are; 0 where none pays."""
    best_low: int
    best_high: int
    rising: bool
    """The best K is the last one there are data for."""
    best_of_all: float | None
    """K by the beta law, beyond the data too; may be infinite."""


class Tested(Struct, frozen=True, kw_only=True):
    """Resampling until a weak test accepts, as recorded with every attempt."""

    completeness: Estimate | None
    """Share of right attempts that it accepts; None without a right one."""
    soundness: Estimate | None
    """Share of wrong attempts that it rejects; None without a wrong one."""
    accuracy: Estimate | None
    """Share of accepted attempts that are right; None where it accepts none."""
    depths: tuple[Accepted, ...]


class Against(Struct, frozen=True, kw_only=True):
    """Whether a weaker system with the verifier reaches the strongest one's single attempt."""

    strongest: str
    pass_rate: float
    """Of the strongest system."""
    ceiling_gap: Estimate
    """``at_most`` minus that."""
    reached_gap: Estimate
    """``at_least`` minus that."""
    reach: Reach


class SystemScaling(Struct, frozen=True, kw_only=True):
    """One system."""

    system_id: str
    label: str
    attempts: int
    """Largest k."""
    samples: int
    left_out: int
    """Samples with fewer scored attempts than the largest k: not in any number here."""
    greedy: bool
    """Sampled at temperature 0: attempts at a sample hardly differ."""
    depths: tuple[Depth, ...]
    saturation: Saturation | None
    """None with fewer than 4 attempts, or where nothing passed."""
    checked: Checked | None = None
    tested: Tested | None = None
    against: Against | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """One way to spend money on a sample."""

    label: str
    strategy: Strategy
    group: Group
    k: int
    cost: Estimate
    passed: Estimate
    undominated: bool
    """In its group, by the point estimates."""
    on_frontier: float
    """Share of resamples."""


class Choice(Struct, frozen=True, kw_only=True):
    """The plan that passes most for a budget per sample."""

    budget: float
    group: Group
    plan: Plan | None
    """None where nothing is that cheap."""
    chance: float
    """Share of resamples in which the same plan is chosen."""


class Scaling(Struct, frozen=True, kw_only=True):
    """What more attempts buy."""

    run_id: str
    basis: str
    asked: ScalingAsked
    unit: str
    """Of costs: ``$`` or ``TeFLOP``."""
    systems: tuple[SystemScaling, ...]
    """Best coverage first."""
    plans: tuple[Plan, ...]
    """Cheapest first, by group."""
    choices: tuple[Choice, ...]
    left_out: dict[str, str]
    """Label to reason."""
    notes: tuple[str, ...]
    finding: str
    schema: int = SCHEMA
