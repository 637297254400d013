"""From matches to ratings, ranks and intervals: prompts are drawn again, with all their matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.arena.strengths import ELO, Fit, islands, strengths
from qbench.benchmarks.analysis.resampling import expanded, percentile_interval, weights
from qbench.benchmarks.analysis.sums import Floats

MEAN = 1000.0
"""Elo of an average system: only differences mean anything."""
RESAMPLES = 2000
CELLS = 2_000_000
"""Most table entries that are fitted at a time."""


@dataclass(frozen=True, kw_only=True)
class Games:
    """N matches between M systems at C prompts."""

    systems: tuple[str, ...]
    one: NDArray[np.int64]
    """(N,) index of a side."""
    two: NDArray[np.int64]
    points: Floats
    """(N,) 1 where ``one`` won, 0 where ``two`` did, 0.5 for a tie."""
    prompt: NDArray[np.int64]
    """(N,) index of the prompt: matches at one prompt are not independent."""

    @property
    def prompts(self) -> int:
        """C: prompts with a match."""
        return int(self.prompt.max(initial=-1)) + 1

    def tables(self) -> Floats:
        """Return (C, M, M) wins at each prompt."""
        size = len(self.systems)
        found = np.zeros((self.prompts, size, size))
        np.add.at(found, (self.prompt, self.one, self.two), self.points)
        np.add.at(found, (self.prompt, self.two, self.one), 1 - self.points)
        return found


@dataclass(frozen=True, kw_only=True)
class Standings:
    """M systems, in the order of ``Games.systems``."""

    rating: Floats
    """(M,) Elo, mean 1000."""
    low: Floats
    high: Floats
    """95 %; infinite where the matches do not bound it."""
    rank: NDArray[np.int64]
    """(M,) 1 for the best; equal ratings share one."""
    rank_low: NDArray[np.int64]
    rank_high: NDArray[np.int64]
    better: Floats
    """(M, M) share of resamples in which i is rated above j, equal ones half."""
    gap: Floats
    """(M, M, 3) Elo of i minus that of j, and its 95 % interval."""
    best: Floats
    """(M,) share of resamples in which it is rated highest."""
    bounded: bool
    """False: somebody lost nothing or won nothing, so that virtual draws were added."""
    unbounded_share: float
    """Of the resamples."""


def standings(games: Games, *, seed: int = 0, resamples: int = RESAMPLES) -> Standings | None:
    """Rate the systems; None where some never met others, so that no scale is shared."""
    tables = games.tables()
    total = tables.sum(axis=0)
    if len(games.systems) < 2 or not len(games.one) or islands(total) > 1:
        return None
    point = strengths(total[None])
    drawn = _resampled(tables, seed, resamples)
    level = expanded(games.prompts)
    rating = MEAN + ELO * point.strength[0]
    low, high = _intervals(drawn, level)
    ranks = _ranks(drawn.strength)
    above = drawn.strength[:, :, None] - drawn.strength[:, None, :]
    return Standings(
        rating=rating,
        low=np.where(point.below[0], -np.inf, np.minimum(low, rating)),
        high=np.where(point.above[0], np.inf, np.maximum(high, rating)),
        rank=_ranks(point.strength)[0],
        rank_low=np.floor(np.quantile(ranks, (1 - level) / 2, axis=0)).astype(np.int64),
        rank_high=np.ceil(np.quantile(ranks, (1 + level) / 2, axis=0)).astype(np.int64),
        better=((above > 0) + 0.5 * (above == 0)).mean(axis=0),
        gap=_gaps(point, ELO * above, level),
        best=_best(drawn.strength),
        bounded=bool(point.bounded[0]),
        unbounded_share=float((~drawn.bounded).mean()),
    )


def _resampled(tables: Floats, seed: int, resamples: int) -> Fit:
    """Fit the sums of prompts drawn with replacement."""
    prompts, size = tables.shape[0], tables.shape[1]
    flat = tables.reshape(prompts, -1)
    most = max(1, CELLS // max(1, size * size))
    parts: list[Fit] = []
    for block in weights(prompts, resamples=resamples, seed=seed):
        sums = (block @ flat).reshape(-1, size, size)
        parts += [strengths(sums[at : at + most]) for at in range(0, len(sums), most)]
    return Fit(
        strength=np.concatenate([part.strength for part in parts]),
        bounded=np.concatenate([part.bounded for part in parts]),
        above=np.concatenate([part.above for part in parts]),
        below=np.concatenate([part.below for part in parts]),
    )


def _intervals(drawn: Fit, level: float) -> tuple[Floats, Floats]:
    """Return percentile intervals of the ratings; unbounded resamples count as infinite."""
    elo = MEAN + ELO * drawn.strength
    high = np.where(drawn.above, np.inf, elo)
    low = np.where(drawn.below, -np.inf, elo)
    ends = [
        (percentile_interval(low[:, i], level)[0], percentile_interval(high[:, i], level)[1])
        for i in range(elo.shape[1])
    ]
    return np.array([end[0] for end in ends]), np.array([end[1] for end in ends])


def _gaps(point: Fit, elo: Floats, level: float) -> Floats:
    """Return differences with their percentile intervals, as far as virtual draws bound them."""
    size = elo.shape[1]
    found = np.zeros((size, size, 3))
    found[..., 0] = ELO * (point.strength[0][:, None] - point.strength[0][None, :])
    for i in range(size):
        for j in range(size):
            if i != j:
                found[i, j, 1:] = percentile_interval(elo[:, i, j], level)
    return found


def _ranks(strength: Floats) -> NDArray[np.int64]:
    """Return (B, M) ranks, 1 for the highest; equal ones share the better rank."""
    rounded = np.round(strength, 9)
    ahead = rounded[:, None, :] > rounded[:, :, None]
    return np.asarray(1 + ahead.sum(axis=-1), dtype=np.int64)


def _best(strength: Floats) -> Floats:
    top = np.round(strength, 9) == np.round(strength.max(axis=1, keepdims=True), 9)
    return np.asarray((top / top.sum(axis=1, keepdims=True)).mean(axis=0), dtype=np.float64)


def spearman(one: Sequence[float] | Floats, two: Sequence[float] | Floats) -> float:
    """Return the rank correlation of two orders, equal values sharing their mean rank."""
    first, second = _mean_ranks(np.asarray(one)), _mean_ranks(np.asarray(two))
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / size) if size else float("nan")


def _mean_ranks(values: Floats) -> Floats:
    below = (values[:, None] > values[None, :]).sum(axis=1)
    same = (values[:, None] == values[None, :]).sum(axis=1)
    return np.asarray(below + (same + 1) / 2, dtype=np.float64)
