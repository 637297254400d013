"""How the frontier of one request family moved, as values."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from qbench.service.domain import Basis
from qbench.service.reports.cost.values import ExpertCost
from qbench.service.reports.values import SCHEMA, Estimate


class FrontierStep(Struct, frozen=True, kw_only=True):
    """The frontier at one moment, over the newest measurement of every system until then."""

    at: datetime
    why: Literal["measured", "prices"]
    """``measured``: a run ended, as booked. ``prices``: other prices came into force, and all
    that was ever measured is priced at them."""
    run_id: str
    """Of the run; empty for prices."""
    systems: int
    came: tuple[str, ...]
    """Labels of what was measured, or the names of the prices that came."""
    value: Estimate | None
    """V: dollars per right answer when each problem goes to the system that is cheapest on it, or
    to the expert. ``inf`` where nobody solves a problem and no expert is known; None without a
    system or a problem."""
    fall: Estimate | None
    """Dollars that V fell by since the step before; negative where it rose."""
    since_first: Estimate | None
    """The same since the first step of its kind, on the same resamples; None for that one."""
    solved: float | None
    """Share of the problems that somebody passed."""
    best: str
    """The one system with the cheapest right answer; empty when there is none."""
    best_cost: Estimate | None
    """Its cost of pass, a ratio of means."""
    undominated: tuple[str, ...]
    """In mean pass rate and dollars per attempt, the cheapest first."""
    entered: tuple[str, ...]
    left: tuple[str, ...]
    """Labels that joined and left the undominated ones."""
    left_out: dict[str, str] = {}
    """Label to why it does not count."""


class FrontierHistory(Struct, frozen=True, kw_only=True):
    """The frontier over time, over all runs that asked the same samples."""

    name: str
    """Of the schedule; else the run that was asked about."""
    basis: Basis
    suite: str
    runs: int
    problems: int
    """That every counted system was scored on."""
    families: int
    expert: ExpertCost | None
    steps: tuple[FrontierStep, ...]
    """Measured ones first, then prices; each oldest first."""
    finding: str
    schema: int = SCHEMA
