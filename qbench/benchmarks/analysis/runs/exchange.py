"""Whether the newest of several runs is like the others: tests that hold samples' results fixed.

If nothing changed, the runs of a sample are exchangeable: any of them could have been the newest.
That is all the tests below assume, so they hold for samples of any difficulty, and at any n.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.hypergeometric import pmf
from qbench.benchmarks.analysis.sums import Floats

Counts = NDArray[np.int64]

EXACT = 4_000
"""Informative samples up to which the null distribution is convolved rather than normal."""

DRAWS = 10_000
"""Relabelings of a permutation test; its smallest p is one in so many."""

MOST = 5_000
"""Samples up to which relabelings are drawn; above, their sum is normal."""

BLOCK = 500


def passes_test(newest: Counts, newest_tries: Counts, passes: Counts, tries: Counts) -> float:
    """Return the two-sided p of the newest run's passes, given each sample's passes in all runs.

    A sample that passed ``passes`` of ``tries`` in all, ``newest_tries`` of them in the newest
    run, passes there a hypergeometric number of times; with one attempt per run that is a coin
    of ``passes / tries``, and the sum a Poisson binomial. With one earlier run it is McNemar's
    exact test. Up to ``EXACT`` informative samples exact by convolution, above normal with
    continuity correction. Twice the smaller tail, at most 1.

    Args:
        newest: (S,) passes of the newest run.
        newest_tries: (S,) its attempts.
        passes: (S,) passes of all runs, the newest included.
        tries: (S,) attempts of all runs.

    """
    open_ones = (passes > 0) & (passes < tries) & (newest_tries > 0) & (newest_tries < tries)
    seen = int(newest[open_ones].sum())
    shapes = np.stack([tries, passes, newest_tries], axis=1)[open_ones]
    if not len(shapes):
        return 1.0
    if len(shapes) > EXACT:
        return _normal(seen, shapes)
    chances = _convolved(shapes)
    return min(1.0, 2 * min(float(chances[: seen + 1].sum()), float(chances[seen:].sum())))


def _convolved(shapes: Counts) -> Floats:
    """Return the distribution of a sum of hypergeometric counts, pairwise for accuracy."""
    kinds, numbers = np.unique(shapes, axis=0, return_counts=True)
    parts = [
        _power(_hypergeometric(*map(int, kind)), int(number))
        for kind, number in zip(kinds, numbers, strict=True)
    ]
    while len(parts) > 1:
        pairs = zip(parts[::2], [*parts[1::2], np.ones(1)][: len(parts[::2])], strict=True)
        parts = [np.convolve(one, two) for one, two in pairs]
    return parts[0]


def _power(chances: Floats, number: int) -> Floats:
    """Convolve ``chances`` with themselves, by squaring."""
    made = np.ones(1)
    while number:
        if number & 1:
            made = np.convolve(made, chances)
        number >>= 1
        if number:
            chances = np.convolve(chances, chances)
    return made


@cache
def _hypergeometric(tries: int, passes: int, drawn: int) -> Floats:
    return pmf(np.arange(drawn + 1), tries, passes, drawn)


def _normal(seen: int, shapes: Counts) -> float:
    tries, passes, drawn = shapes.T.astype(np.float64)
    share = passes / tries
    mean = float((drawn * share).sum())
    spread = drawn * share * (1 - share) * (tries - drawn) / (tries - 1)
    far = max(0.0, abs(seen - mean) - 0.5) / float(np.sqrt(spread.sum()))
    return float(2 * special.ndtr(-far))


def level_test(values: Floats, *, seed: int = 0) -> float:
    """Return the two-sided p that the newest run's values are like the others'.

    Every sample's runs are relabeled at random, and the mean of (newest - mean of its others) is
    compared; with one earlier run that flips signs. ``DRAWS`` seeded relabelings; normal above
    ``MOST`` samples.

    Args:
        values: (R, S), the newest run last; NaN where unknown, and left out.
        seed: of the relabelings.

    """
    gaps, weights = _gaps(values)
    if not len(weights):
        return 1.0
    seen = abs(float(gaps[-1].sum()))
    spread = float((np.nan_to_num(gaps) ** 2 / weights).sum())
    if spread <= 0:
        return 1.0
    if gaps.shape[1] > MOST:
        return float(2 * special.ndtr(-seen / np.sqrt(spread)))
    return _relabeled(gaps, weights, seen, seed)


def _gaps(values: Floats) -> tuple[Floats, Floats]:
    """Return (R, S') values minus the mean of the sample's others, and (S',) known runs.

    Only samples known in the newest run and one more. Known runs come last, the newest at the
    end, so that a place among them can be drawn.
    """
    known = ~np.isnan(values)
    kept = known[-1] & (known.sum(axis=0) > 1)
    values, known = values[:, kept], known[:, kept]
    number = known.sum(axis=0).astype(np.float64)
    gaps = (values - np.nansum(values, axis=0) / np.maximum(number, 1)) * (
        number / np.maximum(number - 1, 1)
    )
    order = np.argsort(known, axis=0, kind="stable")
    return np.take_along_axis(gaps, order, axis=0), number


def _relabeled(gaps: Floats, weights: Floats, seen: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    runs, samples = gaps.shape
    columns = np.arange(samples)
    extreme, slack = 0, 1e-12 * float(np.abs(np.nan_to_num(gaps)).sum())
    for _ in range(0, DRAWS, BLOCK):
        drawn = runs - 1 - (rng.random((BLOCK, samples)) * weights).astype(np.int64)
        extreme += int((np.abs(gaps[drawn, columns].sum(axis=1)) >= seen - slack).sum())
    return (1 + extreme) / (1 + DRAWS)
