"""What right answers cost, as values: by system, together, over time, and without each family."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from msgspec import Struct

from qbench.service.domain import Basis
from qbench.service.reports.values import SCHEMA, Estimate

MEANING = (
    "Two statistics that are never mixed. per-problem: each problem's mean cost / pass rate, the "
    "minimum over systems (and the expert) first and the mean over problems second, as in "
    "arXiv 2504.13359. ratio-of-means: mean cost / mean pass rate of one system, what a batch of "
    "all problems pays per right answer."
)


class ExpertCost(Struct, frozen=True, kw_only=True):
    """What an expert's right answer costs, and who says so."""

    dollars: Decimal
    source: str
    checked: date | None = None


class Retries(Struct, frozen=True, kw_only=True):
    """At most K attempts at each problem, until one passes."""

    attempts: int
    success: Estimate
    """Share of the problems that are solved."""
    cost: Estimate
    """Mean dollars per problem, failures included."""
    cost_of_pass: Estimate
    """Dollars per problem / share solved."""
    with_expert: Estimate | None
    """Mean dollars per problem when an expert answers what is left; null without one."""
    extrapolated: bool
    """Whether K is above the attempts that were made: rates are then taken as known."""


class CostOfPass(Struct, frozen=True, kw_only=True):
    """What one system pays for a right answer."""

    system_id: str
    label: str
    pass_rate: Estimate | None
    cost: Estimate | None
    """Mean dollars per attempt; null when unpriced."""
    ratio_of_means: Estimate | None
    """Dollars per attempt / pass rate."""
    per_problem: float | None
    """Median over samples of cost / pass rate, without an expert."""
    solved_share: float | None
    invalid: str
    """Why the row is not ranked; empty when it is."""
    per_problem_mean: Estimate | None = None
    """V of this system and the expert: mean over problems of min(cost / pass rate, expert)."""
    gain: Estimate | None = None
    """Dollars per problem by which the frontier falls when this system joins the others; null
    where the frontier is infinite."""
    essentialness: Estimate | None = None
    """The gain as a share of the frontier without this system, from 0 to 1; null where that is
    infinite."""
    cheapest_share: Estimate | None = None
    """Share of the problems on which it is the cheapest; equals share."""
    retries: Retries | None = None
    left_out: str = ""
    """Why it has no part in the frontier; empty when it has."""


class FrontierValue(Struct, frozen=True, kw_only=True):
    """The frontier cost-of-pass: what a right answer costs with all systems at hand."""

    value: Estimate
    """V: mean over problems of the minimum; ``inf`` where a problem has neither pass nor expert."""
    problems: int
    """That every compared system was scored on."""
    families: int
    attempts: float
    """Mean number per system and problem: V is a statement about so many (docs/cost-of-pass.md)."""
    at_expert: int
    """Problems whose cheapest answer is the expert's, or that nobody solved where there is none."""
    unsolved: int
    """Problems that no system solved."""
    solved_only: Estimate | None
    """The same mean over the problems that a system solved, without the expert."""
    held_out: Estimate | None
    """Half of the epochs choose each problem's system, the other half pay for at most as many
    attempts and then for the expert: free of the minimum's bias. Null with one epoch."""


class FamilyShare(Struct, frozen=True, kw_only=True):
    """A group of systems, and the frontier without it."""

    kind: str
    """``model``, ``format``, ``model family``, ``strategy``, or ``given`` on the command line."""
    name: str
    systems: tuple[str, ...]
    """Labels."""
    without: Estimate
    """V of the other systems and the expert."""
    essentialness: Estimate | None
    """(V without - V) / V without; null where V without is infinite."""


class Technique(Struct, frozen=True, kw_only=True):
    """What a strategy adds to the systems of the baseline's strategy."""

    name: str
    systems: tuple[str, ...]
    benefit: Estimate | None
    """(V of the plain systems - V with the strategy's) / V of the plain systems."""


class ReleaseStep(Struct, frozen=True, kw_only=True):
    """The frontier on the day of a release."""

    released: date
    models: tuple[str, ...]
    value: Estimate
    """V of all systems released until then, and the expert."""
    gain: Estimate | None
    """By how much the day's models lower V; null where V before and after are infinite."""
    relative_gain: Estimate | None
    """The gain as a share of V before; null where that is infinite."""


class DecayFit(Struct, frozen=True, kw_only=True):
    """V(t) = a exp(-b t) + c over the release dates, t in months since the first."""

    a: float
    b: float
    c: float
    halving_months: Estimate
    """ln 2 / b; the interval knows the problems, not which models there might have been."""


class CostsOfPass(Struct, frozen=True, kw_only=True):
    """Every system of a run, cheapest right answer first, unpriced ones last."""

    run_id: str
    basis: Basis
    rows: tuple[CostOfPass, ...]
    expert: ExpertCost | None = None
    """Null where nobody said what one costs."""
    frontier: FrontierValue | None = None
    """Null where no system is both valid and priced."""
    families: tuple[FamilyShare, ...] = ()
    techniques: tuple[Technique, ...] = ()
    releases: tuple[ReleaseStep, ...] = ()
    decay: DecayFit | None = None
    no_decay: str = ""
    """Why there is no fit."""
    meaning: str = MEANING
    notes: tuple[str, ...] = ()
    finding: str = ""
    schema: int = SCHEMA
