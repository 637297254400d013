"""Show how well forecasts are calibrated: worlds of known effects, every run told by the others.

Usage: ``python scripts/simulate_forecast.py [--worlds 40]``
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.forecast.effects import Cells
from qbench.benchmarks.analysis.forecast.scores import HeldOut, held_out_scores

Floats = NDArray[np.float64]
MODELS, FORMATS, TASKS, LEVELS = 4, 4, 4, 3


@dataclass(frozen=True)
class World:
    """Standard deviations of the true effects, in log odds."""

    name: str
    model: float = 1.2
    format: float = 0.3
    pair: float = 0.3
    task: float = 0.6
    task_level: float = 0.2
    model_task: float = 0.5
    cell: float = 0.2
    run: float = 0.1


SETTINGS = (
    (World("usual"), 12, 40),
    (World("usual"), 12, 160),
    (World("usual"), 5, 40),
    (World("models alike", model=0.2, pair=0.1, model_task=0.1), 12, 40),
    (World("models far apart", model=2.5), 12, 40),
    (World("unsteady runs", run=0.5), 12, 40),
    (World("every task its own", task=1.5, model_task=1.2), 12, 40),
)


def drawn(world: World, runs: int, samples: int, seed: int) -> tuple[Cells, Floats, list[Floats]]:
    """Draw a world and its runs: cells, pass rates, and the run and system of each cell."""
    rng = np.random.default_rng(seed)
    model, task = rng.normal(0, world.model, MODELS), rng.normal(0, world.task, TASKS)
    form = rng.normal(0, world.format, FORMATS)
    pair = rng.normal(0, world.pair, (MODELS, FORMATS))
    task_level = rng.normal(0, world.task_level, (TASKS, LEVELS))
    model_task = rng.normal(0, world.model_task, (MODELS, TASKS))
    cell = rng.normal(0, world.cell, (MODELS, FORMATS, TASKS, LEVELS))
    start, slope = rng.normal(-0.3, 0.7), rng.normal(-0.5, 0.3)
    rows = []
    for run in range(runs):
        m = int(rng.integers(MODELS))
        for f in rng.choice(FORMATS, size=int(rng.integers(2, FORMATS + 1)), replace=False):
            luck = rng.normal(0, world.run)
            for t in range(TASKS):
                for level in range(int(rng.integers(1, LEVELS + 1))):
                    odds = start + slope * level + model[m] + form[f] + pair[m, f] + task[t]
                    odds += task_level[t, level] + model_task[m, t] + cell[m, f, t, level] + luck
                    rate = rng.binomial(samples, 1 / (1 + np.exp(-odds))) / samples
                    rows.append((run, m, f, t, level, rate))
    return _coded(np.array(rows))


def _coded(rows: Floats) -> tuple[Cells, Floats, list[Floats]]:
    r, m, f, t, level = rows[:, :5].astype(np.int64).T
    system = m * 100 + f
    groups = [m, f, system, t, t * 100 + level, m * 100 + t]
    groups += [system * 10_000 + t * 100 + level, r * 1_000 + system]
    cells = Cells(groups=np.stack(groups), level=level.astype(np.float64))
    return cells, rows[:, 5], [r.astype(np.float64), system.astype(np.float64)]


def tried(world: World, runs: int, samples: int, seed: int) -> HeldOut:
    """Forecast every run of a world from the others."""
    cells, rate, (run, system) = drawn(world, runs, samples, seed)
    trials = np.full(len(rate), float(samples))
    return held_out_scores(cells, rate, trials, run.astype(np.int64), system.astype(np.int64))


def main() -> None:
    """Print the coverage of the 80 % interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=40)
    worlds = parser.parse_args().worlds
    print(f"{'world':20} {'runs':>4} {'samples':>7} {'covered':>9} {'%':>6} {'error, points':>14}")
    for world, runs, samples in SETTINGS:
        found = [tried(world, runs, samples, seed) for seed in range(worlds)]
        covered, total = sum(f.covered for f in found), sum(f.total for f in found)
        error = 100 * float(np.average([f.error for f in found], weights=[f.total for f in found]))
        start = f"{world.name:20} {runs:4} {samples:7} {covered:4}/{total:4}"
        print(f"{start} {100 * covered / total:6.1f} {error:14.1f}", flush=True)


if __name__ == "__main__":
    main()
