"""The frontier over the days on which its models were released, and how fast it falls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from qbench.benchmarks.analysis.economics.decay import DAYS_PER_MONTH, FEWEST, decay
from qbench.benchmarks.analysis.economics.minima import gains, shares
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.domain import System
from qbench.service.pricebook import PriceBook
from qbench.service.reports.cost.grid import Draws, Grid, Key
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.cost.values import DecayFit, ReleaseStep
from qbench.service.reports.evidence import estimate

NOBODY: Key = ("until", "")
"""The frontier before any release: the expert alone."""


@dataclass(frozen=True)
class ReleaseDates:
    """Which compared systems were there on which day. A format has its model's day."""

    days: dict[date, tuple[System, ...]]
    """In order."""
    unknown: tuple[str, ...]
    """Models without a known day: they have no part in the frontier over time."""

    @classmethod
    def of(cls, systems: Sequence[System], options: CostOptions, book: PriceBook) -> ReleaseDates:
        """Date the systems."""
        days: dict[date, list[System]] = {}
        unknown: list[str] = []
        for system in systems:
            day = options.released_on(system.model, book)
            if day is None:
                unknown.append(system.model)
            else:
                days.setdefault(day, []).append(system)
        ordered = {day: tuple(days[day]) for day in sorted(days)}
        return cls(days=ordered, unknown=tuple(dict.fromkeys(unknown)))

    def rows(self, grid: Grid) -> Iterator[tuple[Key, Floats]]:
        """Yield (S,) V_p before any release and on each day."""
        if not self.days:
            return
        ids: set[str] = set()
        yield NOBODY, np.full(grid.problems, grid.expert)
        for day, systems in self.days.items():
            ids |= {system.id for system in systems}
            yield _key(day), grid.minimum(ids)


def _key(day: date) -> Key:
    return "until", day.isoformat()


def stepped(dates: ReleaseDates, draws: Draws) -> tuple[ReleaseStep, ...]:
    """Return the frontier day by day."""
    steps, before = [], NOBODY
    for day, systems in dates.days.items():
        now = _key(day)
        bounded = np.isfinite(draws.mean(before))
        steps.append(
            ReleaseStep(
                released=day,
                models=tuple(dict.fromkeys(system.model for system in systems)),
                value=draws.value(now),
                gain=draws.combined(gains, before, now) if np.isfinite(draws.mean(now)) else None,
                relative_gain=draws.combined(shares, before, now) if bounded else None,
            )
        )
        before = now
    return tuple(steps)


def fitted(dates: ReleaseDates, draws: Draws) -> tuple[DecayFit | None, str]:
    """Fit an exponential decay over the release days, or say why there is none."""
    if len(dates.days) < FEWEST:
        return None, f"a decay needs models of at least {FEWEST} known release days"
    values = np.array([draws.mean(_key(day)) for day in dates.days])
    if not np.isfinite(values).all():
        return None, "the frontier is infinite on some days: give the cost of an expert"
    first = min(dates.days)
    months = np.array([(day - first).days / DAYS_PER_MONTH for day in dates.days])
    drawn = np.stack([draws.drawn(_key(day)) for day in dates.days], axis=1)
    found = decay(months, values, drawn)
    if found is None:
        return None, "the frontier does not fall over these days"
    halving = estimate(found.halving, found.halving_interval)
    return DecayFit(a=found.a, b=found.b, c=found.c, halving_months=halving), ""
