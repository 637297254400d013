"""Check frontiers where the truth is known: whether probabilities are right and intervals hold.

Worlds are made up: six systems with prices over a factor of ten, and samples in families of one
difficulty. In one kind of world the price says nothing of the ability, and abilities are far
apart; in the other dearer systems are better on the whole, which no run knows. A run is drawn from
a world, its frontier is made as a report makes it, and compared with the world's own. Prints the
tables of docs/frontier.md.

Usage: ``python scripts/simulate_frontier.py [--worlds 600]``
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qbench.benchmarks.analysis.frontier.hypervolume import in_box, volumes
from qbench.benchmarks.analysis.frontier.pareto import dominance, knees, losses, members
from qbench.benchmarks.analysis.rates import wilson
from qbench.benchmarks.analysis.resampling import percentile_interval, resampled
from qbench.benchmarks.analysis.sums import Floats, Sums

SYSTEMS = 6
RESAMPLES = 2_000
POPULATION = 20_000
"""Families over which a world's true rates are averaged."""
SIZES = ((60, 1), (240, 1), (240, 6), (1000, 1))
"""Samples, and samples per family."""
EDGES = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
MARGIN = 1.1


KINDS = {"price says nothing": (0.0, 1.5), "dearer is better": (0.6, 0.5)}
"""Name to what a price's logarithm adds to an ability, and the spread of abilities around that."""


@dataclass(frozen=True)
class World:
    """Systems as they really are."""

    ability: Floats
    price: Floats
    rate: Floats
    """(Y,) true pass rates."""
    cost: Floats
    """(Y,) true mean dollars."""


def world(kind: str, rng: np.random.Generator) -> World:
    """Make a world of a kind."""
    slope, spread = KINDS[kind]
    price = np.exp(rng.uniform(0, np.log(10), SYSTEMS))
    ability = slope * (np.log(price) - 1) + rng.normal(0, spread, SYSTEMS)
    difficulty = rng.normal(0, 1, POPULATION)
    rate = chances(ability, difficulty).mean(axis=1)
    cost = (price[:, None] * dearness(difficulty)).mean(axis=1)
    return World(ability=ability, price=price, rate=rate, cost=cost)


def chances(ability: Floats, difficulty: Floats) -> Floats:
    """Return (Y, S) probabilities of a pass."""
    return np.asarray(1 / (1 + np.exp(difficulty - ability[:, None])), dtype=np.float64)


def dearness(difficulty: Floats) -> Floats:
    """Harder samples cost more, in all systems."""
    return np.asarray(np.exp(0.3 * difficulty), dtype=np.float64)


def run_of(truth: World, samples: int, size: int, rng: np.random.Generator) -> Sums:
    """Draw a run: one attempt per system and sample."""
    families = samples // size
    family = np.repeat(np.arange(families, dtype=np.int32), size)
    difficulty = rng.normal(0, 1, families)[family]
    passed = rng.random((SYSTEMS, samples)) < chances(truth.ability, difficulty)
    noise = np.exp(rng.normal(-0.125, 0.5, (SYSTEMS, samples)))
    return Sums(
        n=np.ones((SYSTEMS, samples)),
        passed=passed.astype(np.float64),
        cost=truth.price[:, None] * dearness(difficulty) * noise,
        family=family,
        families=families,
    )


@dataclass
class Tally:
    """What came out, over all worlds of one size."""

    said: list[Floats]
    true: list[Floats]
    beats_said: list[Floats]
    beats_true: list[Floats]
    knee_said: list[Floats]
    knee_true: list[Floats]
    covered: list[bool]
    error: list[float]


def tried(kind: str, worlds: int, size: tuple[int, int], seed: int) -> Tally:
    """Make one run of each world and compare."""
    rng, found = np.random.default_rng(seed), Tally([], [], [], [], [], [], [], [])
    for number in range(worlds):
        truth = world(kind, rng)
        sums = run_of(truth, *size, rng)
        rates, costs = resampled(sums, resamples=RESAMPLES, seed=number)
        drawn = losses((rates, True), (costs, False))
        real = losses((truth.rate[None], True), (truth.cost[None], False))
        joined, standing = members(drawn), members(real)
        found.said.append(joined.mean(axis=0))
        found.true.append(standing[0].astype(np.float64))
        off = ~np.eye(SYSTEMS, dtype=np.bool_)
        found.beats_said.append(dominance(drawn)[off])
        found.beats_true.append(dominance(real)[off])
        found.knee_said.append(knees(drawn, joined).mean(axis=0))
        found.knee_true.append(knees(real, standing)[0].astype(np.float64))
        ideal = np.array([-1.0, 0.0])
        reference = np.array([0.0, MARGIN * sums.costs.mean(axis=1).max()])
        low, high = percentile_interval(volumes(in_box(drawn, ideal, reference)))
        area = float(volumes(in_box(real, ideal, reference))[0])
        now = losses((sums.rates.mean(axis=1)[None], True), (sums.costs.mean(axis=1)[None], False))
        found.covered.append(low <= area <= high)
        found.error.append(float(volumes(in_box(now, ideal, reference))[0]) - area)
    return found


def calibration(said: list[Floats], true: list[Floats]) -> list[str]:
    """Return, for each bin of probabilities, what was said on the mean and how often it was so."""
    one, two, found = np.concatenate(said), np.concatenate(true), []
    for low, high in pairwise(EDGES):
        here = (one >= low) & ((one < high) | (high == 1.0))
        number = int(here.sum())
        told = f"{100 * one[here].mean():.1f} → {span(two[here].mean(), number)}" if number else "–"
        found.append(told)
    return found


def table(title: str, columns: dict[str, list[str]]) -> None:
    """Print bins as rows, runs' sizes as columns."""
    print(f"\n{title}\n\n| said, % | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}")
    for place, (low, high) in enumerate(pairwise(EDGES)):
        cells = " | ".join(column[place] for column in columns.values())
        print(f"| {100 * low:.0f} to {100 * high:.0f} | {cells} |")


def span(share: float, number: int) -> str:
    """Write the 95 % interval of a share of so many, in percent."""
    low, high = wilson(share * number, number)
    return f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=600)
    worlds = parser.parse_args().worlds
    for place, kind in enumerate(KINDS):
        found = {
            f"{samples} in {samples // size} families": tried(
                kind, worlds, (samples, size), seed=10 * place + number
            )
            for number, (samples, size) in enumerate(SIZES)
        }
        shown = {name: calibration(one.said, one.true) for name, one in found.items()}
        table(f"On the frontier ({kind})", shown)
        beats = {name: calibration(one.beats_said, one.beats_true) for name, one in found.items()}
        table(f"Beats ({kind})", beats)
        knee = {name: calibration(one.knee_said, one.knee_true) for name, one in found.items()}
        table(f"Knee ({kind})", knee)
        print(f"\nHypervolume ({kind})\n\n| run | 95 % interval covers, % | mean error, points |")
        print("|---|---|---|")
        for name, one in found.items():
            covered, error = float(np.mean(one.covered)), 100 * float(np.mean(one.error))
            print(f"| {name} | {span(covered, worlds)} | {error:+.2f} |", flush=True)


if __name__ == "__main__":
    main()
