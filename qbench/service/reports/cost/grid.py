"""The compared systems of a run on the problems that all of them were scored on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.economics.costofpass import per_problem
from qbench.benchmarks.analysis.economics.heldout import Half, halves, held_out
from qbench.benchmarks.analysis.economics.minima import (
    Bounds,
    drawn_means,
    lowest,
    value_interval,
)
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.domain import System
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.values import Estimate

Combined = Callable[..., Floats]
Key = tuple[str, str]
"""What a row of numbers is of: ``("without", "gpt-4o")``."""
FRONTIER: Key = ("frontier", "")
"""All compared systems and the expert."""


@dataclass(frozen=True)
class Grid:
    """Y systems on S problems; every number known."""

    systems: tuple[System, ...]
    n: Floats
    passed: Floats
    costs: Floats
    """(Y, S) mean dollars per attempt."""
    family: NDArray[np.int32]
    expert: float
    """Infinity where there is none."""
    halves: tuple[Half, Half] | None

    @classmethod
    def of(cls, evidence: Evidence, systems: tuple[System, ...], expert: float) -> Grid:
        """Take the systems' problems that all of them were scored on."""
        places = np.array([evidence.outcomes.systems.index(system.id) for system in systems])
        sums = evidence.sums
        rates, costs = sums.rates[places], sums.costs[places]
        common = np.flatnonzero(~(np.isnan(rates) | np.isnan(costs)).any(axis=0))
        cells = np.ix_(places, common)
        split = halves(evidence.outcomes, evidence.basis)
        return cls(
            systems=systems,
            n=sums.n[cells],
            passed=sums.passed[cells],
            costs=costs[:, common],
            family=sums.family[common],
            expert=expert,
            halves=None if split is None else (_cut(split[0], cells), _cut(split[1], cells)),
        )

    @property
    def problems(self) -> int:
        """S."""
        return int(self.n.shape[1])

    @property
    def families(self) -> int:
        """How many families the problems come from."""
        return len(np.unique(self.family))

    @property
    def bounds(self) -> Bounds:
        """The dearest and the cheapest answer."""
        return Bounds(expert=self.expert, attempt=float(self.costs.mean(axis=1).min()))

    @cached_property
    def v(self) -> Floats:
        """(Y, S) dollars per right answer."""
        return per_problem(self.costs, self.passed / self.n)

    def minimum(self, ids: Collection[str]) -> Floats:
        """Return (S,) V_p of the systems with these ids and the expert."""
        members = np.array([[system.id in ids for system in self.systems]])
        (found,) = lowest(self.v, members, self.expert)
        return np.asarray(found, dtype=np.float64)

    @cached_property
    def held_out(self) -> Floats | None:
        """Return (S,) what choosing on half of the epochs pays on the other; None with one epoch.

        Problems that a system was scored on in one half only are NaN.
        """
        return None if self.halves is None else held_out(*self.halves, self.expert)


def _cut(half: Half, cells: tuple[NDArray[np.intp], ...]) -> Half:
    return Half(
        n=half.n[cells],
        passed=half.passed[cells],
        cost=half.cost[cells],
        cost_passed=half.cost_passed[cells],
    )


class Draws:
    """Means over the problems with their resamples, by key."""

    def __init__(self, rows: dict[Key, Floats], grid: Grid, seed: int) -> None:
        self._places = {key: place for place, key in enumerate(rows)}
        self._grid = grid
        self._rows = rows
        self._made = drawn_means(np.stack(list(rows.values())), grid.family, seed=seed)

    def __contains__(self, key: Key) -> bool:
        """Whether there is such a row."""
        return key in self._places

    def mean(self, key: Key) -> float:
        """Return a row's mean."""
        return float(self._made.means[self._places[key]])

    def drawn(self, key: Key) -> Floats:
        """Return (B,) resampled means of a row."""
        return self._made.draws[:, self._places[key]]

    def plain(self, key: Key) -> Estimate:
        """Return a row's mean with its percentile interval."""
        return estimate(self.mean(key), self._made.spread(self.drawn(key)))

    def value(self, key: Key) -> Estimate:
        """Return a V with the interval that knows what a bootstrap cannot see."""
        grid = self._grid
        there = float((self._rows[key] >= grid.expert).mean())
        low, high = value_interval(
            self.mean(key),
            self._made.spread(self.drawn(key)),
            self._made.families,
            at_expert=there,
            bounds=grid.bounds,
        )
        return estimate(self.mean(key), (low, high))

    def combined(self, how: Combined, *keys: Key) -> Estimate:
        """Return a function of rows' means with its percentile interval."""
        value = float(how(*(self.mean(key) for key in keys)))
        return estimate(value, self._made.spread(how(*(self.drawn(key) for key in keys))))
