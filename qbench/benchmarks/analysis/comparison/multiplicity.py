"""Many tests at once: p values adjusted so that a threshold means what it says.

Holm keeps the chance of *any* false finding below the threshold, under any dependence. Benjamini
and Hochberg keep the expected *share* of false findings among the findings below it, for tests
that are independent or positively dependent, as those against a common baseline are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from qbench.benchmarks.analysis.sums import Floats

Correction = Literal["holm", "bh"]


def adjusted(ps: Sequence[float], correction: Correction = "holm") -> list[float]:
    """Return adjusted p values, in the order given."""
    if correction == "holm":
        return holm(ps)
    found: list[float] = discoveries(np.asarray(ps, dtype=np.float64)).tolist()
    return found


def holm(ps: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values (1979), in the order given."""
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    made, most = [0.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(ps) - rank) * ps[place]))
        made[place] = most
    return made


def discoveries(ps: Floats) -> Floats:
    """Return Benjamini and Hochberg's adjusted p values (1995), in the order given."""
    order = np.argsort(ps)[::-1]
    ranks = np.arange(len(ps), 0, -1)
    stepped = np.minimum.accumulate(ps[order] * len(ps) / ranks)
    made = np.empty(len(ps))
    made[order] = np.minimum(1.0, stepped)
    return made
