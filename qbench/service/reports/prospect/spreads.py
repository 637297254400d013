"""What past runs of a suite and its models tell a plan: spread, dollars and seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.design import Spread, measured
from qbench.benchmarks.analysis.outcomes import SCORED
from qbench.errors import NotFound
from qbench.service.domain import Request, Run, System
from qbench.service.reports.evidence import Evidence, known_mean
from qbench.service.store import Store

MOST_RUNS = 20
"""Newest runs of the suite that are read."""
LOOKED_AT = 200


@dataclass(frozen=True)
class Past:
    """Runs of the same suite and levels that share a model with the request."""

    runs: tuple[Evidence, ...]

    @classmethod
    def of(cls, store: Store, request: Request) -> Past:
        """Read them, newest first."""
        runs = (one.run for one in store.runs(LOOKED_AT))
        found = [run for run in runs if _alike(run, request)][:MOST_RUNS]
        return cls(tuple(Evidence.of(store, run.id) for run in found))

    def spread(self, request: Request) -> tuple[Spread, int, int] | None:
        """Return the spread pooled by samples, differences and runs it is from; None without."""
        models = {system.model for system in request.systems}
        found = [(ev.run.id, *one) for ev in self.runs for one in _spreads(ev, models)]
        if not found:
            return None
        weights = np.array([float(n) for _, _, n in found])

        def pooled(values: Sequence[float]) -> float:
            return float(np.average(values, weights=weights))

        spreads = [spread for _, spread, _ in found]
        return (
            Spread(
                between=pooled([one.between for one in spreads]),
                within=pooled([one.within for one in spreads]),
                effect=pooled([one.effect for one in spreads]),
            ),
            len(found),
            len({run for run, _, _ in found}),
        )

    def attempt(self, system: System) -> tuple[float | None, float | None, int]:
        """Return mean dollars and seconds of an attempt with a system, and the runs that tell."""
        told = [found for evidence in self.runs if (found := attempt_of(evidence, system))]
        dollars = [paid for paid, _ in told if paid is not None]
        return (
            float(np.mean(dollars)) if dollars else None,
            float(np.mean([taken for _, taken in told])) if told else None,
            len(told),
        )


def _alike(run: Run, request: Request) -> bool:
    mine, theirs = run.request, request
    models = {system.model for system in theirs.systems}
    return (
        (mine.suite, mine.suite_version) == (theirs.suite, theirs.suite_version)
        and set(mine.levels) == set(theirs.levels)
        and set(mine.tasks) == set(theirs.tasks)
        and any(system.model in models for system in mine.systems)
    )


def _spreads(evidence: Evidence, models: set[str]) -> Iterator[tuple[Spread, int]]:
    """Yield the spread of each valid difference between the wanted models and their baseline."""
    baseline = evidence.run.request.baseline
    known = {system.id: system for system in evidence.run.request.systems}
    if evidence.invalid(baseline) or known[baseline].model not in models:
        return
    for system in known.values():
        usable = not system.replica and system.id != baseline and system.model in models
        if usable and not evidence.invalid(system.id):
            spread = _spread(evidence, system.id, baseline)
            if spread is not None:
                yield spread


def _spread(evidence: Evidence, one: str, two: str) -> tuple[Spread, int] | None:
    places = evidence.place(one), evidence.place(two)
    if places[0] is None or places[1] is None:
        return None
    sums = evidence.sums
    first, second = ((sums.rates[place], sums.n[place]) for place in places if place is not None)
    found = measured(first, second, sums.family)
    return None if found is None else (found, int((~np.isnan(first[0] - second[0])).sum()))


def attempt_of(evidence: Evidence, system: System) -> tuple[float | None, float] | None:
    """Return mean dollars (None: unpriced) and seconds of the scored attempts with a system.

    None where the run has no such system or scored nothing. Copies of a baseline do not count.
    """
    try:
        place = next(
            evidence.place(other.id)
            for other in evidence.run.request.systems
            if (other.model, other.format, other.engine, other.way, other.replica)
            == (system.model, system.format, system.engine, system.way, 0)
        )
    except StopIteration:
        return None
    if place is None or not evidence.sums.n[place].any():
        return None
    out = evidence.outcomes
    seconds = float(out.seconds[(out.system == place) & (out.status == SCORED)].mean())
    costs = evidence.sums.costs[place][evidence.sums.n[place] > 0]
    return known_mean(costs), seconds


def system_of(request: Request, system_id: str) -> System:
    """Find a system by its id. Raises NotFound."""
    for system in request.systems:
        if system.id == system_id:
            return system
    raise NotFound(f"The run has no system {system_id}.", hint="See `qbench show`.")


def whole(samples: float) -> int:
    """Round a number of samples up."""
    return math.ceil(samples - 1e-9)
