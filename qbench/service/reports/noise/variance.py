"""Where a system's spread comes from, and what more epochs would buy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from qbench.benchmarks.analysis.clusters import clustered_mean
from qbench.benchmarks.analysis.noise.variance import Spreads, complete, error_at, spreads
from qbench.service.reports.evidence import estimate
from qbench.service.reports.noise.repeats import Measured, cube_of
from qbench.service.reports.noise.values import Variance, short_names

EPOCHS = (1, 2, 4, 8, 16, math.inf)


def variances(groups: Mapping[str, Sequence[Measured]]) -> tuple[Variance, ...]:
    """Split the variance of every system that was measured more than once."""
    made = (_variance(key, group) for key, group in groups.items())
    return tuple(one for one in made if one is not None)


def _variance(key: str, group: Sequence[Measured]) -> Variance | None:
    cube = cube_of({key: group})
    if cube.values.shape[1] * cube.values.shape[3] < 2:
        return None
    kept = complete(cube.values[0])
    values, family = cube.values[0][:, kept], cube.family[kept]
    mean = clustered_mean(values.mean(axis=(0, 2)), family)
    if mean.n < 2 or math.isnan(mean.error):
        return None
    found = spreads(values, family)
    return Variance(
        label=group[0].system.label,
        model=group[0].system.model,
        format=group[0].system.format,
        samples=mean.n,
        runs=values.shape[0],
        epochs=values.shape[2],
        parts={
            name: estimate(getattr(found.components, name), bounds)
            for name, bounds in found.intervals.items()
            if not np.isnan(bounds).any()
        },
        reliability=found.components.reliability,
        error=mean.error,
        outlook=_outlook(found, mean.error),
        doubled=mean.error / math.sqrt(2),
    )


def _outlook(found: Spreads, error: float) -> dict[str, float]:
    if not error:
        return {}
    at = {epochs: error_at(found.components, error, epochs) for epochs in EPOCHS}
    return {f"{epochs:g}": value for epochs, value in at.items() if value is not None}


def variance_said(parts: Sequence[Variance]) -> Iterator[str]:
    """Say where the spread of the widest comes from, and what would narrow it."""
    if not parts:
        return
    one = max(parts, key=lambda part: part.error)
    name = short_names(parts)[one.label]
    whole = sum(part.value for part in one.parts.values())
    if not whole:
        yield f"{name} never varied, in {one.samples} samples."
        return
    told = ", ".join(
        f"{100 * part.value / whole:.0f} % {NAMES[kind]}" for kind, part in one.parts.items()
    )
    said = f"An attempt of {name} varies {told}"
    more = one.outlook.get("inf")
    if more is not None:
        said += (
            f": endless epochs would narrow its standard error of {100 * one.error:.2f} points to "
            f"{100 * more:.2f}, twice the samples to {100 * one.doubled:.2f}"
        )
    yield f"{said}."


NAMES = {
    "samples": "between samples",
    "runs": "between runs",
    "interaction": "between runs within a sample",
    "epochs": "within a sample",
}
