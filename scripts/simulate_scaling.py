"""Test-time scaling where the truth is known: bias and interval coverage, as tables for docs.

``simulate_scaling.py [TRIALS]``; prints Markdown. One core, about a minute per 400 trials.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from qbench.benchmarks.analysis.clusters import pass_rate
from qbench.benchmarks.analysis.resampling import percentile_interval
from qbench.benchmarks.analysis.scaling.coverage import coverage, points, reliability
from qbench.benchmarks.analysis.scaling.difficulty import rates_of
from qbench.benchmarks.analysis.scaling.saturation import fitted, unevenness
from qbench.benchmarks.analysis.scaling.verifier import (
    Stakes,
    Verifier,
    answers,
    measured,
    reward,
    supposed,
)
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.reports.scaling.curves import MISFIT, OPEN_END, UNEVEN

RNG = np.random.default_rng(20251125)
SAMPLES = 100
RESAMPLES = 1_000
REFITS = 200
VERIFIER = Verifier(soundness=0.75)

Draw = Callable[[int], Floats]
LAWS: dict[str, Draw] = {
    "all 0.2": lambda n: np.full(n, 0.2),
    "0 or 0.3": lambda n: RNG.choice([0.0, 0.3], n, p=[0.3, 0.7]),
    "beta(2, 3)": lambda n: RNG.beta(2, 3, n),
    "beta(0.5, 0.5)": lambda n: RNG.beta(0.5, 0.5, n),
    "beta(0.3, 2)": lambda n: RNG.beta(0.3, 2, n),
    "0.1 or 0.8": lambda n: RNG.choice([0.1, 0.8], n),
}
MANY = 400_000


def inside(interval: tuple[float, float], truth: float) -> bool:
    """Whether an interval covers the truth."""
    return interval[0] <= truth <= interval[1]


def resampled(values: Floats) -> Floats:
    """Return (B, K) means of (S, K) values over samples drawn with replacement."""
    even = np.full(len(values), 1 / len(values))
    return np.asarray(RNG.multinomial(len(values), even, size=RESAMPLES) @ values / len(values))


def curves(trials: int, n: int) -> list[tuple[str, ...]]:
    """Cover pass@k by the interval of a pass rate, and by percentiles of the bootstrap."""
    rows = []
    ks = (1, 4, n)
    family = np.arange(SAMPLES, dtype=np.int32)
    tries = np.full(SAMPLES, n)
    for name, law in LAWS.items():
        truth = [float((1 - (1 - law(MANY)) ** k).mean()) for k in ks]
        hits = np.zeros((2, len(ks)))
        for _ in range(trials):
            values = coverage(tries, RNG.binomial(n, law(SAMPLES)), ks)
            draws = resampled(values)
            for place, true in enumerate(truth):
                rate = pass_rate(values[:, place], tries.astype(float), family)
                assert rate is not None
                hits[0, place] += inside((rate.low, rate.high), true)
                hits[1, place] += inside(percentile_interval(draws[:, place]), true)
        told = (f"{100 * a / trials:.1f} / {100 * b / trials:.1f}" for a, b in hits.T)
        rows.append((name, *told))
    return rows


def fits(trials: int, n: int) -> list[tuple[str, ...]]:
    """Fit F_max and p_x: true where samples that can be solved are equally hard."""
    rows = []
    ks, tries = points(n), np.full(SAMPLES, n)
    for name, law in LAWS.items():
        many = law(MANY)
        most = float((many > 0).mean())
        deep = float((1 - (1 - many) ** (4 * n)).mean())
        found, covered, ahead, warned = [], 0, [], 0
        for _ in range(trials):
            passes = RNG.binomial(n, law(SAMPLES))
            values = coverage(tries, passes, ks)
            draws = resampled(values)
            one, again = fitted(ks, values.mean(axis=0)[None]), fitted(ks, draws[:REFITS])
            found.append((float(one.most[0]), float(one.hit[0])))
            covered += inside(percentile_interval(again.most), most)
            off = np.abs(one.reached(np.array(ks, dtype=float))[0] - values.mean(axis=0)).max()
            moments = resampled(reliability(tries, passes, (1, 2, 3)))
            uneven = off > MISFIT or unevenness(moments) < UNEVEN
            warned += bool(uneven or (1 - one.hit[0]) ** n > OPEN_END)
            ahead.append(float(one.reached(np.array([4.0 * n]))[0, 0]) - deep)
        mean = np.mean(found, axis=0)
        rows.append(
            (
                name,
                f"{100 * most:.1f}",
                f"{100 * mean[0]:.1f}",
                f"{100 * covered / trials:.1f}",
                f"{100 * mean[1]:.1f}",
                f"{100 * np.mean(ahead):+.1f}",
                f"{100 * warned / trials:.0f}",
            )
        )
    return rows


def ceilings(trials: int, n: int) -> list[tuple[str, ...]]:
    """Estimate the ceiling of soundness 0.75 by own rates and by the beta law."""
    rows = []
    tries = np.full(SAMPLES, n)
    for name, law in LAWS.items():
        truth = float(VERIFIER.ceiling(law(MANY)).mean())
        found, covered = [], 0
        for _ in range(trials):
            passes = RNG.binomial(n, law(SAMPLES))
            right, _ = answers(measured(tries, passes, VERIFIER, n), VERIFIER)
            moments = reliability(tries, passes, (1, 2))
            draws = resampled(moments)[:REFITS]
            beta = VERIFIER.ceiling(rates_of(*moments.mean(axis=0)[:, None])).mean()
            again = VERIFIER.ceiling(rates_of(*draws.T)).mean(axis=1)
            own = VERIFIER.ceiling(passes / n).mean()
            most = VERIFIER.ceiling(np.array(passes.mean() / n))
            found.append((float(right[:, -1].mean()), float(own), float(beta), float(most)))
            covered += inside(percentile_interval(again), truth)
        means = (f"{100 * value:.1f}" for value in np.mean(found, axis=0))
        rows.append((name, f"{100 * truth:.1f}", *means, f"{100 * covered / trials:.1f}"))
    return rows


def rewards(trials: int, n: int) -> list[tuple[str, ...]]:
    """Estimate the reward of up to n tries, V 0.7, against the true one and own rates' one."""
    rows = []
    stakes, tries = Stakes(false_positive=0.7), np.full(SAMPLES, n)
    for name, law in LAWS.items():
        truth = reward(supposed(law(MANY), VERIFIER, n), VERIFIER, stakes).mean(axis=0)
        found = np.zeros((2, n))
        for _ in range(trials):
            passes = RNG.binomial(n, law(SAMPLES))
            exact = reward(measured(tries, passes, VERIFIER, n), VERIFIER, stakes)
            own = reward(supposed(passes / n, VERIFIER, n), VERIFIER, stakes)
            found += np.stack([exact.mean(axis=0), own.mean(axis=0)]) / trials
        rows.append((name, *(f"{value[-1]:+.4f}" for value in (truth, *found))))
    return rows


def table(title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n")
    for row in (heads, ("---",) * len(heads), *rows):
        print(f"| {' | '.join(row)} |")


def main() -> None:
    """Print all tables."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    table(
        f"Coverage of 95 % intervals of pass@k in %, pass rate's / percentile's, {trials} runs",
        ("rates", "k = 1", "k = 4", "k = 8"),
        curves(trials, 8),
    )
    for n in (8, 32):
        table(
            f"Fits to {n} attempts",
            ("rates", "F_max %", "fitted", "covered %", "p_x %", f"error at {4 * n}", "warned %"),
            fits(trials, n),
        )
        table(
            f"Ceilings from {n} attempts",
            ("rates", "true %", "at least", "own rates", "beta law", "at most", "covered %"),
            ceilings(trials, n),
        )
    table("Reward of 8 tries", ("rates", "true", "measured", "own rates"), rewards(trials, 8))


if __name__ == "__main__":
    main()
