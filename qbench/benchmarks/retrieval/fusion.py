"""Several rankings made one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Order = NDArray[np.intp]

SMOOTHING = 60
"""Of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""


def order(scores: Scores) -> Order:
    """Return the places from best to worst; equal scores keep their order.

    Scores are rounded first: the last bits of a float differ between machines.
    """
    return np.argsort(-np.round(scores.astype(np.float64), 4), kind="stable")


def ranks(scores: Scores) -> NDArray[np.float64]:
    """Return the rank of each place, from 1; equal scores share their mean rank."""
    rounded = np.round(scores.astype(np.float64), 4)
    _, inverse, counts = np.unique(-rounded, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=np.float64)


def fused(*several: Scores) -> Scores:
    """Fuse by reciprocal rank: sum of 1 / (60 + rank)."""
    total = sum(1 / (SMOOTHING + ranks(scores)) for scores in several)
    return np.asarray(1_000 * total, dtype=np.float32)


def in_turn(rankings: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Take from each ranking in turn, so that every part of a request gets its share."""
    mixed = chain.from_iterable(zip_longest(*rankings))
    return tuple(dict.fromkeys(name for name in mixed if name is not None))
