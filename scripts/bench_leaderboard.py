"""Time a leaderboard over generated attempts, with its intervals and verdicts: no database.

Twenty systems of ten epochs; a million attempts are 5,000 samples of each. Every sample is a family
of its own unless told otherwise: the hardest case, as 10,000 resamples draw 5,000 families each::

    python scripts/bench_leaderboard.py [--attempts 10000000] [--families 200] [--runs 5]

``bench_pandas.py`` compares with the same statistics written in pandas.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from qbench.benchmarks.analysis.outcomes import SCORED, Outcomes
from qbench.service.domain import Controls, Request, Run, RunStatus, System
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.leaderboard import ranked
from qbench.service.reports.values import Leaderboard

SYSTEMS = 20
EPOCHS = 10


def generated(attempts: int, families: int = 0) -> Outcomes:
    """Make outcomes of systems half a point apart; ``families`` 0: a sample is its own family."""
    rng = np.random.default_rng(0)
    samples = attempts // (SYSTEMS * EPOCHS)
    families = families or samples
    keys = tuple(sorted(system.id for system in systems()))
    system = np.repeat(np.arange(SYSTEMS, dtype=np.int32), samples * EPOCHS)
    sample = np.tile(np.repeat(np.arange(samples, dtype=np.int32), EPOCHS), SYSTEMS)
    n = len(system)
    hardness = rng.normal(0, 0.2, samples)
    passed = rng.random(n) < 0.6 - 0.005 * system + hardness[sample]
    return Outcomes(
        systems=keys,
        samples=tuple(map(str, range(samples))),
        sample_family=(np.arange(samples) % families).astype(np.int32),
        families=tuple(map(str, range(families))),
        sample_level=np.ones(samples, dtype=np.int32),
        sample_task=np.zeros(samples, dtype=np.int32),
        tasks=("task",),
        system=system,
        sample=sample,
        epoch=np.tile(np.arange(EPOCHS, dtype=np.int32), SYSTEMS * samples),
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
        cost={"saturated": rng.random(n) * 1e-4 * (1 - 0.02 * system)},
    )


def systems() -> tuple[System, ...]:
    """Return the systems that are compared; the first one is the baseline."""
    return tuple(
        System(model=f"made/model-{number}", format="bf16", engine="scripted")
        for number in range(SYSTEMS)
    )


def evidence_of(outcomes: Outcomes) -> Evidence:
    """Make what a report reads from a database."""
    request = Request(
        systems=systems(),
        baseline=outcomes.systems[0],
        suite="made",
        suite_version="1",
        tasks=outcomes.tasks,
        levels=(1,),
        limit=len(outcomes.samples),
        epochs=EPOCHS,
        margin=0.01,
    )
    run = Run(
        id="made",
        request=request,
        controls=Controls(),
        status=RunStatus.DONE,
        created_at=datetime.now(UTC),
    )
    planned = dict.fromkeys(outcomes.systems, len(outcomes.samples) * EPOCHS)
    return Evidence(run=run, basis="saturated", outcomes=outcomes, planned=planned, endpoints=())


def leaderboard(outcomes: Outcomes) -> Leaderboard:
    """Do all that is done after reading."""
    return ranked(evidence_of(outcomes), Decimal(1))


def timed(what: str, once: Callable[[], object], runs: int) -> tuple[float, float]:
    """Print wall and CPU seconds of some runs; return the medians.

    CPU seconds are those of both cores; other load on the machine moves them less.
    """
    wall, cpu = [], []
    for _ in range(runs):
        began, used = time.perf_counter(), time.process_time()
        once()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    middle = statistics.median(wall), statistics.median(cpu)
    print(
        f"{what}: median {middle[0]:.2f} s (of {min(wall):.2f} to {max(wall):.2f}), "
        f"CPU {middle[1]:.2f} s ({min(cpu):.2f} to {max(cpu):.2f})",
        flush=True,
    )
    return middle


def peak() -> float:
    """Return the most memory this process ever had, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> None:
    """Print the median of some runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--families", type=int, default=0)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    outcomes = generated(given.attempts, given.families)
    before = peak()
    what = (
        f"{len(outcomes.status):,} attempts, {SYSTEMS} systems, {len(outcomes.families):,} "
        "families, 10,000 resamples"
    )
    timed(what, lambda: leaderboard(outcomes), given.runs)
    print(f"peak memory: {peak():.2f} GB, of which the attempts themselves {before:.2f} GB")


if __name__ == "__main__":
    main()
