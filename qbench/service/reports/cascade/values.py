"""A cascade between two systems of a run as values."""

from __future__ import annotations

from msgspec import Struct

from qbench.service.domain import Basis
from qbench.service.reports.values import SCHEMA, Estimate, Verdict


class Point(Struct, frozen=True, kw_only=True):
    """The cascade at one threshold, on the very attempts that would have chosen it."""

    threshold: float | None
    """Handed on below it; None: always handed on."""
    handed: float
    """Share."""
    pass_rate: Estimate
    cost: Estimate | None
    """Mean dollars; None when unpriced."""


class Policy(Struct, frozen=True, kw_only=True):
    """One way of answering all questions."""

    name: str
    handed: float
    pass_rate: Estimate
    cost: Estimate | None
    cost_of_pass: Estimate | None
    """Ratio of means."""


class CascadeReport(Struct, frozen=True, kw_only=True):
    """The cheap system first, the dear one where it seems unsure."""

    run_id: str
    basis: Basis
    first: str
    then: str
    signal: str
    votes: int
    """Cheap answers that one signal takes; all of them are paid."""
    samples: int
    margin: float
    """How much of the dear system's pass rate the chosen threshold may give up."""
    curve: tuple[Point, ...]
    policies: tuple[Policy, ...]
    """The cheap system alone, the dear one alone, the cascade at thresholds chosen held out."""
    thresholds: tuple[float | None, float | None]
    """As each half chose for the other; None: always handed on."""
    difference: Verdict
    """The held-out cascade against the dear system alone, on the same samples."""
    saved: Estimate | None
    """Mean dollars per question that it costs less than the dear system alone."""
    finding: str
    schema: int = SCHEMA
