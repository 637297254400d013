"""Show that intervals, verdicts and plans do what they promise, in worlds whose truth is known.

Every number is made by the very functions that reports use. Prints the tables of
docs/verification.md.

Usage: ``python scripts/simulate_statistics.py [--part rates] [--world uneven] [--runs 4000]``
Parts: rates, differences, verdicts, power, settling, many. All of them take about half an hour.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qbench.benchmarks.analysis import design
from qbench.benchmarks.analysis.clusters import Mean, clustered_mean, pass_rate
from qbench.benchmarks.analysis.comparison.multiplicity import adjusted
from qbench.benchmarks.analysis.comparison.paired import (
    Difference,
    difference,
    differences,
    verdict,
    widened,
)
from qbench.benchmarks.analysis.rates import wilson

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
NUMBERS = (30, 100, 300, 1000, 3000)
RATES = (0.02, 0.05, 0.1, 0.3, 0.5, 0.9, 0.98)
MARGIN = 0.05
CHUNK = 500


@dataclass(frozen=True)
class World:
    """How samples are alike."""

    name: str
    size: int = 1
    """Mean samples of a family."""
    uneven: bool = False
    """Sizes are lognormal, deviation 0.8: mostly from 1 to four times the mean."""
    correlation: float = 0.0
    """Of passes within a family, which are beta-binomial."""
    epochs: int = 1
    """Attempts at each sample, whose own rates are beta-distributed with correlation 0.4."""
    agree: float = 0.6
    """Share of samples on which two systems meet the same luck."""

    def families(self, n: int, rng: np.random.Generator) -> Ints:
        """Return the family of each of ``n`` samples."""
        sizes = np.full(n, self.size, dtype=np.int64)
        if self.uneven:
            drawn = rng.lognormal(math.log(self.size) - 0.32, 0.8, n)
            sizes = np.maximum(1, drawn.astype(np.int64))
        return np.repeat(np.arange(n, dtype=np.int32), sizes)[:n]

    def rates(self, p: float, family: Ints, runs: int, rng: np.random.Generator) -> Floats:
        """Return (runs, n) chances of passing with mean ``p``, alike within families."""
        if not self.correlation:
            return np.full((runs, len(family)), p)
        odds = (1 - self.correlation) / self.correlation
        own = rng.beta(p * odds, (1 - p) * odds, (runs, int(family.max()) + 1))
        found: Floats = own[:, family]
        return found

    def passed(self, rates: Floats, luck: Floats, rng: np.random.Generator) -> Floats:
        """Return (runs, n) pass rates of samples."""
        if self.epochs == 1:
            return (luck < rates).astype(np.float64)
        near = np.clip(rates, 1e-6, 1 - 1e-6)
        return rng.binomial(self.epochs, rng.beta(1.5 * near, 1.5 * (1 - near))) / self.epochs


ALONE = World("alone")
WORLDS = (
    World("fives", size=5),
    World("fives, 0.1", size=5, correlation=0.1),
    World("fives, 0.3", size=5, correlation=0.3),
    World("uneven", size=5, uneven=True),
    World("uneven, 0.1", size=5, uneven=True, correlation=0.1),
    World("uneven, 0.3", size=5, uneven=True, correlation=0.3),
    World("uneven tens, 0.1", size=10, uneven=True, correlation=0.1),
    World("4 epochs", epochs=4),
    World("uneven, 0.2, 4 epochs", size=5, uneven=True, correlation=0.2, epochs=4),
)


def row(*cells: object) -> None:
    """Print a row of a table in Markdown."""
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def head(*cells: object) -> None:
    """Print the first two rows of a table."""
    row(*cells)
    row(*("---:" if place else "---" for place in range(len(cells))))


def percent(share: float) -> str:
    """Write a share as a percentage."""
    return f"{100 * share:.1f}"


def chunks(runs: int) -> Iterator[int]:
    """Yield how many runs to draw at a time."""
    for start in range(0, runs, CHUNK):
        yield min(CHUNK, runs - start)


def rates(runs: int, worlds: Sequence[World]) -> None:
    """Print the coverage of ``pass_rate``'s 95 % interval."""
    if ALONE in worlds:
        rates_alone()
    for world in worlds:
        if world is ALONE:
            continue
        print()
        head(world.name, *RATES, "families")
        for n in NUMBERS:
            found = [covered(world, n, p, runs) for p in RATES]
            number = len(np.unique(world.families(n, np.random.default_rng(n))))
            row(n, *map(percent, found), number)


def rates_alone() -> None:
    """Print the exact coverage where every sample is its own family and tried once."""
    head("alone (exact)", *RATES, "mean", "least", "at")
    grid = np.linspace(0.02, 0.98, 193)
    for n in NUMBERS:
        whole = [exact_coverage(n, float(p)) for p in grid]
        shown = [percent(exact_coverage(n, p)) for p in RATES]
        least = int(np.argmin(whole))
        row(n, *shown, percent(float(np.mean(whole))), percent(whole[least]), f"{grid[least]:.3f}")


def exact_coverage(n: int, p: float) -> float:
    """Return the coverage of Wilson's interval: a sum over all n + 1 outcomes."""
    passed = np.arange(n + 1)
    ends = np.array([wilson(float(x), n) for x in passed])
    inside = (ends[:, 0] <= p) & (p <= ends[:, 1])
    return float(stats.binom.pmf(passed, n, p)[inside].sum())


def covered(world: World, n: int, p: float, runs: int) -> float:
    """Return how often the interval of a pass rate held it."""
    rng = np.random.default_rng(n)
    family, hits = world.families(n, rng), 0
    tries = np.full(n, float(world.epochs))
    for count in chunks(runs):
        own = world.rates(p, family, count, rng)
        for passed in world.passed(own, rng.random(own.shape), rng):
            found = pass_rate(passed, tries, family)
            assert found is not None
            hits += found.low <= p <= found.high
    return hits / runs


def two(
    world: World, p: float, gap: float, family: Ints, runs: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """Yield runs of two systems whose pass rates differ by ``gap``: first the better one."""
    rng = np.random.default_rng(seed)
    for count in chunks(runs):
        low = world.rates(p, family, count, rng)
        high = world.rates(p + gap, family, count, rng)
        luck = rng.random(low.shape)
        other = np.where(rng.random(low.shape) < world.agree, luck, rng.random(low.shape))
        yield from zip(world.passed(high, luck, rng), world.passed(low, other, rng), strict=True)


GAPS = ((0.02, 0.0), (0.02, 0.05), (0.1, 0.0), (0.3, 0.1), (0.5, 0.0), (0.9, 0.05), (0.95, 0.03))


def differences_covered(runs: int, worlds: Sequence[World]) -> None:
    """Print the coverage of the 95 % interval of a paired difference."""
    for world in worlds:
        head(world.name, *(f"{p} + {gap}" for p, gap in GAPS))
        for n in NUMBERS:
            family = world.families(n, np.random.default_rng(n))
            shown = []
            for p, gap in GAPS:
                hits = 0
                for first, second in two(world, p, gap, family, runs, n):
                    low, high = widened(clustered_mean(first - second, family), 0.95)
                    hits += low <= gap <= high
                shown.append(percent(hits / runs))
            row(n, *shown)
        print()


def judged(
    world: World, p: float, gap: float, n: int, runs: int, *, tested: bool = True
) -> Iterator[Difference]:
    """Yield the differences of many runs; their tests take long and are left out if not asked."""
    family = world.families(n, np.random.default_rng(n))
    for first, second in two(world, p, gap, family, runs, n):
        if tested:
            found = difference(first, second, family, epochs=world.epochs)
            assert found is not None
            yield found
        else:
            yield untested(clustered_mean(first - second, family))


def untested(mean: Mean) -> Difference:
    """Return a difference of which only the intervals are looked at."""
    return Difference(mean=mean, p=1.0, both=0, only_system=0, only_baseline=0, neither=mean.n)


VERDICT_WORLDS = (ALONE, WORLDS[2], WORLDS[5], WORLDS[7])
"""Where verdicts and plans are tried."""


def verdicts(runs: int, worlds: Sequence[World]) -> None:
    """Print how often a verdict is wrong where it could be: each at most 5 %."""
    head(
        "world, n, pass rate",
        "A/A: better or worse",
        "equivalent at +margin",
        "equivalent at -margin",
        "non-inferior at -margin",
    )
    for world in (one for one in VERDICT_WORLDS if one in worlds):
        for n in (30, 100, 300, 1000):
            for p in (0.1, 0.5, 0.9):
                row(f"{world.name}, {n}, {p}", *_errors(world, n, p, runs))


def _errors(world: World, n: int, p: float, runs: int) -> Iterator[str]:
    same = [verdict(gap, gap.p, MARGIN) for gap in judged(world, p, 0.0, n, runs)]
    yield percent(sum(kind in ("better", "worse") for kind in same) / runs)
    above = list(judged(world, p, MARGIN, n, runs, tested=False))
    yield percent(sum(verdict(gap, 1.0, MARGIN) == "equivalent" for gap in above) / runs)
    below = list(judged(world, p + MARGIN, -MARGIN, n, runs, tested=False))
    yield percent(sum(verdict(gap, 1.0, MARGIN) == "equivalent" for gap in below) / runs)
    kinds = [verdict(gap, 1.0, MARGIN, one_sided=True) for gap in below]
    yield percent(sum(kind in ("equivalent", "non-inferior") for kind in kinds) / runs)


def power(runs: int, worlds: Sequence[World]) -> None:
    """Print how often planned numbers of samples show what they were planned for: 80 %."""
    head("world, pass rate, truth", "question", "planned n", "found")
    for world in (one for one in VERDICT_WORLDS if one in worlds):
        for p, gap in ((0.5, 0.1), (0.5, 0.05), (0.85, 0.05)):
            _planned(world, p, gap, "difference", runs)
        _planned(world, 0.6, 0.0, "equivalence", runs)
        _planned(world, 0.6, 0.02, "equivalence", runs)
        _planned(world, 0.6, 0.0, "non-inferiority", runs)


def _planned(world: World, p: float, gap: float, question: str, runs: int) -> None:
    """Plan by the spread of one large pilot, then run the plan."""
    pilot = 20_000
    family = world.families(pilot, np.random.default_rng(1))
    first, second = next(two(world, p, gap, family, 1, 1))
    tries = np.full(pilot, float(world.epochs))
    spread = design.measured((first, tries), (second, tries), family)
    assert spread is not None
    variance, exact = spread.variance(world.epochs), world.size == world.epochs == 1
    wanted = {
        "difference": lambda: design.for_difference(gap, variance, exact=exact),
        "equivalence": lambda: design.for_equivalence(MARGIN, variance, gap=gap),
        "non-inferiority": lambda: design.for_non_inferiority(MARGIN, variance, gap=gap),
    }[question]()
    n = math.ceil(wanted)
    hits: dict[str, Callable[[Difference], bool]] = {
        "difference": lambda found: found.p < 0.05 and found.interval[0] > 0,
        "equivalence": lambda found: found.narrow[0] > -MARGIN and found.narrow[1] < MARGIN,
        "non-inferiority": lambda found: found.narrow[0] > -MARGIN,
    }
    tested = question == "difference"
    found = judged(world, p, gap, n, runs, tested=tested)
    shown = sum(hits[question](one) for one in found) / runs
    row(f"{world.name}, {p}, {gap:+}", question, n, percent(shown))


def settling(runs: int, worlds: Sequence[World]) -> None:
    """Print how often the 80 % interval of ``needed`` held the truth."""
    head("world, n, truth", "truly needed", "in the interval", "median width (high / low)")
    for world in (one for one in (ALONE, WORLDS[2]) if one in worlds):
        for n in (100, 400):
            for p, gap in ((0.5, 0.0), (0.5, 0.03), (0.5, 0.12)):
                row(f"{world.name}, {n}, {gap:+}", *_settled(world, n, p, gap, runs))


def _settled(world: World, n: int, p: float, gap: float, runs: int) -> Iterator[object]:
    pilot = 200_000
    family = world.families(pilot, np.random.default_rng(1))
    first, second = next(two(world, p, gap, family, 1, 1))
    mean = clustered_mean(first - second, family)
    variance = mean.error**2 * pilot
    truth = min(
        design.for_difference(gap, variance, exact=world.size == 1),
        design.for_equivalence(MARGIN, variance, gap=gap),
    )
    inside, widths = 0, []
    family = world.families(n, np.random.default_rng(n))
    for one, other in two(world, p, gap, family, runs, n):
        found = design.settling_interval(clustered_mean(one - other, family), MARGIN)
        if found is None:
            continue
        inside += found[0] <= truth <= found[1]
        widths.append(found[1] / found[0])
    yield from (f"{truth:.0f}", percent(inside / runs), f"{np.median(widths):.1f}")


def many(runs: int, _: Sequence[World]) -> None:
    """Print what is false among many systems against one baseline: at most 5 %."""
    head(
        "systems (truly different)", "Holm: any false", "BH: share false", "Holm finds", "BH finds"
    )
    for systems, true in ((5, 0), (10, 0), (20, 0), (10, 3), (20, 6), (20, 15)):
        wrong, share, found = 0, 0.0, np.zeros(2)
        for seed in range(runs):
            ps = _against_one(systems, true, seed)
            for place, way in enumerate(("holm", "bh")):
                hit = np.array(adjusted(ps, "bh" if way == "bh" else "holm")) < 0.05
                found[place] += hit[:true].sum()
                if way == "holm":
                    wrong += bool(hit[true:].any())
                else:
                    share += hit[true:].sum() / max(1, hit.sum())
        finds = [percent(one / (runs * true)) if true else "" for one in found]
        row(f"{systems} ({true})", percent(wrong / runs), percent(share / runs), *finds)


def _against_one(systems: int, true: int, seed: int) -> list[float]:
    """Return the p of systems against one baseline, 300 samples: the first ``true`` are worse."""
    rng = np.random.default_rng(seed)
    n = 300
    hard = rng.beta(2, 2, n)
    base = (rng.random(n) < hard).astype(np.float64)
    family = np.arange(n, dtype=np.int32)
    drop = np.where(np.arange(systems) < true, 0.12, 0.0)[:, None]
    passed = (rng.random((systems, n)) < hard[None, :] - drop).astype(np.float64)
    found = differences([(one, base) for one in passed], family, epochs=1)
    return [gap.p for gap in found if gap is not None]


PARTS: dict[str, Callable[[int, Sequence[World]], None]] = {
    "rates": rates,
    "differences": differences_covered,
    "verdicts": verdicts,
    "power": power,
    "settling": settling,
    "many": many,
}


def main(arguments: Sequence[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append")
    every = {world.name: world for world in (ALONE, *WORLDS)}
    parser.add_argument("--world", choices=every, action="append")
    parser.add_argument("--runs", type=int, default=4_000)
    asked = parser.parse_args(arguments)
    worlds = [every[name] for name in asked.world or every]
    for part in asked.part or PARTS:
        began = time.perf_counter()
        print(f"\n### {part}\n")
        PARTS[part](asked.runs, worlds)
        error = 100 * math.sqrt(0.05 * 0.95 / asked.runs)
        took = time.perf_counter() - began
        print(f"\n{asked.runs:,} runs a cell, standard error at 5 %: {error:.2f}; {took:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
