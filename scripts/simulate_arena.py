"""Simulate tournaments between systems of known strength: what intervals hold, what ranks best.

``coverage``: share of ratings and ranks inside their 95 % intervals. ``designs``: rank correlation
with the true order, of designs that take the same number of matches.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np

from qbench.benchmarks.analysis.arena.brackets import Design
from qbench.benchmarks.analysis.arena.simulation import World, played
from qbench.benchmarks.analysis.arena.standings import MEAN, spearman, standings
from qbench.benchmarks.analysis.arena.strengths import strengths
from qbench.benchmarks.analysis.sums import Floats

MANY = 40_000
"""Prompts of the tournament that stands for the truth where prompts differ or ties are drawn."""

WORLDS = (
    (8, 43.0, 200, 0.0, 0.0),
    (8, 43.0, 50, 0.0, 0.0),
    (8, 43.0, 200, 150.0, 0.0),
    (8, 43.0, 200, 0.0, 0.2),
    (5, 200.0, 100, 0.0, 0.0),
)
"""Systems, Elo between neighbours, prompts, spread over prompts, share of ties."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("coverage", "designs"))
    parser.add_argument("--runs", type=int, default=200)
    told = parser.parse_args()
    lines = coverage(told.runs) if told.what == "coverage" else designs(told.runs)
    for line in lines:
        print(line, flush=True)


def ladder(systems: int, step: float) -> Floats:
    """Return strengths in equal steps around the mean."""
    return np.asarray(MEAN + step * ((systems - 1) / 2 - np.arange(systems)), dtype=np.float64)


def coverage(runs: int) -> Iterable[str]:
    """Yield a line for each world."""
    for systems, step, prompts, spread, ties in WORLDS:
        world = World(elo=ladder(systems, step), spread=spread, ties=ties)
        truth = _truth(world)
        order = np.argsort(np.argsort(-truth)) + 1
        held, ranked, exact = [], [], []
        for seed in range(runs):
            rng = np.random.default_rng(seed)
            found = standings(
                played(world, prompts, "single-elimination", rng), seed=seed, resamples=400
            )
            if found is None:
                continue
            held.append((found.low <= truth) & (truth <= found.high))
            ranked.append((found.rank_low <= order) & (order <= found.rank_high))
            exact.append(bool((np.argsort(-found.rating) == np.argsort(-truth)).all()))
        worst = np.mean(held, axis=0).min()
        yield (
            f"{systems} systems, {step:g} Elo apart, {prompts} prompts, spread {spread:g}, "
            f"ties {ties:g}: ratings held {np.mean(held):.3f} (worst system {worst:.3f}), "
            f"ranks {np.mean(ranked):.3f}, order exact {np.mean(exact):.2f}"
        )


def _truth(world: World) -> Floats:
    """Return what a fit tends to: the strengths, unless ties or prompts draw them together."""
    if not world.spread and not world.ties:
        return world.elo
    rng = np.random.default_rng(99)
    found = standings(played(world, MANY, "single-elimination", rng), resamples=2)
    return world.elo if found is None else found.rating


def designs(runs: int) -> Iterable[str]:
    """Yield a line for each world: median and quartiles of the rank correlation."""
    for prompts in (50, 500):
        for spread in (0.0, 200.0):
            for systems, step in ((20, 13.2), (10, 25.0)):
                world = World(elo=ladder(systems, step), spread=spread)
                few = max(1, round(2 * prompts / systems))
                plans: tuple[tuple[str, int, Design, int], ...] = (
                    ("elimination", prompts, "single-elimination", 0),
                    ("anchored on the best", prompts, "anchored", 0),
                    ("on the middle", prompts, "anchored", systems // 2),
                    ("on the worst", prompts, "anchored", systems - 1),
                    (f"round robin of {few} prompts", few, "round-robin", 0),
                )
                said = "; ".join(
                    f"{name} {_told(world, number, design, anchor, runs)}"
                    for name, number, design, anchor in plans
                )
                yield f"{systems} systems, spread {spread:g}, {prompts} prompts: {said}"


def _told(world: World, prompts: int, design: Design, anchor: int, runs: int) -> str:
    found = [_rho(world, prompts, design, anchor, seed) for seed in range(runs)]
    low, middle, high = np.quantile(found, (0.25, 0.5, 0.75))
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def _rho(world: World, prompts: int, design: Design, anchor: int, seed: int) -> float:
    """Return the rank correlation of one tournament: by win rate where there is an anchor."""
    games = played(world, prompts, design, np.random.default_rng(seed), anchor)
    wins = games.tables().sum(axis=0)
    if design != "anchored":
        return spearman(strengths(wins[None]).strength[0], world.elo)
    met = wins[:, anchor] + wins[anchor]
    met[anchor] = 1.0
    rate = wins[:, anchor] / met
    rate[anchor] = 0.5
    return spearman(rate, world.elo)


if __name__ == "__main__":
    main()
