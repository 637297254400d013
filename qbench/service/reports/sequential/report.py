"""Runs that go on until they are decided: their evidence round by round, valid at every look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import PassRate
from qbench.benchmarks.analysis.design import assumed
from qbench.benchmarks.analysis.outcomes import Outcomes
from qbench.benchmarks.analysis.sequential.confidence import (
    Tracked,
    deciding,
    decision,
    expected,
    tracked,
    tuned,
)
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.domain import Request
from qbench.service.reports.values import Estimate, Verdict

METHOD = "confidence sequence"


@dataclass(frozen=True)
class Rounds:
    """The samples of a run as they were dealt out, and who has been asked what."""

    request: Request
    outcomes: Outcomes
    rates: Floats
    """(Y, S) pass rates; NaN where nothing was scored."""
    by_sample: Mapping[str, int]
    """Every sample of the full design to its round."""

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Samples of each round."""
        return tuple(np.bincount(list(self.by_sample.values())).tolist())

    @cached_property
    def number(self) -> NDArray[np.int64]:
        """(S,) round of each sample of the outcomes."""
        return np.array([self.by_sample[key] for key in self.outcomes.samples], dtype=np.int64)

    @cached_property
    def tried(self) -> NDArray[np.int64]:
        """(Y, R) current attempts, however they ended."""
        out = self.outcomes
        shape = (len(out.systems), len(self.sizes))
        place = out.system.astype(np.int64) * shape[1] + self.number[out.sample]
        return np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)

    @cached_property
    def done(self) -> tuple[int, ...]:
        """(Y,) rounds that each system has gone through, from the first one on."""
        whole = self.tried >= np.array(self.sizes) * self.request.epochs
        return tuple(np.cumprod(whole, axis=1).sum(axis=1).tolist())

    @cached_property
    def rho(self) -> float:
        """Of the mixture: known before the first answer."""
        return tuned(self.request.margin, len(self.by_sample))

    def asked(self, rounds: int) -> int:
        """Count the samples of the first ``rounds`` rounds."""
        return sum(self.sizes[:rounds])

    def gap(self, one: int, two: int) -> Tracked | None:
        """Follow the paired difference of two systems over the rounds that both went through."""
        return self._tracked(self.rates[one] - self.rates[two], min(self.done[one], self.done[two]))

    def rate(self, place: int) -> Tracked | None:
        """Follow a system's pass rate over its rounds."""
        return self._tracked(self.rates[place], self.done[place])

    def _tracked(self, values: Floats, rounds: int) -> Tracked | None:
        seen = np.where(self.number < rounds, values, np.nan)
        return tracked(seen, self.outcomes.sample_family, self.number, rho=self.rho)

    def verdict(self, one: int, two: int, p: float, comparisons: int) -> Verdict | None:
        """Judge one system against another at a p adjusted for all; None without a pair."""
        found = self.gap(one, two)
        if found is None:
            return self._early(one, two)
        margin = self.request.margin
        kind = decision(found, p, margin)
        wanted = deciding(found, margin, comparisons=comparisons)
        open_ended = kind == "inconclusive" and found.last.n < wanted < np.inf
        return Verdict(
            kind=kind,
            difference=estimate(found.last.value, found.interval(), -1.0),
            p=p,
            samples=found.last.n,
            needed=int(np.ceil(wanted)) if open_ended else None,
        )

    def _early(self, one: int, two: int) -> Verdict | None:
        """Say that nothing is known before the first round is whole."""
        gap = self.rates[one] - self.rates[two]
        known = gap[~np.isnan(gap)]
        if not len(known):
            return None
        return Verdict(
            kind="inconclusive",
            difference=Estimate(value=float(known.mean()), low=-1.0, high=1.0),
            p=1.0,
            samples=len(known),
        )

    def pass_rate(self, place: int) -> PassRate | None:
        """Estimate a pass rate; None when nothing was scored."""
        known = ~np.isnan(self.rates[place])
        if not known.any():
            return None
        found = self.rate(place)
        value = found.last.value if found else float(self.rates[place][known].mean())
        ends = found.interval() if found else (0.0, 1.0)
        told = estimate(value, ends, 0.0)
        return PassRate(
            value=value,
            low=told.low,
            high=told.high,
            method=METHOD,
            n=found.last.n if found else int(known.sum()),
            clusters=len(np.unique(self.outcomes.sample_family[known])),
        )


def decided_after(request: Request) -> dict[str, str]:
    """Say when differences of several sizes are decided; nothing where every sample is asked."""
    if not request.sequential:
        return {}
    others = sum(not system.replica for system in request.systems) - 1
    found: dict[str, str] = {}
    for gap in (0.0, request.margin, 2 * request.margin, 4 * request.margin):
        wanted = expected(
            gap,
            request.margin,
            request.limit,
            assumed().variance(request.epochs),
            comparisons=max(1, others),
        )
        late = wanted > request.limit
        said = f"not within {request.limit:,}" if late else f"about {math.ceil(wanted):,}"
        found[f"{100 * gap:g} points"] = said
    return found


def estimate(value: float, ends: tuple[float, float], least: float) -> Estimate:
    """Make an estimate within [``least``, 1] whose interval holds its value."""
    low, high = ends
    return Estimate(value=value, low=max(least, min(low, value)), high=min(1.0, max(high, value)))
