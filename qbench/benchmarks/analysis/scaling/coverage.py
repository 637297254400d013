"""Coverage, reliability and voting over k attempts, without bias, from counts of passes.

A sample with n scored attempts, c of which passed, tells the chance of any event that concerns
k <= n attempts: the mean over all ways to draw k of the n, without replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.hypergeometric import above, pmf
from qbench.benchmarks.analysis.sums import Floats

Ints = NDArray[np.int64]

MISSING = 0.05
"""Share of the samples that may have fewer attempts than the largest k."""
EVERY = 16
"""Each k up to this one is a point of a curve; above, points are even on a log scale."""
POINTS = 24
"""Above ``EVERY``."""


def coverage(n: Ints, c: Ints, ks: Sequence[int]) -> Floats:
    """Return pass@k, 1 - C(n-c, k) / C(n, k) (Chen et al., arXiv 2107.03374, eq. 1).

    Args:
        n: scored attempts, of any shape.
        c: those that passed, of the same shape.
        ks: numbers of attempts.

    Returns:
        One more axis, over ``ks``; NaN where a sample has fewer attempts.

    Raises:
        ValueError: a k below 1.

    """
    return 1 - reliability(n, n - c, ks)


def reliability(n: Ints, c: Ints, ks: Sequence[int]) -> Floats:
    """Return pass^k, C(c, k) / C(n, k): all of k pass (tau-bench, arXiv 2406.12045).

    A product of factors (c - i) / (n - i), none above 1: no n is too large. Arguments, shape
    and errors are those of ``coverage``.
    """
    places = _places(ks)

    def of_kinds(tries: Ints, passes: Ints) -> Floats:
        taken = np.arange(places.max() + 1)
        left = np.maximum(tries[:, None] - taken, 1)
        factors = np.clip((passes[:, None] - taken) / left, 0, 1)
        return known(np.asarray(np.cumprod(factors, axis=1)), tries)[:, places]

    return by_kind(n, c, of_kinds)


def voted(n: Ints, c: Ints, ks: Sequence[int]) -> Floats:
    """Return how probably more than half of k attempts pass; a tie is decided by a coin.

    What a vote among answers reaches even where all wrong answers agree: a lower bound of
    majority voting, which needs no record of the answers. Arguments, shape and errors are those
    of ``coverage``.
    """
    wanted = _places(ks) + 1

    def of_kinds(tries: Ints, passes: Ints) -> Floats:
        deep = wanted <= tries[:, None]
        drawn = np.where(deep, wanted, 0)
        law = (tries[:, None], passes[:, None], drawn)
        tie = np.where(drawn % 2 == 0, pmf(drawn // 2, *law), 0.0)
        return np.asarray(np.where(deep, above(drawn // 2, *law) + tie / 2, np.nan))

    return by_kind(n, c, of_kinds)


def by_kind(n: Ints, c: Ints, of_kinds: Callable[[Ints, Ints], Floats]) -> Floats:
    """Work once for each pair of (attempts, passes) that occurs, and hand it to its samples."""
    base = int(c.max(initial=0)) + 1
    kinds, place = np.unique(n * base + c, return_inverse=True)
    found = of_kinds(kinds // base, kinds % base)
    each: Floats = found[place.reshape(-1)]
    return each.reshape(*n.shape, found.shape[1])


def known(values: Floats, tries: Ints) -> Floats:
    """Replace what (U, K) values say of more attempts than (U,) there are by NaN."""
    return np.where(np.arange(values.shape[1]) < tries[:, None], values, np.nan)


def deepest(n: Ints) -> int:
    """Return the largest k that all but ``MISSING`` of the tried samples have attempts for.

    tau2 takes the least number of attempts of any sample, so that one lost attempt shortens
    every curve; here such samples are left out of the curve, and counted.
    """
    tried = np.sort(n[n > 0])
    return int(tried[int(MISSING * len(tried))]) if len(tried) else 0


def points(most: int) -> tuple[int, ...]:
    """Return the k at which a curve up to ``most`` is told, 1 and ``most`` among them."""
    first = range(1, min(most, EVERY) + 1)
    powers = (1 << bit for bit in range(most.bit_length()))
    spread = np.geomspace(EVERY, most, POINTS).round().astype(int) if most > EVERY else ()
    return tuple(sorted({*first, *powers, *map(int, spread)}))


def doublings(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4, 8 … and ``most``: the k that a table shows."""
    return tuple(sorted({*(1 << bit for bit in range(most.bit_length())), most})) if most else ()


def _places(ks: Sequence[int]) -> Ints:
    if not ks or min(ks) < 1:
        raise ValueError(f"k must be at least 1, not {min(ks, default=0)}")
    return np.asarray(ks, dtype=np.int64) - 1
