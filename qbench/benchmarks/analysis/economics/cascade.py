"""A cheap system first, a dear one where the cheap one seems unsure: accuracy against dollars.

Both were asked the same samples, so every threshold can be tried on what is there. A threshold
that was chosen on the same attempts looks better than it is; here one half of the families chooses
it for the other half, and each half is told by a threshold that it did not choose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.sums import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Both:
    """A questions, answered by both systems; arrays are (A,)."""

    sure: Floats
    """How sure the cheap answer seems, 0 to 1."""
    cheap: Floats
    """Whether it passes, or how probably."""
    cheap_cost: Floats
    """Dollars of the answer and its signal; NaN where unknown."""
    dear: Floats
    dear_cost: Floats
    family: NDArray[np.int32]

    def handed_on(self, threshold: float) -> Mask:
        """Return which are handed on: those less sure than the threshold."""
        return self.sure < threshold

    def passed(self, handed: Mask) -> Floats:
        """Return (A,) passes where some are handed on."""
        return np.where(handed, self.dear, self.cheap)

    def cost(self, handed: Mask) -> Floats:
        """Return (A,) dollars: the cheap answer is paid in any case."""
        return self.cheap_cost + np.where(handed, self.dear_cost, 0.0)

    def thresholds(self) -> Floats:
        """Return every threshold that makes a difference: the first hands nothing on."""
        return np.concatenate([np.unique(self.sure), [np.inf]])


def halves(family: NDArray[np.int32], *, seed: int = 0) -> Mask:
    """Return which questions are of the first half: whole families, drawn by the seed."""
    names, place = np.unique(family, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(names))
    return np.asarray(drawn[place] < len(names) / 2)


def chosen(both: Both, mine: Mask, margin: float) -> float:
    """Choose the lowest threshold at which ``mine`` pass as the dear system does, less a margin.

    Where the cheap system does so alone, nothing is handed on.
    """
    least = float(both.dear[mine].mean()) - margin
    for threshold in both.thresholds():
        if both.passed(both.handed_on(threshold))[mine].mean() >= least:
            return float(threshold)
    return float("inf")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Every question at the threshold that the other half chose; arrays are (A,)."""

    passed: Floats
    cost: Floats
    handed: Mask
    thresholds: tuple[float, float]


def held_out(both: Both, margin: float, *, seed: int = 0) -> HeldOut:
    """Let each half choose the threshold of the other."""
    first = halves(both.family, seed=seed)
    told = chosen(both, ~first, margin), chosen(both, first, margin)
    handed = np.where(first, both.handed_on(told[0]), both.handed_on(told[1]))
    return HeldOut(
        passed=both.passed(handed), cost=both.cost(handed), handed=handed, thresholds=told
    )
