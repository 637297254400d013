"""Coverage of the intervals of cost of pass, where the truth is known.

Problems come in families that share a difficulty and a length; four systems answer each problem a
few times. For every cell the truth is taken from a large population. Prints the table that
docs/cost-of-pass.md records.

Usage: ``python scripts/simulate_costs.py [--runs 1000] [--resamples 2000]``
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.economics.costofpass import per_problem, ratio_interval
from qbench.benchmarks.analysis.economics.heldout import Half, held_out
from qbench.benchmarks.analysis.economics.minima import Bounds, drawn_means, value_interval
from qbench.benchmarks.analysis.sums import Floats

ABILITY = np.array([-1.5, -0.5, 0.5, 1.5])
PRICE = np.array([0.001, 0.003, 0.01, 0.05])
SIZES = np.array([2, 4, 4, 6])
POPULATION = 30_000
"""Families of which the truth is taken."""


@dataclass(frozen=True)
class Seen:
    """(Y, S, n) attempts at S problems."""

    passed: Floats
    costs: Floats
    family: NDArray[np.int64]
    rates: Floats
    """(Y, S) true pass rates."""
    means: Floats
    """(Y, S) true costs."""


def drawn(rng: np.random.Generator, families: int, epochs: int, shift: float) -> Seen:
    """Draw problems in families of uneven size, and attempts at them."""
    family = np.repeat(np.arange(families), rng.choice(SIZES, families))
    problems = len(family)
    difficulty = shift + 1.2 * rng.normal(size=families)[family] + rng.normal(size=problems)
    length = np.exp(0.4 * rng.normal(size=families)[family] + 0.3 * rng.normal(size=problems))
    rates = 1 / (1 + np.exp(-(ABILITY[:, None] - difficulty)))
    means = PRICE[:, None] * length
    shape = (len(ABILITY), problems, epochs)
    passed = (rng.random(shape) < rates[..., None]).astype(np.float64)
    noise = np.exp(0.3 * rng.normal(size=shape) - 0.045)
    return Seen(passed, means[..., None] * noise, family, rates, means)


def values(seen: Seen, expert: float) -> Floats:
    """Return (S,) V_p as it is estimated."""
    v = per_problem(seen.costs.mean(axis=-1), seen.passed.mean(axis=-1))
    return np.asarray(np.minimum(v.min(axis=0), expert), dtype=np.float64)


def crossed(seen: Seen, expert: float) -> Floats:
    """Return (S,) what half of the epochs choosing and half paying costs."""
    return held_out(_half(seen, 0), _half(seen, 1), expert)


def _half(seen: Seen, parity: int) -> Half:
    passed, costs = seen.passed[..., parity::2], seen.costs[..., parity::2]
    return Half(
        n=np.full(passed.shape[:2], float(passed.shape[2])),
        passed=passed.sum(axis=-1),
        cost=costs.sum(axis=-1),
        cost_passed=(passed * costs).sum(axis=-1),
    )


def bounded(rows: Floats, seen: Seen, expert: float, resamples: int) -> list[tuple[float, float]]:
    """Return the interval of each row of (R, S) V_p."""
    found = drawn_means(rows, seen.family, resamples=resamples)
    bounds = Bounds(expert=expert, attempt=float(seen.costs.mean(axis=(1, 2)).min()))
    return [
        value_interval(
            float(found.means[place]),
            found.interval(place),
            found.families,
            at_expert=float((row >= expert).mean()),
            bounds=bounds,
        )
        for place, row in enumerate(rows)
    ]


def ratio(seen: Seen, resamples: int) -> tuple[float, float]:
    """Return the interval of the second system's ratio of means."""
    cost, rate = seen.costs[1].mean(axis=-1), seen.passed[1].mean(axis=-1)
    found = drawn_means(np.stack([cost, rate]), seen.family, resamples=resamples)
    return ratio_interval(float(cost.mean()), found.families, found.draws[:, 0], found.draws[:, 1])


def cell(
    families: int, epochs: int, shift: float, expert: float, options: argparse.Namespace
) -> str:
    """Simulate one line of the table."""
    rng = np.random.default_rng((families, epochs, round(expert)))
    whole = drawn(rng, POPULATION, epochs, shift)
    estimated = float(values(whole, expert).mean())
    true = float(np.minimum(per_problem(whole.means, whole.rates).min(axis=0), expert).mean())
    policy = float(crossed(whole, expert).mean()) if epochs > 1 else np.nan
    ratios = float(whole.means[1].mean() / whole.rates[1].mean())
    held = np.zeros(4)
    for _ in range(options.runs):
        seen = drawn(rng, families, epochs, shift)
        rows = [values(seen, expert), *([crossed(seen, expert)] if epochs > 1 else [])]
        ends = bounded(np.stack(rows), seen, expert, options.resamples)
        low, high = ends[0]
        held[0] += low <= estimated <= high
        held[1] += low <= true <= high
        if epochs > 1:
            held[2] += ends[1][0] <= policy <= ends[1][1]
        low, high = ratio(seen, options.resamples)
        held[3] += low <= ratios <= high
    shares = [f"{100 * share:.1f}" for share in held / options.runs]
    if epochs == 1:
        shares[2] = "–"
    needs = float((values(whole, expert) >= expert).mean())
    cells = (families, epochs, f"${expert:g}", f"{100 * needs:.1f}", f"{estimated:.4f}")
    bias = f"{100 * (estimated / true - 1):+.0f}"
    return "| " + " | ".join(map(str, (*cells, bias, *shares))) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()
    print(
        "| families | epochs | expert | at the expert % | E[V] | bias % | V | true V | held-out |"
        " ratio of means |"
    )
    print("|" + "---|" * 10)
    for families in (10, 30, 100, 300):
        for epochs in (1, 4, 8):
            for shift, expert in ((-0.5, 0.5), (0.5, 20.0)):
                print(cell(families, epochs, shift, expert, options), flush=True)


if __name__ == "__main__":
    main()
