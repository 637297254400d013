"""Where the spread of pass and fail comes from: samples, runs, epochs; and what epochs buy.

A balanced random model of one system's results, x = mean + sample + run + sample x run + epoch,
solved by equating mean squares to what they expect (Searle, Casella and McCulloch, *Variance
Components*, 1992, chapter 4). The variance of a mean over samples with K epochs each is
Var(x) + E[sigma^2] / K, over S (Miller, arXiv 2411.00640, section 3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.resampling import (
    RESAMPLES,
    expanded,
    percentile_interval,
    weights,
)
from qbench.benchmarks.analysis.sums import Floats

Bounds = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Components:
    """Variances of a pass rate's parts; what cannot be told from the design is None."""

    samples: float | None
    """Between samples: how unequally hard they are."""
    runs: float | None
    """Between runs, all samples alike: what a Std@Acc beyond chance is made of."""
    interaction: float | None
    """Sample by run: samples that change from run to run, yet not within one."""
    epochs: float | None
    """Within a sample and run. With one epoch the interaction is in here."""
    n: int
    """Samples that every attempt scored."""
    runs_n: int
    epochs_n: int

    @property
    def within(self) -> float | None:
        """Variance of one attempt about its sample's mean, the runs' common part left out."""
        if self.epochs is None:
            return None
        return self.epochs + (self.interaction or 0.0)

    @property
    def reliability(self) -> float | None:
        """Share of the variance of sample means that is between samples (intraclass)."""
        if self.samples is None or self.epochs is None:
            return None
        noise = (self.interaction or 0.0) / self.runs_n + self.epochs / (
            self.runs_n * self.epochs_n
        )
        return self.samples / (self.samples + noise) if self.samples + noise else None


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """Components with their 95 % intervals, by the component's name."""

    components: Components
    intervals: dict[str, Bounds]


def complete(values: Floats) -> NDArray[np.bool_]:
    """Return which samples of (..., S, K) values are known everywhere."""
    axes = tuple(axis for axis in range(values.ndim) if axis != values.ndim - 2)
    return np.asarray(~np.isnan(values).any(axis=axes))


def components(values: Floats) -> Components:
    """Solve for the components of (R, S, K) values: runs, samples, epochs, none unknown.

    Estimates below 0 are 0.
    """
    sums = _Sums.of(values, np.arange(values.shape[1], dtype=np.int32))
    return _told(_solved(sums.draw(np.ones((1, values.shape[1])))), values.shape)


def spreads(
    values: Floats,
    family: NDArray[np.int32],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Spreads:
    """Solve for components, with intervals.

    Those between samples, of the interaction and of epochs: percentiles over the bootstrap of
    families, expanded where they are few. That between runs: Tukey's and Williams' (Biometrika
    49, 1962), for runs are few and no resampling of samples makes more of them. Where nothing
    varies, the upper end is ``hidden``.

    Args:
        values: (R, S, K), none unknown.
        family: (S,).
        resamples: of families.
        seed: of the resamples.

    """
    found = components(values)
    sums = _Sums.of(values, family)
    blocks = weights(len(sums.count), resamples=resamples, seed=seed)
    drawn = [_solved(sums.draw(block)) for block in blocks]
    level = expanded(len(sums.count))
    intervals = {
        name: percentile_interval(np.concatenate([part[name] for part in drawn]), level)
        for name in ("samples", "interaction", "epochs")
        if getattr(found, name) is not None
    }
    if found.runs is not None:
        intervals["runs"] = _williams(values)
    most = hidden(len(sums.count))
    bounds = {name: (low, high or most) for name, (low, high) in intervals.items()}
    return Spreads(components=found, intervals=bounds)


def hidden(clusters: int) -> float:
    """Return the variance that results which all agree can hide.

    ``clusters`` independent samples without one that differs leave room for a share
    h = 1 - 0.05^(1/n) that does; two draws that differ in a share h have a variance of h / 2.
    """
    return float(1 - 0.05 ** (1 / max(1, clusters))) / 2


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Sums over a family's samples, all that the mean squares need."""

    count: Floats
    """(G,) samples."""
    mean: Floats
    """(G,) of the samples' means."""
    square: Floats
    """(G,) of their squares."""
    run: Floats
    """(G, R) of the samples' means in a run."""
    run_square: Floats
    """(G,) of the squares of those."""
    within: Floats
    """(G,) of squared distances to those."""
    epochs: int

    @classmethod
    def of(cls, values: Floats, family: NDArray[np.int32]) -> _Sums:
        cells = values.mean(axis=2)
        means = cells.mean(axis=0)
        _, group = np.unique(family, return_inverse=True)

        def by_family(column: Floats) -> Floats:
            return np.bincount(group, column).astype(np.float64)

        return cls(
            count=by_family(np.ones(len(means))),
            mean=by_family(means),
            square=by_family(means**2),
            run=np.stack([by_family(row) for row in cells], axis=1),
            run_square=by_family((cells**2).sum(axis=0)),
            within=by_family(((values - cells[:, :, None]) ** 2).sum(axis=(0, 2))),
            epochs=values.shape[2],
        )

    def draw(self, weights: Floats) -> _Drawn:
        """Add the families up, (B, G) times each."""
        return _Drawn(
            n=weights @ self.count,
            mean=weights @ self.mean,
            square=weights @ self.square,
            run=weights @ self.run,
            run_square=weights @ self.run_square,
            within=weights @ self.within,
            epochs=self.epochs,
        )


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    n: Floats
    mean: Floats
    square: Floats
    run: Floats
    run_square: Floats
    within: Floats
    epochs: int


def _solved(drawn: _Drawn) -> dict[str, Floats]:
    """Return (B,) components by name; NaN where a mean square has no degree of freedom."""
    n, runs, epochs = drawn.n, drawn.run.shape[1], drawn.epochs
    correction = drawn.mean**2 / n
    with np.errstate(divide="ignore", invalid="ignore"):
        samples = runs * epochs * (drawn.square - correction)
        between = epochs * ((drawn.run**2).sum(axis=1) / n - runs * correction)
        mixed = epochs * (drawn.run_square - runs * correction) - samples - between
        mean_samples = samples / (n - 1)
        mean_runs = _over(between, runs - 1)
        mean_mixed = mixed / ((n - 1) * (runs - 1)) if runs > 1 else np.full_like(n, np.nan)
        mean_within = _over(drawn.within, n * runs * (epochs - 1))
    residual = mean_mixed if runs > 1 else mean_within
    return {
        "samples": _positive((mean_samples - residual) / (runs * epochs)),
        "runs": _positive((mean_runs - mean_mixed) / (n * epochs)),
        "interaction": _positive((mean_mixed - mean_within) / epochs),
        "epochs": _positive(mean_within if epochs > 1 else mean_mixed),
    }


def _over(total: Floats, freedom: Floats | int) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(freedom) > 0, total / np.maximum(freedom, 1), np.nan)


def _positive(values: Floats) -> Floats:
    return np.where(np.isnan(values), np.nan, np.maximum(values, 0.0))


def _told(found: dict[str, Floats], shape: tuple[int, ...]) -> Components:
    known = {name: float(value[0]) for name, value in found.items()}
    told = {name: None if math.isnan(value) else value for name, value in known.items()}
    return Components(n=shape[1], runs_n=shape[0], epochs_n=shape[2], **told)


def _williams(values: Floats) -> Bounds:
    runs, samples, epochs = values.shape
    cells = values.mean(axis=2)
    rates = cells.mean(axis=1)
    between = samples * epochs * float(((rates - rates.mean()) ** 2).sum())
    left = cells - cells.mean(axis=0) - rates[:, None] + rates.mean()
    freedom = runs - 1, (runs - 1) * (samples - 1)
    mixed = epochs * float((left**2).sum()) / max(1, freedom[1])
    ends = []
    for tail in (0.025, 0.975):
        f = float(special.fdtri(*freedom, 1 - tail)) if freedom[1] else math.inf
        chi = float(special.chdtri(freedom[0], tail))
        ends.append(max(0.0, between - freedom[0] * mixed * f) / (samples * epochs * chi))
    return ends[0], ends[1]


def error_at(found: Components, error: float, epochs: float) -> float | None:
    """Return the standard error of the pass rate, had every sample been tried ``epochs`` times.

    Args:
        found: the components.
        error: the standard error as it is, families and all.
        epochs: attempts of each sample in each run; infinity leaves what samples alone cause.

    Returns:
        None where the variance within a sample is not known.

    """
    if found.epochs is None:
        return None
    tries = found.runs_n * found.n
    bought = (
        found.epochs / tries * (1 / found.epochs_n - (0.0 if math.isinf(epochs) else 1 / epochs))
    )
    return math.sqrt(max(0.0, error**2 - bought))
