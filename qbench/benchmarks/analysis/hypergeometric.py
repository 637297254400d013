"""The hypergeometric law, of numpy and scipy.special alone: scipy.stats takes long to import."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from qbench.benchmarks.analysis.sums import Floats


def pmf(k: ArrayLike, tries: ArrayLike, passes: ArrayLike, drawn: ArrayLike) -> Floats:
    """Return the probability of k passes among ``drawn`` of ``tries``, of which ``passes`` pass.

    Arguments are whole numbers and broadcast; 0 outside the support. Exact to about 1e-12.
    """
    got, n, c, m = (np.asarray(value, dtype=np.float64) for value in (k, tries, passes, drawn))
    possible = (got >= 0) & (got <= c) & (got <= m) & (m - got <= n - c) & (m <= n)
    with np.errstate(invalid="ignore"):
        log = _choose(c, got) + _choose(n - c, m - got) - _choose(n, m)
    return np.where(possible, np.exp(np.where(possible, log, 0.0)), 0.0)


def above(k: ArrayLike, tries: ArrayLike, passes: ArrayLike, drawn: ArrayLike) -> Floats:
    """Return the probability of more than k passes; see ``pmf``."""
    least, n, c, m = np.broadcast_arrays(k, tries, passes, drawn)
    most = int(m.max(initial=0))
    counts = np.arange(most + 1)
    every = pmf(counts, n[..., None], c[..., None], m[..., None])
    return np.asarray(np.where(counts > least[..., None], every, 0.0).sum(axis=-1))


def _choose(n: Floats, k: Floats) -> Floats:
    """Return ln C(n, k)."""
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))
