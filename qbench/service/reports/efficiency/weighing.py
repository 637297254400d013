"""The score over several axes: qbench's own, with weights of the user's choosing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.efficiency.score import (
    HIGHER,
    axis,
    composite,
    ranks,
    winning_shares,
)
from qbench.benchmarks.analysis.resampling import expanded, percentile_interval, weights
from qbench.benchmarks.analysis.sums import Floats
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import System
from qbench.service.reports.efficiency.values import Scored
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.values import Estimate

AXES = ("accuracy", "cost", "latency", "memory")
DEFAULT_WEIGHTS = "accuracy=3,cost=2,latency=1,memory=1"


def read_weights(text: str) -> dict[str, float]:
    """Read ``accuracy=3,cost=2``; axes that are not named have no weight.

    Raises:
        NotFound: an axis does not exist.
        ConfigError: a weight is no number of at least 0, or all are 0.

    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        if name.strip() not in AXES:
            raise NotFound.among("axis", name.strip(), AXES)
        found[name.strip()] = _number(number, part)
    if not any(found.values()):
        raise ConfigError("No axis has a weight.", hint=f"For example: {DEFAULT_WEIGHTS}.")
    return {name: found[name] for name in AXES if found.get(name)}


def _number(text: str, part: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not math.isfinite(value) or value < 0:
        raise ConfigError(
            f"Cannot read the weight {part!r}.", hint=f"For example: {DEFAULT_WEIGHTS}."
        )
    return value


class Weighing:
    """The systems of a run on the axes, as points and as joint resamples of families."""

    def __init__(
        self, evidence: Evidence, systems: Sequence[System], seconds: Floats, sizes: Floats
    ) -> None:
        """Take the axes' values.

        Args:
            evidence: of the run.
            systems: Y, the baseline among them.
            seconds: (Y, S) mean seconds per attempt of each sample; NaN where unknown.
            sizes: (Y,) bytes; NaN where unknown.

        """
        self._systems = systems
        self._base = next(
            (i for i, s in enumerate(systems) if s.id == evidence.run.request.baseline), None
        )
        places = [evidence.place(system.id) for system in systems]
        rates, costs = (_columns(part, places) for part in evidence.draws)
        family, families = evidence.sums.family, evidence.sums.families
        self._level = expanded(families)
        self._drawn = {
            "accuracy": rates,
            "cost": costs,
            "latency": _resampled(seconds, family, families, evidence.run.request.seed),
            "memory": np.broadcast_to(sizes, rates.shape),
        }
        self._points = {
            "accuracy": _means(_rows(evidence.sums.rates, places)),
            "cost": _means(_rows(evidence.sums.costs, places), _rows(evidence.sums.n, places) > 0),
            "latency": _means(seconds),
            "memory": sizes,
        }

    def known(self, wanted: Mapping[str, float]) -> dict[str, float]:
        """Return the weights of the axes that are known of the baseline and another system."""
        if self._base is None:
            return {}
        base = self._base
        return {
            name: weight
            for name, weight in wanted.items()
            if not np.isnan(self._points[name][base])
            and self._points[name][base] > 0
            and (~np.isnan(self._points[name])).sum() > 1
        }

    def scores(self, wanted: Mapping[str, float]) -> tuple[Scored, ...]:
        """Score the systems, best first, those without a score last."""
        if self._base is None or not wanted:
            return ()
        point = {name: self._axis(name, self._points[name][None, :])[0] for name in wanted}
        drawn = {name: self._axis(name, self._drawn[name]) for name in wanted}
        value, spread = composite(point, wanted), composite(drawn, wanted)
        whole = ~np.isnan(value)
        place = ranks(spread[:, whole])
        share = winning_shares([point[name][whole] for name in wanted])
        at = dict(zip(np.flatnonzero(whole).tolist(), range(int(whole.sum())), strict=True))
        made = [
            Scored(
                system_id=system.id,
                label=system.label,
                axes={name: _or_none(point[name][i]) for name in wanted},
                score=self._estimated(float(value[i]), spread[:, i]) if whole[i] else None,
                first=_or_none(place.first[at[i]]) if i in at else None,
                rank=_or_none(place.mean[at[i]]) if i in at else None,
                wins=_or_none(share[at[i]]) if i in at else None,
                why="" if whole[i] else _unknown(point, wanted, i),
            )
            for i, system in enumerate(self._systems)
        ]
        return tuple(sorted(made, key=lambda one: -one.score.value if one.score else math.inf))

    def _estimated(self, value: float, draws: Floats) -> Estimate:
        return estimate(value, percentile_interval(draws, self._level))

    def _axis(self, name: str, values: Floats) -> Floats:
        assert self._base is not None
        return axis(values, values[:, [self._base]], higher=name in HIGHER)


def _unknown(point: Mapping[str, Floats], wanted: Mapping[str, float], at: int) -> str:
    names = [name for name in wanted if np.isnan(point[name][at])]
    return f"{' and '.join(names)} unknown"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _columns(draws: Floats, places: Sequence[int | None]) -> Floats:
    """Return (B, Y) draws of systems; NaN for one without attempts."""
    nothing = np.full(len(draws), np.nan)
    return np.stack([nothing if at is None else draws[:, at] for at in places], axis=1)


def _rows(values: Floats, places: Sequence[int | None]) -> Floats:
    nothing = np.full(values.shape[1], np.nan)
    return np.stack([nothing if at is None else values[at] for at in places])


def _means(values: Floats, tried: NDArray[np.bool_] | None = None) -> Floats:
    """Return (Y,) means over the samples; NaN where nothing is known, or something tried is not."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    mean = np.nansum(values, axis=1) / np.maximum(count, 1)
    bad = count == 0 if tried is None else (count == 0) | (tried & ~known).any(axis=1)
    made: Floats = np.where(bad, np.nan, mean)
    return made


def _resampled(values: Floats, family: NDArray[np.int32], families: int, seed: int) -> Floats:
    """Return (B, Y) resampled means, drawn as ``Evidence.draws`` are."""
    known = ~np.isnan(values)
    sums = _by_family(np.nan_to_num(values), family, families)
    counts = _by_family(known.astype(np.float64), family, families)
    with np.errstate(invalid="ignore", divide="ignore"):
        blocks = [(block @ sums.T) / (block @ counts.T) for block in weights(families, seed=seed)]
    return np.concatenate(blocks)


def _by_family(values: Floats, family: NDArray[np.int32], families: int) -> Floats:
    return np.stack([np.bincount(family, row, families) for row in values])
