"""How samples differ in difficulty: the law of their pass rates, from few attempts at each.

A sample's own share of passes is noise around its rate, and what is curved in the rate (a
verifier's ceiling, the best cap) is wrong on average when the share is put in its place. The
first two moments of the rates are known without bias, and a beta law that has them stands in.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from qbench.benchmarks.analysis.sums import Floats

TYPES = 64
"""Equally frequent types of samples that stand for the law."""
LEAST = 1e-9
"""Spread of rates below which samples are called equally hard."""


def rates_of(mean: Floats, square: Floats) -> Floats:
    """Return (B, ``TYPES``) rates, in order, of beta laws with these moments.

    Args:
        mean: (B,) of the rates: pass^1.
        square: (B,) of their squares: pass^2, c (c - 1) / (n (n - 1)). At most the square of the
            mean where samples do not differ, the mean where each always or never passes.

    """
    middle = (np.arange(TYPES) + 0.5) / TYPES
    spread = square - mean**2
    inner = np.clip(mean - square, 0, None)
    same, sure = spread <= LEAST, inner <= LEAST
    scale = inner / np.where(same, 1.0, spread)
    safe = np.where(same | sure, 1.0, scale)
    law = special.betaincinv((mean * safe)[:, None], ((1 - mean) * safe)[:, None], middle)
    law = np.where(sure[:, None], middle > 1 - mean[:, None], law)
    return np.asarray(np.where(same[:, None], mean[:, None], law), dtype=np.float64)
