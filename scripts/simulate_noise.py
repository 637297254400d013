"""How honest the noise statistics are where the truth is known: the tables of docs/noise.md.

Each line says how often a 95 % interval held the truth, or how often a test called something that
is not there. Seeded; about two minutes on one core.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from qbench.benchmarks.analysis.comparison.multiplicity import holm
from qbench.benchmarks.analysis.comparison.paired import verdict
from qbench.benchmarks.analysis.comparison.unpaired import gap
from qbench.benchmarks.analysis.noise.flips import std_interval
from qbench.benchmarks.analysis.noise.graded import power
from qbench.benchmarks.analysis.noise.items import cronbach, feldt, item_statistics
from qbench.benchmarks.analysis.noise.snr import chance, ratio
from qbench.benchmarks.analysis.noise.variance import spreads
from qbench.benchmarks.analysis.sums import Floats

TRIALS = 1_000
RESAMPLES = 500


def share(found: int, trials: int = TRIALS) -> str:
    """Write a share in percent."""
    return f"{100 * found / trials:5.1f} %"


def answers(rng: np.random.Generator, p: Floats, repeats: int) -> Floats:
    """Draw (Y, T, S) passes of (Y, S) probabilities."""
    return (rng.random((len(p), repeats, p.shape[1])) < p[:, None, :]).astype(np.float64)


def spread_of_runs(rng: np.random.Generator) -> None:
    """Std@Acc: runs that differ by a shift of 2 points, and by what 300 samples do by chance."""
    print("Std@Acc, 95 % interval (chi-square)\n  runs   holds the truth")
    for runs in (2, 3, 5, 12):
        held = 0
        for _ in range(TRIALS):
            p = np.clip(0.7 + rng.normal(0, 0.02, runs), 0, 1)
            truth = math.sqrt(0.02**2 + 0.7 * 0.3 / 300)
            seen = float((rng.binomial(300, p) / 300).std(ddof=1))
            low, high = std_interval(seen, runs, 300)
            held += low <= truth <= high
        print(f"  {runs:4}   {share(held)}")


def parts(rng: np.random.Generator) -> None:
    """Variance components of pass and fail: samples of a Beta, runs that shift all samples."""
    print("Variance components, 95 % intervals\n  samples runs epochs   " + NAMES)
    for samples, runs, epochs in ((60, 1, 4), (200, 1, 4), (200, 4, 2), (1000, 3, 1)):
        held = dict.fromkeys(("samples", "runs", "interaction", "epochs"), 0)
        for _ in range(TRIALS // 2):
            base = rng.beta(1, 1, samples)
            values = (rng.random((runs, samples, epochs)) < base[None, :, None]).astype(np.float64)
            found = spreads(values, np.arange(samples, dtype=np.int32), resamples=RESAMPLES)
            truth = {"samples": 1 / 12, "runs": 0.0, "interaction": 0.0, "epochs": 1 / 6}
            for name, (low, high) in found.intervals.items():
                held[name] += low <= truth[name] <= high
        told = [
            share(held[name], TRIALS // 2) if name in found.intervals else "      –"
            for name in held
        ]
        print(f"  {samples:7} {runs:4} {epochs:6}   " + "     ".join(told))


NAMES = "samples     runs        both       epochs"


def ratios(rng: np.random.Generator) -> None:
    """Signal-to-noise ratio: systems that are apart by a known difference."""
    print("Signal-to-noise ratio\n  systems repeats samples apart   truth  median  95 % holds")
    many = rng.beta(2, 2, 100_000)
    for systems, repeats, n, apart in (
        (2, 2, 100, 0.1),
        (3, 2, 100, 0.2),
        (3, 4, 120, 0.2),
        (3, 4, 400, 0.2),
        (5, 8, 200, 0.1),
        (4, 4, 100, 0.05),
        (4, 4, 100, 0.0),
    ):
        whole = _apart(many, systems, apart)
        noise = math.sqrt((whole * (1 - whole)).mean() / n * (repeats - 1) / repeats)
        truth = float(np.ptp(whole.mean(axis=1))) / noise
        held, seen = 0, []
        for _ in range(TRIALS // 2):
            values = answers(rng, _apart(rng.beta(2, 2, n), systems, apart), repeats)
            found = ratio(values, np.arange(n, dtype=np.int32), resamples=RESAMPLES)
            held += found.interval[0] <= truth <= found.interval[1]
            seen.append(found.snr)
        told = f"  {systems:7} {repeats:7} {n:7} {apart:5.2f}  {truth:6.2f}  {np.median(seen):6.2f}"
        print(
            told
            + (
                f"  {share(held, TRIALS // 2)}"
                if apart
                else f"  chance {_chance(systems, repeats)}"
            )
        )


def _chance(systems: int, repeats: int) -> str:
    return f"{chance(systems, repeats):.2f}"


def _apart(base: Floats, systems: int, apart: float) -> Floats:
    shift = np.linspace(0, apart, systems)[:, None] * 4 * base * (1 - base)
    return np.asarray(np.clip(base - shift, 0, 1))


def samples(rng: np.random.Generator) -> None:
    """Samples against the others where none is: how many are called suspicious."""
    print("Suspicious samples where none is, of 100\n  systems repeats   runs with one or more")
    for systems, repeats in ((3, 4), (5, 2), (10, 2), (20, 1)):
        called = 0
        for _ in range(TRIALS // 2):
            skill = np.linspace(-1, 1, systems)[:, None]
            p = 1 / (1 + np.exp(rng.normal(0, 1, 100) - skill))
            found = item_statistics(answers(rng, p, repeats))
            called += bool((found.p < 0.05).any())
        print(f"  {systems:7} {repeats:7}   {share(called, TRIALS // 2)}")
    held = 0
    for _ in range(TRIALS):
        rows = rng.normal(size=(12, 1)) + rng.normal(size=(12, 40))
        low, high = feldt(cronbach(rows), 12, 40)
        held += low <= 40 / 41 <= high
    print(f"Cronbach's alpha, 12 systems, 40 parallel samples: 95 % holds {share(held)}")


def tables(rng: np.random.Generator) -> None:
    """Published tables of 20 equal systems: how many have a false verdict."""
    print("Tables of 20 equal systems against a baseline, Holm\n  n      p   any false verdict")
    for n, p in ((50, 0.5), (165, 0.53), (114, 0.9), (1000, 0.7)):
        false = 0
        for _ in range(TRIALS):
            rates = rng.binomial(n, p, 21) / n
            gaps = [gap((float(rate), n), (float(rates[0]), n)) for rate in rates[1:]]
            adjusted = holm([one.p for one in gaps])
            kinds = [verdict(one, q, 0.01) for one, q in zip(gaps, adjusted, strict=True)]
            false += any(kind in ("better", "worse") for kind in kinds)
        print(f"  {n:4} {p:.2f}   {share(false)}")


def graded(rng: np.random.Generator) -> None:
    """The same answers judged by a threshold and as they are."""
    print("Samples that show a difference of 0.05\n  paired noise   pass or fail   score")
    alone = np.arange(20_000, dtype=np.int32)
    for noise in (0.05, 0.1, 0.2):
        base = rng.normal(0.5, 0.2, len(alone))
        one, two = (base - down + rng.normal(0, noise, len(alone)) for down in (0.0, 0.05))
        whole = power(two, one, alone)
        passed = power((two > 0.5).astype(np.float64), (one > 0.5).astype(np.float64), alone)
        assert whole is not None
        assert passed is not None
        print(f"  {noise:12}   {passed.needed:12}   {whole.needed:5}")


EVERYTHING: tuple[Callable[[np.random.Generator], None], ...] = (
    spread_of_runs,
    parts,
    ratios,
    samples,
    tables,
    graded,
)

if __name__ == "__main__":
    for place, simulate in enumerate(EVERYTHING):
        simulate(np.random.default_rng(20_261_125 + place))
