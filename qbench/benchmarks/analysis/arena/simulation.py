"""Tournaments between systems of known strength: what a design recovers, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.arena.brackets import Design
from qbench.benchmarks.analysis.arena.standings import Games
from qbench.benchmarks.analysis.arena.strengths import ELO
from qbench.benchmarks.analysis.sums import Floats

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class World:
    """M systems whose strengths are known."""

    elo: Floats
    """(M,)."""
    spread: float = 0.0
    """Standard deviation, in Elo, of how much better or worse a system is at one prompt."""
    ties: float = 0.0
    """Share of matches that end in a tie, whoever meets."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name the systems by number."""
        return tuple(f"s{place:02d}" for place in range(len(self.elo)))


def played(
    world: World, prompts: int, design: Design, rng: np.random.Generator, anchor: int = 0
) -> Games:
    """Play a tournament of ``prompts`` prompts, each match once."""
    size = len(world.elo)
    at_prompt = world.elo + world.spread * rng.standard_normal((prompts, size))
    table = _Table(at_prompt / ELO, world.ties, rng)
    if design == "single-elimination":
        order = rng.permuted(np.tile(np.arange(size), (prompts, 1)), axis=1)
        table.winner(order, 0, size)
    elif design == "anchored":
        table.meet_all([(anchor, other) for other in range(size) if other != anchor])
    else:
        table.meet_all([(i, j) for i in range(size) for j in range(i + 1, size)])
    return table.games(world.names)


class _Table:
    """The matches of one tournament, all prompts at once."""

    def __init__(self, strength: Floats, ties: float, rng: np.random.Generator) -> None:
        self._strength, self._ties, self._rng = strength, ties, rng
        self._parts: list[tuple[Indices, Indices, Floats]] = []

    def meet(self, one: Indices, two: Indices) -> Indices:
        """Let two sides meet at every prompt; return who goes on, after a tie either."""
        rows = np.arange(len(one))
        chance = special.expit(self._strength[rows, one] - self._strength[rows, two])
        won = self._rng.random(len(one)) < chance
        tied = self._rng.random(len(one)) < self._ties
        self._parts.append((one, two, np.where(tied, 0.5, won.astype(float))))
        on = np.where(tied, self._rng.random(len(one)) < 0.5, won)
        return np.where(on, one, two)

    def winner(self, order: Indices, low: int, high: int) -> Indices:
        """Play the part of a bracket between two leaves."""
        if high - low == 1:
            return np.asarray(order[:, low])
        middle = (low + high + 1) // 2
        return self.meet(self.winner(order, low, middle), self.winner(order, middle, high))

    def meet_all(self, pairs: list[tuple[int, int]]) -> None:
        """Play the same pairs at every prompt."""
        for one, two in pairs:
            prompts = len(self._strength)
            self.meet(np.full(prompts, one), np.full(prompts, two))

    def games(self, names: tuple[str, ...]) -> Games:
        """Return everything that was played."""
        prompts = len(self._strength)
        return Games(
            systems=names,
            one=np.concatenate([part[0] for part in self._parts]),
            two=np.concatenate([part[1] for part in self._parts]),
            points=np.concatenate([part[2] for part in self._parts]),
            prompt=np.tile(np.arange(prompts), len(self._parts)),
        )
