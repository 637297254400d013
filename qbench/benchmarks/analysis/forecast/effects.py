"""A hierarchical model of what was measured: means that share systems, tasks, levels and runs.

A crossed random-effects model (Gelman and Hill 2007, chapter 13) in its Gaussian form (Rasmussen
and Williams 2006, sections 2.2 and 5.4): cell i is y_i = a + b x level_i + the effect of each of
its groups + a measurement error of known variance. Groups that were measured often are known well;
a group that was never seen gets what its component usually varies by. How much each component
varies is uncertain too, and every forecast averages over that (importance sampling around
Laplace's approximation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from qbench.benchmarks.analysis.sums import Floats

Codes = NDArray[np.int64]

LEVEL_SD = 1.0
"""How far the slope over levels may reach, a priori."""
SETTINGS = 32
"""Settings of the components' spreads that a forecast averages over."""
PROPOSED = 160
"""Settings from which those are drawn, as likely as they are."""
HEAVY = 4
"""Degrees of freedom of the proposals: spreads of few groups have long tails."""
ITERATIONS = 60
STEP = 1e-3
"""Of the finite differences that give the curvature."""
LEAST, MOST = -5.0, 2.5
"""Of a component's log spread: below, it is nothing; above, nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """N cells: what a system did at one task and level in one run, or is going to do."""

    groups: Codes
    """(K, N): the group of each cell in each of K components; equal numbers mean the same."""
    level: Floats
    """(N,)."""

    def __len__(self) -> int:
        return len(self.level)

    def only(self, chosen: NDArray[np.bool_]) -> Cells:
        """Return the (N,) ``chosen`` ones."""
        return Cells(groups=self.groups[:, chosen], level=self.level[chosen])


@dataclass(frozen=True, kw_only=True)
class Measured:
    """N cells with what was measured there, on a scale without bounds."""

    cells: Cells
    value: Floats
    """(N,)."""
    variance: Floats
    """(N,) of the measurement, above 0."""

    def only(self, chosen: NDArray[np.bool_]) -> Measured:
        """Return the (N,) ``chosen`` ones."""
        return Measured(
            cells=self.cells.only(chosen), value=self.value[chosen], variance=self.variance[chosen]
        )


@dataclass(frozen=True, kw_only=True)
class Effects:
    """The model after it saw the data."""

    measured: Measured
    centre: float
    """Mean of the values: the intercept is drawn around it."""
    log_spreads: Floats
    """(J, K) likely settings of the components' log standard deviations."""
    scale: float

    def means(self, wanted: Cells) -> Floats:
        """Return the (M,) expected true values at M cells."""
        made = [self._posterior(wanted, spreads)[0] for spreads in self.log_spreads]
        return np.asarray(np.mean(made, axis=0))

    def draws(self, wanted: Cells, count: int, *, seed: int = 0) -> Floats:
        """Return (count, M) joint draws of the true values at M cells, each setting alike often."""
        rng = np.random.default_rng(seed)
        each = -(-count // len(self.log_spreads))
        made = [self._drawn(wanted, spreads, each, rng) for spreads in self.log_spreads]
        return np.concatenate(made)[:count]

    def _drawn(
        self, wanted: Cells, spreads: Floats, count: int, rng: np.random.Generator
    ) -> Floats:
        mean, spread = self._posterior(wanted, spreads)
        values, vectors = linalg.eigh(spread)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(mean + rng.standard_normal((count, len(values))) @ root.T)

    def _posterior(self, wanted: Cells, spreads: Floats) -> tuple[Floats, Floats]:
        """Return the (M,) means and (M, M) covariance at M cells, given the spreads."""
        known = self.measured
        inner = _covariance(known.cells, known.cells, spreads, self.scale)
        inner[np.diag_indices(len(known.cells))] += known.variance
        across = _covariance(wanted, known.cells, spreads, self.scale)
        factor = linalg.cho_factor(inner, lower=True)
        mean = self.centre + across @ linalg.cho_solve(factor, known.value - self.centre)
        left = linalg.solve_triangular(factor[0], across.T, lower=True)
        return mean, _covariance(wanted, wanted, spreads, self.scale) - left.T @ left


def fitted(
    measured: Measured, *, scale: float = 1.0, start: Floats | None = None, seed: int = 0
) -> Effects:
    """Learn how much each component varies.

    Args:
        measured: N >= 1 cells; their values in whatever unit ``scale`` has.
        scale: of the half-normal prior of every component's standard deviation; 1 suits log odds.
        start: (K,) log spreads to begin with, those of a similar fit.
        seed: of the settings drawn.

    """
    best = likeliest(measured, scale=scale, start=start)
    return Effects(
        measured=measured,
        centre=float(measured.value.mean()),
        log_spreads=_settings(best, measured, scale, seed),
        scale=scale,
    )


def at(spreads: Floats, measured: Measured, *, scale: float = 1.0) -> Effects:
    """Return the model with (K,) log spreads as if they were certain."""
    centre = float(measured.value.mean())
    return Effects(measured=measured, centre=centre, log_spreads=spreads[None], scale=scale)


def likeliest(measured: Measured, *, scale: float = 1.0, start: Floats | None = None) -> Floats:
    """Return the (K,) log spreads with the highest posterior."""
    count = len(measured.cells.groups)
    begin = np.full(count, np.log(scale / 2)) if start is None else start
    found = optimize.minimize(
        _slope,
        begin,
        args=(measured, scale),
        jac=True,
        method="L-BFGS-B",
        bounds=[(LEAST, MOST + np.log(scale))] * count,
        options={"maxiter": ITERATIONS},
    )
    return np.asarray(found.x)


def _settings(best: Floats, measured: Measured, scale: float, seed: int) -> Floats:
    """Draw settings around the best one, as wide as the loss is flat there."""
    count = len(best)
    curvature = np.empty((count, count))
    for place in range(count):
        step = np.eye(count)[place] * STEP
        after = _slope(best + step, measured, scale)[1]
        before = _slope(best - step, measured, scale)[1]
        curvature[place] = (after - before) / (2 * STEP)
    values, vectors = linalg.eigh((curvature + curvature.T) / 2)
    root = vectors / np.sqrt(np.maximum(values, 0.25))
    rng = np.random.default_rng(seed)
    stretched = np.sqrt(HEAVY / rng.chisquare(HEAVY, PROPOSED))
    steps = rng.standard_normal((PROPOSED, count)) * stretched[:, None]
    proposed = np.clip(best + steps @ root.T, LEAST, MOST + np.log(scale))
    offered = -(HEAVY + count) / 2 * np.log1p((steps**2).sum(axis=1) / HEAVY)
    likely = np.array([-_loss(one, measured, scale)[0] for one in proposed]) - offered
    weights = np.exp(likely - likely.max())
    return np.asarray(proposed[rng.choice(PROPOSED, SETTINGS, p=weights / weights.sum())])


def _loss(spreads: Floats, measured: Measured, scale: float) -> tuple[float, Floats, Floats]:
    """Return minus the log posterior of (K,) log spreads, with what its slope needs.

    That is the Cholesky factor of the (N, N) covariance, and it divided into the values.
    """
    cells, gap = measured.cells, measured.value - measured.value.mean()
    inner = _covariance(cells, cells, spreads, scale)
    inner[np.diag_indices(len(cells))] += measured.variance
    factor = linalg.cholesky(inner, lower=True)
    weights = linalg.cho_solve((factor, True), gap)
    fit = 0.5 * float(gap @ weights) + float(np.log(np.diag(factor)).sum())
    prior = float((np.exp(2 * spreads) / (2 * scale**2) - spreads).sum())
    return fit + prior, factor, weights


def _slope(spreads: Floats, measured: Measured, scale: float) -> tuple[float, Floats]:
    """Return minus the log posterior of (K,) log spreads, and its gradient."""
    loss, factor, weights = _loss(spreads, measured, scale)
    inverse = linalg.cho_solve((factor, True), np.eye(len(factor)))
    pull, variances = inverse - np.outer(weights, weights), np.exp(2 * spreads)
    gradient = [
        variance * float(pull[_same(group, group)].sum())
        for variance, group in zip(variances, measured.cells.groups, strict=True)
    ]
    return loss, np.array(gradient) + variances / scale**2 - 1


def _covariance(one: Cells, two: Cells, spreads: Floats, scale: float) -> Floats:
    """Return the (N, M) prior covariance of cells: whatever they share, they share in value."""
    made = np.full((len(one), len(two)), (3 * scale) ** 2)
    made += (LEVEL_SD * scale) ** 2 * np.outer(one.level, two.level)
    for spread, first, second in zip(spreads, one.groups, two.groups, strict=True):
        made += np.exp(2 * spread) * _same(first, second)
    return made


def _same(one: Codes, two: Codes) -> NDArray[np.bool_]:
    return np.equal.outer(one, two)
