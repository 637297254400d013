"""Pass or fail beside the scores in between that a suite has: which shows a difference sooner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from qbench.benchmarks.analysis.noise.graded import monotone, power, steadiness
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.reports.evidence import estimate
from qbench.service.reports.noise.repeats import Cube, Measured, cube_of
from qbench.service.reports.noise.values import GradedScore
from qbench.service.store import Store

PREFIX = "decision."
"""Of components from 0 to 1."""

Scores = dict[str, Floats]
"""Score to (Y, R, S) means of a sample's epochs."""


def graded_scores(
    store: Store, groups: Mapping[str, Sequence[Measured]]
) -> tuple[GradedScore, ...]:
    """Compare every system with the baseline in every score; empty where there is one score."""
    if not groups or not any(one.scored for group in groups.values() for one in group):
        return ()
    cube = cube_of(groups)
    scores = _scores(store, groups, cube)
    base = _baseline(groups)
    if len(scores) < 2 or base is None:
        return ()
    return tuple(
        made
        for place in range(len(cube.labels))
        if place != base
        for name, values in scores.items()
        if (made := _graded(cube, name, values, (place, base))) is not None
    )


def _baseline(groups: Mapping[str, Sequence[Measured]]) -> int | None:
    for place, group in enumerate(groups.values()):
        if any(one.system.id == one.evidence.run.request.baseline for one in group):
            return place
    return None


def _scores(store: Store, groups: Mapping[str, Sequence[Measured]], cube: Cube) -> Scores:
    """Collect scores that are known and lie strictly between 0 and 1 somewhere, and passing."""
    found = {"passed": _mean(cube.values, 3)}
    values = cube_of(groups, "value").values
    if _between(values):
        found["value"] = _mean(values, 3)
    for name, part in _components(store, groups, cube).items():
        if not np.isnan(part).all() and not _same(part, found["passed"]):
            found[name] = part
    return found


def _mean(values: Floats, axis: int) -> Floats:
    known = ~np.isnan(values)
    number = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _between(values: Floats) -> bool:
    return bool(((values > 0) & (values < 1)).any())


def _same(one: Floats, two: Floats) -> bool:
    known = ~np.isnan(one) & ~np.isnan(two)
    return bool(np.array_equal(one[known], two[known]))


def _components(
    store: Store, groups: Mapping[str, Sequence[Measured]], cube: Cube
) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    shape = cube.values.shape[:3]
    at = {name: place for place, name in enumerate(cube.samples)}
    read: dict[int, dict[str, Floats]] = {}
    for y, group in enumerate(groups.values()):
        for r, one in enumerate(group):
            out = one.evidence.outcomes
            if id(out) not in read:
                read[id(out)] = store.component_means(one.evidence.run.id, out, PREFIX)
            place = one.evidence.place(one.system.id)
            column = [at[name] for name in out.samples]
            for name, matrix in read[id(out)].items():
                whole = found.setdefault(f"{PREFIX}{name}", np.full(shape, np.nan))
                if place is not None:
                    whole[y, r, column] = matrix[place]
    return found


def _graded(cube: Cube, name: str, values: Floats, pair: tuple[int, int]) -> GradedScore | None:
    system, baseline = (_mean(values[place], 0) for place in pair)
    found = power(system, baseline, cube.family)
    if found is None or np.isnan(found.interval).any():
        return None
    ordered = monotone(system, cube.level, cube.family)
    runs = values[pair[0]]
    again = [_mean(run, 0) for run in runs if not np.isnan(run).all()]
    return GradedScore(
        score=name,
        label=cube.labels[pair[0]],
        baseline=cube.labels[pair[1]],
        samples=found.n,
        difference=estimate(found.difference, found.interval),
        snr=None if np.isnan(found.snr) else found.snr,
        needed=found.needed,
        steadiness=steadiness(np.array([float(one) for one in again])),
        monotone=None if ordered is None else estimate(ordered[0], ordered[1]),
    )


def graded_said(scores: Sequence[GradedScore]) -> Iterator[str]:
    """Say where a score in between needs fewer samples than pass or fail, and how few."""
    for label in dict.fromkeys(one.label for one in scores):
        known = [one for one in scores if one.label == label and one.needed]
        passed = next((one for one in known if one.score == "passed"), None)
        best = min(known, key=lambda one: one.needed or 0, default=None)
        if passed and best and best is not passed:
            yield (
                f"{label} needs {passed.needed:,} samples to show its difference in pass or fail, "
                f"and {best.needed:,} in {best.score.removeprefix(PREFIX)}."
            )
