"""Where more attempts stop paying: the test-time scaling performance model.

F(N) = F_max [1 - (1 - p_x)^N], "Scaling over Scaling" (arXiv 2505.20522), for parallel samples
and for sequential revisions alike. The formula of the saturation point is checked by scanning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.sums import Floats

LEAST_HIT = 1e-5
"""Smallest p_x that is looked at."""
GRID = 160
STEPS = 40
"""Golden sections after the grid: p_x to about 1e-9 of itself."""
GOLDEN = (math.sqrt(5) - 1) / 2
FEWEST = 4
"""Attempts per sample below which two parameters are not fitted."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """F_max and p_x, as arrays (B,) of fits."""

    most: Floats
    """F_max, from 0 to 1."""
    hit: Floats
    """p_x, from 0 to 1."""

    def reached(self, tries: Floats) -> Floats:
        """Return F (B, K) after (K,) attempts."""
        return np.asarray(self.most[:, None] * _shape(self.hit, tries))

    def gain(self, tries: Floats) -> Floats:
        """Return F(N + 1) - F(N) = F_max p_x (1 - p_x)^N, (B, K)."""
        return np.asarray((self.most * self.hit)[:, None] * (1 - self.hit)[:, None] ** tries)

    def saturation(self, least: float) -> Floats:
        """Return N* (B,), the first N whose gain is at most ``least``; inf where none is.

        ceil(ln(least / (F_max p_x)) / ln(1 - p_x)).
        """
        if not least > 0:
            raise ValueError("the least gain must be above 0")
        start = self.most * self.hit
        with np.errstate(divide="ignore"):
            found = np.ceil(np.log(least / np.maximum(start, least)) / np.log1p(-self.hit))
        return np.where(start <= least, 0.0, np.maximum(found, 1.0))


def _shape(hit: Floats, tries: Floats) -> Floats:
    """Return 1 - (1 - p)^N as (B, K)."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(np.log1p(-hit)[:, None] * tries))


def model(most: float, hit: float) -> Model:
    """Make the model of one curve."""
    return Model(most=np.array([most]), hit=np.array([hit]))


def fitted(ks: Sequence[int], curves: Floats, weights: Floats | None = None) -> Model:
    """Fit the model to every curve by weighted least squares within 0 <= F_max, p_x <= 1.

    For a given p_x the best F_max is linear; p_x is then looked for on a logarithmic grid and
    refined by golden section, for all curves at once.

    Args:
        ks: (K,) attempts.
        curves: (B, K) coverage.
        weights: (K,) of the squared residuals; None: all points count the same. Inverse variances
            of the points would pull p_x up where F_max is near 1, for a point that happens to be
            high varies little.

    Raises:
        ValueError: fewer than two points.

    """
    if len(ks) < 2:
        raise ValueError("two parameters need two points")
    tries = np.asarray(ks, dtype=np.float64)
    weights = np.ones(len(ks)) if weights is None else weights
    hits = np.geomspace(LEAST_HIT, 1.0, GRID)
    losses = np.stack([_loss(np.full(len(curves), hit), tries, curves, weights) for hit in hits])
    place = losses.argmin(axis=0)
    low, high = (
        np.log(hits[np.maximum(place - 1, 0)]),
        np.log(hits[np.minimum(place + 1, GRID - 1)]),
    )
    for _ in range(STEPS):
        near, far = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        left = _loss(np.exp(near), tries, curves, weights) <= _loss(
            np.exp(far), tries, curves, weights
        )
        low, high = np.where(left, low, near), np.where(left, far, high)
    hit = np.minimum(np.exp((low + high) / 2), 1.0)
    return Model(most=_most(hit, tries, curves, weights), hit=hit)


def _most(hit: Floats, tries: Floats, curves: Floats, weights: Floats) -> Floats:
    shape = _shape(hit, tries)
    return np.clip(((curves * shape) @ weights) / (shape**2 @ weights), 0.0, 1.0)


def _loss(hit: Floats, tries: Floats, curves: Floats, weights: Floats) -> Floats:
    most = _most(hit, tries, curves, weights)
    return np.asarray((curves - most[:, None] * _shape(hit, tries)) ** 2 @ weights)


def unevenness(moments: Floats) -> float:
    """Return the share of (B, 3) resampled pass^1, pass^2, pass^3 that let all samples be alike.

    The model has samples that never pass and samples of one rate p_x: then pass^1 pass^3 equals
    (pass^2)^2, and exceeds it for any other law of rates (Cauchy and Schwarz). A small share says
    that samples differ in difficulty, and that the fit levels off too early.
    """
    excess = moments[:, 0] * moments[:, 2] - moments[:, 1] ** 2
    return float((excess <= 0).mean())


def levelled(curve: Floats, least: float) -> int | None:
    """Return the first N at which coverage of (K,) attempts 1, 2 … gains at most ``least`` more.

    None where that is beyond the curve.
    """
    flat = np.flatnonzero(np.diff(curve) <= least)
    return int(flat[0]) + 1 if len(flat) else None
