"""What follows from a frontier: budgets, accuracies, and what is lost without some systems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.frontier.choosing import (
    best_within,
    cheapest_reaching,
    mixture,
    reached,
)
from qbench.benchmarks.analysis.sums import Floats
from qbench.errors import NotFound
from qbench.service.domain import System
from qbench.service.reports.frontier.groups import BY_SYSTEM
from qbench.service.reports.frontier.planes import Plane, estimate_of
from qbench.service.reports.frontier.values import (
    AtAccuracy,
    AtBudget,
    Axis,
    FrontierStep,
    Mix,
    Without,
)
from qbench.service.reports.values import Estimate

QUALITY, SPEND = 0, 1
"""Places of accuracy and of what is spent among the objectives; ``read_choice`` puts them so."""


def at_budget(plane: Plane, budget: float) -> AtBudget:
    """Say who is best within a budget, and whether a mixture would be better."""
    quality, spend = plane.draws[:, :, QUALITY], plane.draws[:, :, SPEND]
    now = best_within(plane.values[None, :, QUALITY], plane.values[None, :, SPEND], budget)[0]
    at = _first(now)
    return AtBudget(
        axis=plane.objectives[SPEND].name,
        budget=budget,
        label="" if at is None else plane.labels[at],
        accuracy=_estimate(plane, QUALITY, at),
        spend=_estimate(plane, SPEND, at),
        affordable=_share(plane, None if at is None else spend[:, at] <= budget),
        best=_likely(plane, best_within(quality, spend, budget)),
        mix=_mix(plane, budget),
    )


def _first(chosen: NDArray[np.bool_]) -> int | None:
    return int(np.flatnonzero(chosen)[0]) if chosen.any() else None


def _estimate(plane: Plane, objective: int, at: int | None) -> Estimate | None:
    if at is None:
        return None
    return estimate_of(plane.cut, plane.objectives[objective].name, plane.systems[at])


def _share(plane: Plane, hits: NDArray[np.bool_] | None) -> float | None:
    return float(hits.mean()) if hits is not None and plane.resampled else None


def _likely(plane: Plane, chosen: NDArray[np.bool_]) -> dict[str, float]:
    """Return label to the share of resamples in which it is chosen, most probable first."""
    if not plane.resampled:
        return {}
    shares = chosen.mean(axis=0)
    order = [int(place) for place in np.argsort(-shares, kind="stable")]
    return {plane.labels[at]: float(shares[at]) for at in order if shares[at] > 0}


def _mix(plane: Plane, budget: float) -> Mix | None:
    found = mixture(plane.values[:, QUALITY], plane.values[:, SPEND], budget)
    if found is None:
        return None
    one, two = (plane.draws[:, place, QUALITY] for place in (found.cheaper, found.dearer))
    drawn = np.asarray((1 - found.share) * one + found.share * two, dtype=np.float64)
    return Mix(
        cheaper=plane.labels[found.cheaper],
        dearer=plane.labels[found.dearer],
        share=found.share,
        accuracy=plane.told(found.quality, drawn),
    )


def at_accuracy(plane: Plane, wanted: float) -> AtAccuracy:
    """Say who reaches an accuracy for the least, by the estimates and by the intervals."""
    quality, spend = plane.draws[:, :, QUALITY], plane.draws[:, :, SPEND]
    value, price = plane.values[None, :, QUALITY], plane.values[None, :, SPEND]
    at = _first(cheapest_reaching(value, price, wanted)[0])
    lows = np.array([[_low(plane, place) for place in range(len(plane.systems))]])
    safe = _first(cheapest_reaching(lows, price, wanted)[0])
    return AtAccuracy(
        axis=plane.objectives[SPEND].name,
        accuracy=wanted,
        label="" if at is None else plane.labels[at],
        spend=_estimate(plane, SPEND, at),
        rate=_estimate(plane, QUALITY, at),
        reaches=_share(plane, None if at is None else quality[:, at] >= wanted),
        safe="" if safe is None else plane.labels[safe],
        safe_spend=_estimate(plane, SPEND, safe),
        best=_likely(plane, cheapest_reaching(quality, spend, wanted)),
    )


def _low(plane: Plane, at: int) -> float:
    found = _estimate(plane, QUALITY, at)
    return found.low if found else np.nan


def without(plane: Plane, axes: Sequence[Axis], pattern: str) -> Without:
    """Say what the frontier loses without some systems. Raises NotFound where none fits."""
    gone = [at for at, system in enumerate(plane.systems) if _fits(system, pattern)]
    if not gone:
        raise NotFound.among("system on this plane", pattern, [s.ref for s in plane.systems])
    rest = plane.without(gone)
    whole, drawn = plane.hypervolume(axes)
    left, left_drawn = rest.hypervolume(axes) if rest.systems else (0.0, np.zeros_like(drawn))
    with np.errstate(invalid="ignore"):
        shares = 1 - left_drawn / np.where(drawn > 0, drawn, np.nan)
    return Without(
        pattern=pattern,
        systems=tuple(plane.labels[at] for at in gone),
        hypervolume=plane.told(left, left_drawn) if rest.systems else None,
        lost=plane.told(whole - left, drawn - left_drawn),
        share=plane.told(1 - left / whole, shares) if whole else None,
        steps=tuple(_steps(plane, gone)),
    )


def _fits(system: System, pattern: str) -> bool:
    """Tell whether a shell pattern fits a system's name, or its format, model or family."""
    names = (system.ref, system.label, *(name_of(system) for name_of in BY_SYSTEM.values()))
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)


def _steps(plane: Plane, gone: Sequence[int]) -> Iterable[FrontierStep]:
    """Yield, cheapest first, what the spend of each member buys with and without the systems.

    The budget is the member's own spend in every resample: an amount fixed beforehand would leave
    the member out of half of them.
    """
    if {one.name for one in plane.objectives[:1]} != {"accuracy"} or plane.objectives[SPEND].more:
        return
    kept = np.ones(len(plane.systems), dtype=np.bool_)
    kept[list(gone)] = False
    places = sorted(np.flatnonzero(plane.standing), key=lambda at: plane.values[at, SPEND])
    for at in map(int, places):
        now, now_rest = (float(x[0]) for x in _bought(plane.values[None], at, kept))
        drawn, drawn_rest = _bought(plane.draws, at, kept)
        yield FrontierStep(
            budget=plane.labels[at],
            spend=float(plane.values[at, SPEND]),
            best=plane.told(now, drawn),
            without=plane.told(now_rest, drawn_rest),
            lost=plane.told(now - now_rest, drawn - drawn_rest),
        )


def _bought(points: Floats, at: int, kept: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return (B,) accuracies that the spend of one system buys, from all and from some."""
    quality, spend = points[:, :, QUALITY], points[:, :, SPEND]
    budget = spend[:, [at]]
    return (
        reached(quality, best_within(quality, spend, budget)),
        reached(quality, best_within(quality, np.where(kept, spend, np.nan), budget)),
    )
