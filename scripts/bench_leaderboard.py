"""Time the statistics of a leaderboard over generated attempts: no database, no model.

Usage: ``python scripts/bench_leaderboard.py [--attempts 1000000]``
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from qbench.benchmarks.analysis.clusters import pass_rate
from qbench.benchmarks.analysis.costofpass import per_problem, ratio_interval, ratio_of_means
from qbench.benchmarks.analysis.multiplicity import holm
from qbench.benchmarks.analysis.outcomes import SCORED, Outcomes
from qbench.benchmarks.analysis.paired import difference
from qbench.benchmarks.analysis.pareto import losses, members
from qbench.benchmarks.analysis.resampling import resampled
from qbench.benchmarks.analysis.sums import sums
from qbench.benchmarks.analysis.validity import count

SYSTEMS = 4
EPOCHS = 10
FAMILIES = 200


def generated(attempts: int) -> Outcomes:
    """Make outcomes of four systems that differ by three points each."""
    rng = np.random.default_rng(0)
    samples = attempts // (SYSTEMS * EPOCHS)
    system, sample, epoch = (
        part.ravel().astype(np.int32)
        for part in np.meshgrid(
            np.arange(SYSTEMS), np.arange(samples), np.arange(EPOCHS), indexing="ij"
        )
    )
    n = len(system)
    passed = rng.random(n) < 0.6 - 0.03 * system
    return Outcomes(
        systems=tuple(f"s{place}" for place in range(SYSTEMS)),
        samples=tuple(map(str, range(samples))),
        sample_family=(np.arange(samples) % FAMILIES).astype(np.int32),
        families=tuple(map(str, range(FAMILIES))),
        sample_level=np.ones(samples, dtype=np.int32),
        sample_task=np.zeros(samples, dtype=np.int32),
        tasks=("task",),
        system=system,
        sample=sample,
        epoch=epoch,
        status=np.full(n, SCORED, dtype=np.int8),
        passed=passed,
        value=passed.astype(np.float64),
        prompt_tokens=rng.integers(100, 500, n).astype(np.float64),
        cached_tokens=np.zeros(n),
        completion_tokens=rng.integers(10, 90, n).astype(np.float64),
        seconds=rng.random(n),
        truncated=np.zeros(n, dtype=bool),
        parse_failures=np.zeros(n, dtype=np.int32),
        retries=np.zeros(n, dtype=np.int32),
        calls=np.ones(n, dtype=np.int32),
        cost={"saturated": rng.random(n) * 1e-4},
    )


def analyse(outcomes: Outcomes) -> None:
    """Do what a leaderboard does."""
    reduced = sums(outcomes, "saturated")
    draws, costs = resampled(reduced)
    members(losses((draws, True), (costs, False))).mean(axis=0)
    gaps = []
    count(outcomes, "saturated")
    for place in range(SYSTEMS):
        pass_rate(reduced.rates[place], reduced.n[place], reduced.family)
        ratio_of_means(reduced.costs[place], reduced.rates[place])
        per_problem(reduced.costs[place], reduced.rates[place])
        ratio_interval(1.0, FAMILIES, costs[:, place], draws[:, place])
        gap = difference(reduced.rates[place], reduced.rates[0], reduced.family, epochs=EPOCHS)
        if gap is not None:
            gaps.append(gap.p)
    holm(gaps)


def main() -> None:
    """Print the median of five."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    outcomes = generated(parser.parse_args().attempts)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        analyse(outcomes)
        took.append(time.perf_counter() - began)
    print(
        f"{len(outcomes.status):,} attempts, {SYSTEMS} systems, 10,000 resamples: "
        f"median {statistics.median(took):.2f} s (of {min(took):.2f} to {max(took):.2f})"
    )


if __name__ == "__main__":
    main()
