"""Simulate runs that go on until they are decided: error over many looks, dollars, verdicts.

Prints the tables of docs/sequential.md. ``--runs`` is the number of simulated runs per line; 400
take about ten minutes on one core.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.comparison.multiplicity import holm
from qbench.benchmarks.analysis.comparison.paired import difference, verdict
from qbench.benchmarks.analysis.sequential.allocation import State, chosen, relative, surely
from qbench.benchmarks.analysis.sequential.confidence import (
    HIDDEN,
    Look,
    Tracked,
    deciding,
    decision,
    tracked,
    tuned,
)
from qbench.benchmarks.analysis.sums import Floats

ROUND = 50
MARGIN = 0.05
MOST = 1000


@dataclass(frozen=True)
class World:
    """Systems whose truth is known; the first one is the baseline."""

    name: str
    gaps: tuple[float, ...]
    """Pass rate minus the baseline's, of each other system."""
    prices: tuple[float, ...]
    """Mean dollars per attempt, the baseline's first."""
    rate: float = 0.7
    flips: float = 0.06
    """Share of samples on which an equal system answers otherwise, both directions together."""
    size: int = 1
    """Samples of a family."""
    spread: float = 0.0
    """Standard deviation of families' own differences."""
    budget: float = math.inf
    """Share of the full design's dollars that may be spent."""


@dataclass
class Told:
    """What one policy found over many runs."""

    verdicts: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    """Verdicts that the truth contradicts."""
    decided: int = 0
    systems: int = 0
    false_runs: int = 0
    """Runs with at least one wrong ``worse`` or ``better``."""
    dollars: float = 0.0
    full: float = 0.0
    runs: int = 0


def draw(world: World, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """Return (Y, S) passes and dollars, and (S,) families, of the full design."""
    family = (np.arange(MOST) % (MOST // world.size)).astype(np.int32)
    base = rng.random(MOST) < world.rate
    rows = [base.astype(float)]
    for gap in world.gaps:
        own = rng.normal(0, world.spread, MOST // world.size)[family] + gap
        lost = np.clip((world.flips / 2 + np.maximum(0, -own)) / world.rate, 0, 1)
        won = np.clip((world.flips / 2 + np.maximum(0, own)) / (1 - world.rate), 0, 1)
        luck = rng.random(MOST)
        rows.append(np.where(base, luck >= lost, luck < won).astype(float))
    spread = rng.lognormal(-0.125, 0.5, (len(rows), MOST))
    return np.stack(rows), spread * np.array(world.prices)[:, None], family


def truth(gap: float) -> set[str]:
    """Return the verdicts that a true difference does not contradict."""
    right = {"inconclusive"}
    if abs(gap) < MARGIN:
        right.add("equivalent")
    if gap:
        right.add("worse" if gap < 0 else "better")
    return right


@dataclass
class Race:
    """One simulated run under one policy."""

    world: World
    rates: Floats
    costs: Floats
    family: NDArray[np.int32]
    drops: bool
    """Decided systems, and those off the frontier, are asked no more."""
    done: list[int] = field(default_factory=list)
    verdicts: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.number = np.arange(MOST) // ROUND
        self.done = [0] * len(self.rates)
        self.rho = tuned(MARGIN, MOST)
        self.off: set[int] = set()
        self.looks: dict[tuple[str, int, int], Tracked] = {}

    @property
    def spent(self) -> float:
        """Dollars of all that was asked."""
        return sum(float(self.costs[at, : done * ROUND].sum()) for at, done in enumerate(self.done))

    def gap(self, at: int) -> Tracked | None:
        """Follow a system's difference from the baseline."""
        return self.follow("rate", at, 0)

    def follow(self, what: str, one: int, two: int) -> Tracked | None:
        """Follow a paired difference over the rounds that both went through.

        All looks of the full design are made once; what is known is the first of them.
        """
        if (what, one, two) not in self.looks:
            values = (
                self.rates[one] - self.rates[two]
                if what == "rate"
                else relative(self.costs[one], self.costs[two])
            )
            found = tracked(values, self.family, self.number, rho=self.rho)
            assert found is not None
            self.looks[what, one, two] = found
        known = self.looks[what, one, two].looks[: min(self.done[one], self.done[two])]
        return Tracked(looks=known, rho=self.rho) if known else None

    def judge(self) -> None:
        """Look at every difference."""
        others = range(1, len(self.rates))
        gaps = [self.gap(at) for at in others]
        adjusted = holm([gap.p() if gap else 1.0 for gap in gaps])
        self.gaps = dict(zip(others, gaps, strict=True))
        self.verdicts = {
            at: decision(gap, p, MARGIN) if gap else "inconclusive"
            for at, gap, p in zip(others, gaps, adjusted, strict=True)
        }

    def look_at_the_frontier(self) -> None:
        """Note who is surely beaten."""
        systems = len(self.rates)
        for one, two in permutations(range(systems), 2):
            if one == 0 or one in self.off or not surely(self.follow("rate", two, one), systems):
                continue
            if surely(self.follow("cost", one, two), systems):
                self.off.add(one)

    def run(self, left: float) -> None:
        """Go on until everybody is decided, everything is asked, or the money is spent."""
        most = MOST // ROUND
        while True:
            self.judge()
            if self.drops:
                self.look_at_the_frontier()
            still = [at for at, kind in self.verdicts.items() if kind == "inconclusive"]
            going = [at for at in still if at not in self.off and self.done[at] < most]
            if not going:
                return
            asked = self.asked(going, left - self.spent)
            farthest = max(self.done[at] for at in asked) + 1
            if left < math.inf and self.price(asked, farthest) > left - self.spent:
                return
            for at in asked:
                self.done[at] += 1
            self.done[0] = max(self.done[0], farthest)

    def asked(self, going: list[int], left: float) -> list[int]:
        """Choose who is asked the next round."""
        if not self.drops:
            return [at for at in range(1, len(self.rates)) if self.done[at] < MOST // ROUND]
        states = [self.state(at) for at in going]
        money = left if left < math.inf else None
        keys = chosen(states, self.cost(0), most=MOST, left=money)
        return [int(key) for key in keys]

    def state(self, at: int) -> State:
        """Say what is known of an undecided system."""
        gap = self.gaps[at]
        wanted = deciding(gap, MARGIN, comparisons=len(self.rates) - 1) if gap else math.inf
        return State(key=str(at), done=self.done[at] * ROUND, wanted=wanted, cost=self.cost(at))

    def cost(self, at: int) -> float:
        """Return dollars per sample so far."""
        seen = self.costs[at, : self.done[at] * ROUND]
        return float(seen.mean()) if len(seen) else math.nan

    def price(self, asked: list[int], farthest: int) -> float:
        """Return what the next round costs."""
        once = sum(self.world.prices[at] for at in asked)
        return ROUND * (once + self.world.prices[0] * (farthest > self.done[0]))


def fixed(race: Race) -> dict[int, str]:
    """Return the verdicts of the full design by its own, fixed-n test."""
    gaps = [difference(one, race.rates[0], race.family, epochs=1) for one in race.rates[1:]]
    known = [gap for gap in gaps if gap is not None]
    adjusted = holm([gap.p for gap in known])
    return {
        at + 1: verdict(gap, p, MARGIN)
        for at, (gap, p) in enumerate(zip(known, adjusted, strict=True))
    }


def tell(told: Told, race: Race, verdicts: dict[int, str], dollars: float) -> None:
    """Count what one run found."""
    wrong = {at: v for at, v in verdicts.items() if v not in truth(race.world.gaps[at - 1])}
    told.runs += 1
    told.systems += len(verdicts)
    told.decided += sum(v != "inconclusive" for v in verdicts.values())
    told.wrong += len(wrong)
    told.false_runs += any(v in ("worse", "better") for v in wrong.values())
    told.dollars += dollars
    told.full += float(race.costs.sum())


WORLDS = (
    World("clear: 4 worse", (-0.4, -0.3, -0.25, -0.2), (1, 1, 1, 1, 1)),
    World("A/A: 5 equal", (0.0,) * 5, (1.0,) * 6),
    World(
        "mixed formats: 7 systems, 10 x prices",
        (0.0, 0.0, -0.02, -0.08, -0.15, -0.35),
        (10, 5, 4, 2, 2, 1, 1),
    ),
    World(
        "dear and worse: 5 systems, 10 x prices",
        (-0.3, -0.1, 0.0, 0.1),
        (1, 10, 8, 1, 2),
    ),
    World(
        "frontier: two dear ones beaten by a third",
        (0.12, 0.02, -0.02, 0.03),
        (2, 1, 10, 10, 8),
        flips=0.3,
    ),
    World(
        "families of 10: 6 systems",
        (0.0, 0.0, -0.05, -0.15, -0.3),
        (5, 4, 3, 2, 1, 1),
        size=10,
        spread=0.1,
    ),
    World("noisy: 30 % flips", (0.0, -0.05, -0.1, -0.2), (4, 2, 2, 1, 1), flips=0.3),
)


def policies(runs: int, seed: int = 7) -> None:
    """Print verdicts and dollars of equal allocation and of ours, by world."""
    print("world, policy, dollars %, decided %, wrong %, runs with a false difference %")
    for world in WORLDS:
        for share in (math.inf, 0.25):
            world_here = replace(world, budget=share)
            _policy(world_here, runs, seed)


def _policy(world: World, runs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    told = {name: Told() for name in ("full, fixed n", "equal", "allocated")}
    same: Counter[str] = Counter()
    for _ in range(runs):
        rates, costs, family = draw(world, rng)
        made = {
            name: Race(world, rates, costs, family, drops)
            for name, drops in (("equal", False), ("allocated", True))
        }
        left = world.budget * float(costs.sum()) if world.budget < math.inf else math.inf
        full = fixed(made["equal"])
        tell(told["full, fixed n"], made["equal"], full, float(costs.sum()))
        for name, race in made.items():
            race.run(left)
            tell(told[name], race, race.verdicts, race.spent)
        one, two = made["equal"].verdicts, made["allocated"].verdicts
        off = made["allocated"].off
        same["same"] += sum(one[at] == two[at] for at in one)
        same["off"] += sum(one[at] != two[at] and at in off for at in one)
        same["contrary"] += sum(
            one[at] != two[at] and "inconclusive" not in (one[at], two[at]) for at in one
        )
        same["all"] += len(one)
    label = world.name + ("" if world.budget == math.inf else f" (budget {world.budget:.0%})")
    for name, found in told.items():
        print(
            f"| {label} | {name} | {100 * found.dollars / found.full:.0f} "
            f"| {100 * found.decided / found.systems:.1f} "
            f"| {100 * found.wrong / found.systems:.2f} "
            f"| {100 * found.false_runs / found.runs:.1f} |",
            flush=True,
        )
    print(
        f"    same as equal: {100 * same['same'] / same['all']:.1f} %, off the frontier instead: "
        f"{100 * same['off'] / same['all']:.1f} %, contrary: {same['contrary']}",
        flush=True,
    )


def fixed_test(look: Look) -> bool:
    """Return whether the test of a fixed number of samples rejects at 5 %."""
    error = math.sqrt(max(0.0, look.error**2 - HIDDEN / look.clusters**2))
    return abs(look.value) > float(special.stdtrit(look.clusters - 1, 0.975)) * error


def looks(runs: int, seed: int = 3) -> None:
    """Print the error of looking after each round, with a sequence and without."""
    print("samples, families, case, sequence %, naive %, equivalent %")
    for samples in (300, 1000, 3000):
        for size in (1, 10):
            for name, odds in CASES.items():
                _looks(runs, seed, samples, size, (name, odds))


CASES = {
    "A/A, 4 % differ": (0.02, 0.02),
    "A/A, 30 % differ": (0.15, 0.15),
    "A/A, 60 % differ": (0.3, 0.3),
    "at the margin, one direction": (0.05, 0.0),
    "at the margin, 30 % differ": (0.175, 0.125),
}
"""Chances of -1 and of +1."""


def _looks(
    runs: int, seed: int, samples: int, size: int, case: tuple[str, tuple[float, float]]
) -> None:
    name, (down, up) = case
    rng = np.random.default_rng(seed)
    families = samples // size
    family = (np.arange(samples) % families).astype(np.int32)
    number, rho = np.arange(samples) // ROUND, tuned(MARGIN, samples)
    found: Counter[str] = Counter()
    for _ in range(runs):
        # families of several samples hold differences that go together
        lean = rng.normal(0, 0.5 if size > 1 else 0.0, families)[family]
        luck = rng.random(samples) + np.clip(lean, -0.9, 0.9) * min(down, up)
        gap = np.where(luck < down, -1.0, np.where(luck > 1 - up, 1.0, 0.0))
        seen = tracked(gap, family, number, rho=rho)
        assert seen is not None
        found["sequence"] += seen.p(up - down) < 0.05
        found["naive"] += any(
            fixed_test(replace(look, value=look.value - up + down)) for look in seen.looks
        )
        found["equivalent"] += decision(seen, 1.0, MARGIN) == "equivalent"
    told = " | ".join(f"{100 * found[k] / runs:.1f}" for k in ("sequence", "naive", "equivalent"))
    print(f"| {samples} | {families} | {name} | {told} |", flush=True)


def rates(runs: int, seed: int = 5) -> None:
    """Print how often a pass rate lies outside its sequence at some look."""
    print("samples, pass rate, missed %")
    for samples in (300, 1000, 3000):
        for rate in (0.02, 0.1, 0.5, 0.9, 0.98):
            rng, missed = np.random.default_rng(seed), 0
            family = np.arange(samples, dtype=np.int32)
            number, rho = np.arange(samples) // ROUND, tuned(MARGIN, samples)
            for _ in range(runs):
                values = (rng.random(samples) < rate).astype(float)
                seen = tracked(values, family, number, rho=rho)
                assert seen is not None
                low, high = seen.interval()
                missed += not low <= rate <= high
            print(f"| {samples} | {rate} | {100 * missed / runs:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--only", choices=["looks", "rates", "policies"], default="")
    given = parser.parse_args()
    parts = {"looks": looks, "rates": rates, "policies": policies}
    for key, part in parts.items():
        if given.only in ("", key):
            part(given.runs)
