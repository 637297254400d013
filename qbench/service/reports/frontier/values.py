"""Frontiers as values: who is undominated in some objectives, and what follows from it."""

from __future__ import annotations

from msgspec import Struct

from qbench.service.domain import Basis, ComputePath
from qbench.service.reports.values import SCHEMA, Estimate


class Axis(Struct, frozen=True, kw_only=True):
    """An objective, and the ends of the box in which hypervolume is measured."""

    name: str
    unit: str
    about: str
    more: bool
    """Whether more is better."""
    ideal: float
    reference: float
    """Whoever is not better than this commands nothing."""


class Point(Struct, frozen=True, kw_only=True):
    """A system on the plane of the objectives."""

    system_id: str
    label: str
    path: ComputePath
    pass_rate: Estimate | None
    """None when nothing was scored here."""
    cost: Estimate | None
    """None when unpriced; then cost is no objective."""
    cost_of_pass: Estimate | None
    undominated: bool
    """By the point estimates."""
    on_frontier: float | None
    """Probability over resamples; None with a single family, which cannot be resampled."""
    dominated_by: dict[str, float]
    """Label of another system to the probability that it is nowhere worse and somewhere better."""
    at: dict[str, Estimate] = {}
    """Objective to estimate, in the axis' unit; a number that no sample changes has no width."""
    sources: dict[str, str] = {}
    """Of numbers that no sample changes: ``measured``, ``documented`` or ``packed size``."""
    knee: float | None = None
    """Probability of being the knee."""
    contribution: Estimate | None = None
    """Share of the box that nobody else commands."""
    caution: str = ""
    """Why its money and seconds are not those of its format; empty where they are."""


class Knee(Struct, frozen=True, kw_only=True):
    """The member farthest from the chord of the normalised frontier."""

    label: str
    """Empty where the point estimates have none."""
    probability: float | None
    """That it is the knee, over resamples; of there being none where ``label`` is empty."""


class FrontierStep(Struct, frozen=True, kw_only=True):
    """The best accuracy that the price of one member buys, with and without some systems."""

    budget: str
    """Label of the member whose spend is the budget, in every resample its own."""
    spend: float
    best: Estimate
    without: Estimate
    """0 where nobody is left within the budget."""
    lost: Estimate


class Without(Struct, frozen=True, kw_only=True):
    """What the frontier loses when some systems are taken away."""

    pattern: str
    systems: tuple[str, ...]
    """Labels of those taken away."""
    hypervolume: Estimate | None
    """Of the others; None where nobody is left, or with a single family."""
    lost: Estimate | None
    """Share of the box."""
    share: Estimate | None
    """Of the whole hypervolume; None where that is 0."""
    steps: tuple[FrontierStep, ...]


class Mix(Struct, frozen=True, kw_only=True):
    """Attempts sent at random to one of two systems, spending the budget on average."""

    cheaper: str
    dearer: str
    share: float
    """Of attempts that go to the dearer."""
    accuracy: Estimate
    """At this share."""


class AtBudget(Struct, frozen=True, kw_only=True):
    """The best accuracy within a budget."""

    axis: str
    budget: float
    label: str
    """Of the best by the point estimates; empty where nobody is within the budget."""
    accuracy: Estimate | None
    spend: Estimate | None
    affordable: float | None
    """Probability that its spend is within the budget."""
    best: dict[str, float]
    """Label to the probability of being the best within the budget; most probable first."""
    mix: Mix | None = None
    """None where no mixture of two does better."""


class AtAccuracy(Struct, frozen=True, kw_only=True):
    """The cheapest system that reaches an accuracy."""

    axis: str
    accuracy: float
    label: str
    """Of the cheapest by the point estimates; empty where nobody reaches it."""
    spend: Estimate | None
    rate: Estimate | None
    reaches: float | None
    """Probability that it does."""
    safe: str
    """The cheapest whose interval lies above the accuracy; empty where there is none."""
    safe_spend: Estimate | None
    best: dict[str, float]
    """Label to the probability of being the cheapest that reaches it; most probable first."""


class FrontierGroup(Struct, frozen=True, kw_only=True):
    """The frontier of some systems or some samples."""

    name: str
    samples: int
    families: int
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    left_out: dict[str, str]
    hypervolume: Estimate | None
    knee: Knee | None
    finding: str


class Frontier(Struct, frozen=True, kw_only=True):
    """Which systems are worth considering: nobody is better in everything."""

    run_id: str
    basis: Basis
    points: tuple[Point, ...]
    """Cheapest first; INVALID systems and those with an unknown objective are left out."""
    left_out: dict[str, str]
    """Label to reason."""
    finding: str
    axes: tuple[Axis, ...] = ()
    families: int = 0
    """That were resampled."""
    resamples: int = 0
    hypervolume: Estimate | None = None
    """Share of the box between ideal and reference; None without a system."""
    knee: Knee | None = None
    by: str = ""
    groups: tuple[FrontierGroup, ...] = ()
    without: Without | None = None
    at_budget: AtBudget | None = None
    at_accuracy: AtAccuracy | None = None
    runs: tuple[str, ...] = ()
    """Ids, where there are several."""
    notes: tuple[str, ...] = ()
    """What a reader must know."""
    schema: int = SCHEMA
