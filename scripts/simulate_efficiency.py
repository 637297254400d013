"""How often the intervals of idealized runtimes hold the truth, where the truth is known.

Grids are simulated with multiplied noise of several shapes and sizes, fitted as a profile is, and
the 95 % intervals of F, g and of costed calls are counted; likewise how often the context term is
asked for where there is none, and where there is one::

    python scripts/simulate_efficiency.py [--trials 4000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.efficiency.runtime import Grid, context_test, fit

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Floats]

PROMPTS = np.array([32.0, 128, 512])
OUTPUTS = np.array([1.0, 16, 64])
FIRST, TOKEN = 0.05 + 0.001 * PROMPTS, 0.02

NOISES: dict[str, Noise] = {
    "normal 2 %": lambda rng, n: 0.02 * rng.standard_normal(n),
    "normal 10 %": lambda rng, n: 0.10 * rng.standard_normal(n),
    "lognormal 10 %": lambda rng, n: np.exp(0.1 * rng.standard_normal(n) - 0.005) - 1,
    "one in ten 30 % late": lambda rng, n: (
        0.02 * rng.standard_normal(n) + 0.3 * ((rng.random(n) < 0.1) - 0.1)
    ),
}
"""Of mean zero, so that the truth is the mean."""


def simulated(rng: np.random.Generator, noise: Noise, repeats: int, context: float) -> Grid:
    """Time a made-up machine."""
    shapes = np.array([*product(PROMPTS, OUTPUTS)] * repeats)
    prompt, output = shapes.T
    truth = np.interp(prompt, PROMPTS, FIRST) + (output - 1) * (TOKEN + context * prompt)
    return Grid(prompt=prompt, output=output, seconds=truth * (1 + noise(rng, len(truth))))


def covered(noise: Noise, repeats: int, trials: int) -> list[float]:
    """Return the share of trials in which the intervals hold F(32), F(512), g and a run's sum."""
    truth, hits = np.array([*FIRST, TOKEN, 0.0]), np.zeros(4)
    rng = np.random.default_rng(0)
    prompt, output = np.array([40.0, 300, 600]), np.array([5.0, 40, 100])
    for _ in range(trials):
        runtime = fit(simulated(rng, noise, repeats, 0.0))
        whole = runtime.design(prompt, output).sum(axis=0)
        rows = [*np.eye(5)[[0, 2, 3]], whole]
        known = [*truth[[0, 2, 3]], float(whole @ truth)]
        for place, (row, value) in enumerate(zip(rows, known, strict=True)):
            low, high = runtime.interval(row)
            hits[place] += low <= value <= high
    return [float(hit) / trials for hit in hits]


def asked_for(noise: Noise, repeats: int, trials: int, context: float) -> float:
    """Return the share of trials in which the context term is asked for."""
    rng = np.random.default_rng(1)
    found = [context_test(simulated(rng, noise, repeats, context)) for _ in range(trials)]
    return sum(one is not None and one.needed for one in found) / trials


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4000)
    trials = parser.parse_args().trials
    print(f"{'noise':22} {'repeats':>7} {'F(32)':>7} {'F(512)':>7} {'g':>7} {'run':>7}")
    for (name, noise), repeats in product(NOISES.items(), (2, 3, 8)):
        shares = " ".join(f"{100 * share:7.1f}" for share in covered(noise, repeats, trials))
        print(f"{name:22} {repeats:7} {shares}")
    print(f"\n{'noise':22} {'repeats':>7} {'none':>7} {'20 %':>7} {'50 %':>7}  context term used")
    for (name, noise), repeats in product(NOISES.items(), (3, 8)):
        terms = [share * TOKEN / (PROMPTS[-1] - PROMPTS[0]) for share in (0.0, 0.2, 0.5)]
        found = [asked_for(noise, repeats, trials, term) for term in terms]
        print(f"{name:22} {repeats:7} " + " ".join(f"{100 * share:7.1f}" for share in found))


if __name__ == "__main__":
    main()
