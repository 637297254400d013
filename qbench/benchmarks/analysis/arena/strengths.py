"""Bradley-Terry strengths by maximum likelihood, for one table of wins or thousands at once.

P(i beats j) = 1 / (1 + exp(s_j - s_i)). A tie is half a win for either side. The likelihood has a
finite maximum exactly when everybody can be reached from everybody along wins (Ford 1957). Where
that fails a virtual draw of each system with an average one is added, and the result says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.sums import Floats

ELO = 400 / math.log(10)
"""Elo points of one unit of strength: ten to one in odds are 400 points."""

VIRTUAL = 1.0
"""Games that each system draws with an average one where the data alone have no maximum."""

STEPS = 200
CLOSE = 1e-10
"""Largest gradient, in games, at which a fit has converged."""
LONGEST = 2.0
"""Most that a strength may change in one step."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Strengths of B tables of M systems."""

    strength: Floats
    """(B, M), mean 0."""
    bounded: NDArray[np.bool_]
    """(B,): the data alone have a finite maximum; else virtual draws were added."""
    above: NDArray[np.bool_]
    """(B, M): nothing in the data bounds the strength from above."""
    below: NDArray[np.bool_]
    """(B, M): nothing bounds it from below."""


def strengths(wins: Floats) -> Fit:
    """Fit (B, M, M) tables, ``wins[b, i, j]`` being how often i beat j, ties half to either side.

    Newton's method with the gauge fixed by the mean; steps are cut, as the likelihood is concave.
    """
    reach = reached(wins)
    back = reach.swapaxes(-1, -2)
    alone = np.asarray((reach & back).all(axis=(-1, -2)))
    virtual = np.where(alone, 0.0, VIRTUAL)
    over, under = np.asarray((reach & ~back).any(-1)), np.asarray((back & ~reach).any(-1))
    return Fit(
        strength=_newton(wins, virtual), bounded=alone, above=over & ~under, below=under & ~over
    )


def reached(wins: Floats) -> NDArray[np.bool_]:
    """Return (B, M, M): whether a chain of wins leads from i to j; everybody reaches itself."""
    size = wins.shape[-1]
    chain = (wins > 0) | np.eye(size, dtype=bool)
    for _ in range(max(1, math.ceil(math.log2(max(2, size))))):
        floats = chain.astype(np.float32)
        chain = (floats @ floats) > 0
    return np.asarray(chain)


def islands(wins: Floats) -> int:
    """Count the groups of an (M, M) table that never met each other; 1 where all are comparable."""
    met = reached((wins + wins.T)[None])[0]
    return len({tuple(row) for row in met.tolist()})


def _newton(wins: Floats, virtual: Floats) -> Floats:
    games = wins + wins.swapaxes(-1, -2)
    size = wins.shape[-1]
    strength = np.zeros(wins.shape[:-1])
    gauge = np.where(virtual > 0, 0.0, 1.0)[:, None, None] * np.ones((size, size))
    diagonal = np.arange(size)
    for _ in range(STEPS):
        chance = special.expit(strength[..., :, None] - strength[..., None, :])
        own = special.expit(strength)
        slope = (wins - games * chance).sum(axis=-1) + virtual[:, None] * (0.5 - own)
        if np.abs(slope).max(initial=0.0) < CLOSE * max(1.0, float(games.max(initial=0.0))):
            break
        curve = -games * chance * (1 - chance)
        curve[..., diagonal, diagonal] = 0
        curve[..., diagonal, diagonal] = -curve.sum(axis=-1) + virtual[:, None] * own * (1 - own)
        step = np.linalg.solve(curve + gauge, slope[..., None])[..., 0]
        largest = np.abs(step).max(axis=-1, keepdims=True)
        strength += step * np.minimum(1.0, LONGEST / np.maximum(largest, LONGEST))
    centred: Floats = strength - strength.mean(axis=-1, keepdims=True)
    return centred
