"""Whether the newest run of what recurs differs from the runs before it, on the same samples.

Per cell (system x task) and metric: the pass rate by its exact conditional test, dollars per
attempt and completion tokens by relabeling runs within samples; all of them together under one
false discovery rate. A change is raised when it is significant and large enough to matter, and
confirmed when a run made for nothing else shows it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import clustered_mean
from qbench.benchmarks.analysis.comparison.multiplicity import discoveries
from qbench.benchmarks.analysis.comparison.paired import widened
from qbench.benchmarks.analysis.resampling import percentile_interval, weights
from qbench.benchmarks.analysis.runs.exchange import level_test, passes_test
from qbench.benchmarks.analysis.sums import Floats

Metric = Literal["pass rate", "cost", "completion tokens"]
State = Literal["insufficient history", "steady", "suspected", "confirmed", "not confirmed"]

RESAMPLES = 2_000
CONFIRMING = 0.05
"""Unadjusted p below which a confirming run shows a suspected change again."""


class Watch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as drift, declared before there is a result."""

    window: int = 8
    """Most earlier runs to compare with."""
    window_least: int = 3
    """Fewest."""
    q: float = 0.05
    """False discovery rate over all cells and metrics of a run."""
    points: float = 0.02
    """Smallest pass-rate difference of interest."""
    share: float = 0.05
    """Smallest relative difference of interest, of cost and tokens."""
    confirm: bool = True
    """Make a fresh run before anybody is told."""


class Shift(Struct, frozen=True, kw_only=True):
    """The newest run against its window, in one cell and metric."""

    system_id: str
    label: str
    task: str
    metric: Metric
    change: float
    """Pass rate: newest minus window. Others: newest / window, geometric mean over samples."""
    low: float | None
    """95 % interval; None where the data do not bound it."""
    high: float | None
    p: float
    """Two-sided, unadjusted."""
    q: float
    """Adjusted (Benjamini-Hochberg) over all cells and metrics."""
    samples: int
    """Samples known in the newest run and the window."""
    raised: bool = False
    """Significant, and larger than the smallest change of interest."""
    confirmed: bool | None = None
    """Whether the confirming run shows it too; None before that."""
    confirming: float | None = None
    """The change in the confirming run."""
    confirming_p: float | None = None


class DriftReport(Struct, frozen=True, kw_only=True):
    """What the newest run says about change."""

    state: State
    runs: tuple[str, ...]
    """Ids of the window, oldest first."""
    shifts: tuple[Shift, ...] = ()
    """Every cell and metric that could be compared, raised or not."""

    @property
    def raised(self) -> tuple[Shift, ...]:
        """What was significant and large enough."""
        return tuple(shift for shift in self.shifts if shift.raised)

    @property
    def confirmed(self) -> tuple[Shift, ...]:
        """What a confirming run showed again."""
        return tuple(shift for shift in self.shifts if shift.confirmed)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One cell over R runs of the same samples, the newest last; arrays are (R, S)."""

    system_id: str
    label: str
    task: str
    tries: NDArray[np.int64]
    """Scored attempts."""
    passes: NDArray[np.int64]
    cost: Floats
    """Mean dollars per attempt; NaN where unknown."""
    tokens: Floats
    """Mean completion tokens per attempt; NaN where unknown."""
    family: NDArray[np.int32]
    """(S,)."""


def drift(
    cells: Sequence[Series], runs: Sequence[str], watch: Watch, *, seed: int = 0
) -> DriftReport:
    """Compare the newest run (the last of each series) with ``runs``, its window."""
    if len(runs) < watch.window_least:
        return DriftReport(state="insufficient history", runs=tuple(runs))
    found = [shift for cell in cells for shift in shifts(cell, seed=seed)]
    adjusted = discoveries(np.array([shift.p for shift in found]))
    judged = tuple(
        replace(shift, q=float(q), raised=bool(q < watch.q and _matters(shift, watch)))
        for shift, q in zip(found, adjusted, strict=True)
    )
    state: State = "suspected" if any(shift.raised for shift in judged) else "steady"
    return DriftReport(state=state, runs=tuple(runs), shifts=judged)


def confirmed(report: DriftReport, cells: Sequence[Series], *, seed: int = 0) -> DriftReport:
    """Judge what was suspected by a confirming run, the last of each series.

    A change is confirmed when it shows again: same direction, unadjusted p below ``CONFIRMING``.
    """
    again = {_key(shift): shift for cell in cells for shift in shifts(cell, seed=seed)}
    judged = tuple(
        _judged(shift, again.get(_key(shift))) if shift.raised else shift for shift in report.shifts
    )
    state: State = "confirmed" if any(shift.confirmed for shift in judged) else "not confirmed"
    return replace(report, state=state, shifts=judged)


def _judged(shift: Shift, again: Shift | None) -> Shift:
    if again is None:
        return replace(shift, confirmed=False)
    same = (_gap(shift) > 0) == (_gap(again) > 0) and _gap(again) != 0
    return replace(
        shift,
        confirmed=same and again.p < CONFIRMING,
        confirming=again.change,
        confirming_p=again.p,
    )


def _key(shift: Shift) -> tuple[str, str, str]:
    return shift.system_id, shift.task, shift.metric


def _gap(shift: Shift) -> float:
    return shift.change if shift.metric == "pass rate" else shift.change - 1


def _matters(shift: Shift, watch: Watch) -> bool:
    least = watch.points if shift.metric == "pass rate" else watch.share
    gap = _gap(shift)
    if shift.metric != "pass rate" and shift.change > 0:
        gap = max(shift.change, 1 / shift.change) - 1  # half is as far as double
    return abs(gap) >= least - 1e-12


def shifts(cell: Series, *, seed: int = 0) -> list[Shift]:
    """Compare every metric that is known in the newest run and before it."""
    made = [
        _pass_rate(cell),
        _ratio(cell, "cost", cell.cost, seed),
        _ratio(cell, "completion tokens", cell.tokens, seed),
    ]
    return [shift for shift in made if shift is not None]


def _pass_rate(cell: Series) -> Shift | None:
    before, tries = cell.passes[:-1].sum(axis=0), cell.tries[:-1].sum(axis=0)
    newest, mine = cell.passes[-1], cell.tries[-1]
    both = (tries > 0) & (mine > 0)
    if not both.any():
        return None
    gap = newest[both] / mine[both] - before[both] / tries[both]
    mean = clustered_mean(gap, cell.family[both])
    low, high = widened(mean, 0.95)
    p = passes_test(newest[both], mine[both], (before + newest)[both], (tries + mine)[both])
    return _shift(cell, "pass rate", mean.value, (low, high), p, mean.n)


def _ratio(cell: Series, metric: Metric, values: Floats, seed: int) -> Shift | None:
    logs = np.log(np.where(values > 0, values, np.nan))
    known = ~np.isnan(logs[-1]) & ~np.isnan(logs[:-1]).all(axis=0)
    if not known.any():
        return None
    logs = logs[:, known]
    gap = logs[-1] - np.nanmean(logs[:-1], axis=0)
    low, high = _bootstrapped(gap, cell.family[known], seed)
    p = level_test(logs, seed=seed)
    ratio = float(np.exp(gap.mean()))
    return _shift(cell, metric, ratio, (min(low, ratio), max(high, ratio)), p, len(gap))


def _bootstrapped(gap: Floats, family: NDArray[np.int32], seed: int) -> tuple[float, float]:
    """Return the interval of the geometric mean ratio, families resampled."""
    _, group = np.unique(family, return_inverse=True)
    totals, sizes = np.bincount(group, gap), np.bincount(group).astype(np.float64)
    if len(sizes) < 2:
        return -np.inf, np.inf
    drawn = weights(len(sizes), resamples=RESAMPLES, seed=seed)
    means = np.concatenate([(block @ totals) / (block @ sizes) for block in drawn])
    low, high = percentile_interval(np.exp(means))
    return low, high


def _shift(
    cell: Series,
    metric: Metric,
    change: float,
    interval: tuple[float, float],
    p: float,
    samples: int,
) -> Shift:
    low, high = interval
    return Shift(
        system_id=cell.system_id,
        label=cell.label,
        task=cell.task,
        metric=metric,
        change=change,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
        p=p,
        q=1.0,
        samples=samples,
    )
