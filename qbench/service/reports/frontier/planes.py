"""Systems on the plane of some objectives: what was measured, what was drawn, who is left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import pass_rate
from qbench.benchmarks.analysis.economics.costofpass import ratio_interval
from qbench.benchmarks.analysis.frontier.hypervolume import in_box, volumes
from qbench.benchmarks.analysis.frontier.pareto import knees, members
from qbench.benchmarks.analysis.resampling import percentile_interval
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.domain import ComputePath, System
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.frontier.choice import Choice
from qbench.service.reports.frontier.objectives import CONSTANTS, Cut, Objective
from qbench.service.reports.frontier.values import Axis
from qbench.service.reports.values import Estimate

MARGIN = 1.1
"""The reference is this much beyond the worst system."""
NOT_NATIVE = ("emulated", "weight-only fallback")
ALWAYS = ("accuracy", "cost", "cost-of-pass")
"""Told of every system, whatever the objectives."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Y systems, D objectives, B resamples; systems with an unknown objective are left out."""

    cut: Cut
    systems: tuple[System, ...]
    labels: tuple[str, ...]
    """Of the systems; no two are equal."""
    objectives: tuple[Objective, ...]
    values: Floats
    """(Y, D) as measured."""
    draws: Floats
    """(B, Y, D)."""
    sources: tuple[dict[str, str], ...]
    left_out: dict[str, str]

    @property
    def resampled(self) -> bool:
        """Whether there is more than one family: a single one cannot be resampled."""
        return self.cut.sums.families > 1

    @cached_property
    def signs(self) -> Floats:
        """(D,) -1 where more is better: values x signs are losses."""
        return np.array([-1.0 if one.more else 1.0 for one in self.objectives])

    @cached_property
    def losses(self) -> Floats:
        """(B, Y, D)."""
        return np.asarray(self.draws * self.signs, dtype=np.float64)

    @cached_property
    def now(self) -> Floats:
        """(1, Y, D) losses of the point estimates."""
        return np.asarray(self.values * self.signs, dtype=np.float64)[None]

    @cached_property
    def members(self) -> NDArray[np.bool_]:
        """(B, Y)."""
        return members(self.losses)

    @cached_property
    def standing(self) -> NDArray[np.bool_]:
        """(Y,) members by the point estimates."""
        found: NDArray[np.bool_] = members(self.now)[0]
        return found

    @cached_property
    def knees(self) -> NDArray[np.bool_]:
        """(B, Y)."""
        return knees(self.losses, self.members)

    @cached_property
    def knee(self) -> NDArray[np.bool_]:
        """(Y,) by the point estimates."""
        found: NDArray[np.bool_] = knees(self.now, self.standing[None])[0]
        return found

    def boxed(self, losses: Floats, axes: Sequence[Axis]) -> Floats:
        """Scale losses into the box of the axes."""
        ideal = np.array([axis.ideal for axis in axes]) * self.signs
        reference = np.array([axis.reference for axis in axes]) * self.signs
        return in_box(losses, ideal, reference)

    def hypervolume(self, axes: Sequence[Axis]) -> tuple[float, Floats]:
        """Return the share of the box that all command, and its (B,) draws."""
        now = float(volumes(self.boxed(self.now, axes))[0])
        return now, volumes(self.boxed(self.losses, axes))

    def told(self, value: float, draws: Floats) -> Estimate:
        """Return a share with its interval; without known draws anything is possible."""
        known = self.resampled and not np.isnan(draws).all()
        return estimate(value, percentile_interval(draws) if known else (0.0, 1.0))

    def without(self, gone: Sequence[int]) -> Plane:
        """Return the plane without the systems at some places."""
        kept = [place for place in range(len(self.systems)) if place not in set(gone)]
        return Plane(
            cut=self.cut,
            systems=tuple(self.systems[place] for place in kept),
            labels=tuple(self.labels[place] for place in kept),
            objectives=self.objectives,
            values=self.values[kept],
            draws=self.draws[:, kept],
            sources=tuple(self.sources[place] for place in kept),
            left_out=self.left_out,
        )


def plane_of(cut: Cut, systems: Sequence[System], choice: Choice) -> Plane:
    """Place systems on the plane, or say why they are left out."""
    cut.prepare((*choice.on, *ALWAYS))
    found: list[tuple[System, list[tuple[float, Floats, str]]]] = []
    left_out: dict[str, str] = {}
    names = names_of(cut.evidence.run.request.systems)
    for system in systems:
        why = _kept_out(cut.evidence, system, choice)
        place = cut.evidence.place(system.id)
        if why or place is None:
            left_out[names[system.id]] = why or "nothing was scored"
            continue
        parts = [_part(cut, one.name, system, place) for one in choice.objectives]
        unknown = [one for one, part in zip(choice.objectives, parts, strict=True) if _nan(part)]
        if unknown:
            left_out[names[system.id]] = unknown[0].unknown
        else:
            found.append((system, parts))
    return _made(cut, found, left_out, choice)


def _made(
    cut: Cut,
    found: list[tuple[System, list[tuple[float, Floats, str]]]],
    left_out: dict[str, str],
    choice: Choice,
) -> Plane:
    ends, names = len(choice.on), names_of(cut.evidence.run.request.systems)
    draws = [np.stack([part[1] for part in parts], axis=-1) for _, parts in found]
    return Plane(
        cut=cut,
        systems=tuple(system for system, _ in found),
        labels=tuple(names[system.id] for system, _ in found),
        objectives=choice.objectives,
        values=np.array([[part[0] for part in parts] for _, parts in found]).reshape(-1, ends),
        draws=np.stack(draws, axis=1) if draws else np.zeros((0, 0, ends)),
        sources=tuple(_sources(parts, choice) for _, parts in found),
        left_out=left_out,
    )


def names_of(systems: Sequence[System]) -> dict[str, str]:
    """Return id to label; where two are called alike, with the beginning of the id."""
    often = Counter(system.label for system in systems)
    return {
        system.id: system.label if often[system.label] == 1 else f"{system.label} {system.id[:4]}"
        for system in systems
    }


def _sources(parts: list[tuple[float, Floats, str]], choice: Choice) -> dict[str, str]:
    return {name: part[2] for name, part in zip(choice.on, parts, strict=True) if part[2]}


def _kept_out(evidence: Evidence, system: System, choice: Choice) -> str:
    if system.replica:
        return "the noise floor: the baseline measured once more"
    reason = evidence.invalid(system.id)
    if reason:
        return reason
    path = path_of(evidence, system)
    return f"{path}, not native" if choice.native_only and path in NOT_NATIVE else ""


def path_of(evidence: Evidence, system: System) -> ComputePath:
    """Return how a system's format was computed."""
    endpoint = evidence.endpoint(system)
    return endpoint.path if endpoint else "unknown"


def _part(cut: Cut, name: str, system: System, place: int) -> tuple[float, Floats, str]:
    """Return an objective's value, draws and, of a constant, its source."""
    if name not in CONSTANTS:
        return cut.value(name, place), cut.draws(name, place), ""
    value, source = CONSTANTS[name](system, cut.evidence.endpoint(system))
    return value, np.full_like(cut.draws("accuracy", place), value), source


def _nan(part: tuple[float, Floats, str]) -> bool:
    return math.isnan(part[0]) or bool(np.isnan(part[1]).all())


def estimate_of(cut: Cut, name: str, system: System) -> Estimate | None:
    """Estimate an objective of a system; None where it is unknown."""
    place = cut.evidence.place(system.id)
    if place is None:
        return None
    value, draws, source = _part(cut, name, system, place)
    if math.isnan(value):
        return None
    return estimate(value, (value, value) if source else _interval(cut, name, place, draws))


def _interval(cut: Cut, name: str, place: int, draws: Floats) -> tuple[float, float]:
    sums = cut.sums
    if name == "accuracy":
        found = pass_rate(sums.rates[place], sums.n[place], sums.family)
        return (found.low, found.high) if found else (0.0, 1.0)
    if sums.families < 2:
        return 0.0, math.inf
    return _per_pass(cut, place) if name == "cost-of-pass" else percentile_interval(draws)


def _per_pass(cut: Cut, place: int) -> tuple[float, float]:
    tried = cut.sums.n[place] > 0
    clusters = len(np.unique(cut.sums.family[tried]))
    cost = cut.value("cost", place)
    return ratio_interval(cost, clusters, cut.draws("cost", place), cut.draws("accuracy", place))


def axes_of(planes: Sequence[Plane], choice: Choice) -> tuple[Axis, ...]:
    """Return the objectives with the ends of one box for all of the planes.

    The ideal is an accuracy of 1, or nothing spent. The reference is an accuracy of 0, or
    ``MARGIN`` x the worst system's finite spend, where the user names none.
    """
    made = []
    for at, one in enumerate(choice.objectives):
        spent = np.concatenate([plane.values[:, at] for plane in planes]) if planes else np.zeros(0)
        worst = float(np.max(spent[np.isfinite(spent)], initial=0.0)) * MARGIN or 1.0
        made.append(
            Axis(
                name=one.name,
                unit=one.unit,
                about=one.about,
                more=one.more,
                ideal=1.0 if one.more else 0.0,
                reference=choice.reference.get(one.name, 0.0 if one.more else worst),
            )
        )
    return tuple(made)
