"""Fidelity: how near a format's next-token distributions are to its baseline's."""

from __future__ import annotations

from msgspec import Struct

from qbench.benchmarks.analysis.clusters import Mean
from qbench.benchmarks.analysis.fidelity import (
    Distributions,
    agreement,
    divergence,
    perplexity,
    perplexity_ratio,
    same_text,
)
from qbench.service.domain import Run, System
from qbench.service.reports.values import Estimate
from qbench.service.store import Probe, Store


class Fidelity(Struct, frozen=True, kw_only=True):
    """Next-token distributions of a format beside the baseline's, on a fixed text."""

    kl: Estimate
    """Mean Kullback-Leibler divergence from the baseline's distribution, in nats per token: the
    part that the ``top`` most likely tokens show, which is a lower bound."""
    top1_agreement: Estimate
    """Share of positions at which both find the same token most probable."""
    perplexity: Estimate
    """Of the format on the text."""
    perplexity_ratio: Estimate
    """The format's perplexity / the baseline's, paired by position."""
    kl_floor: float | None
    """Divergence of the baseline from itself when all passages are asked at once: rounding.
    None where it was not measured."""
    tokens: int
    """Positions of the text that were compared."""
    top: int
    """Most likely tokens that were told of each position."""
    text: str
    """Which text: the beginning of its SHA-256."""


def fidelity_of(store: Store, run: Run, system: System) -> Fidelity | None:
    """Return what was measured of a system of a run; None where nothing comparable was."""
    baseline = baseline_of(run, system)
    if baseline is None:
        return None
    found = store.probes(run.id, {baseline.engine_key, system.engine_key})
    for mine in found:
        if mine.engine_key == system.engine_key and not mine.again:
            for other in found:
                if other.engine_key == baseline.engine_key and _comparable(other, mine):
                    return _fidelity(other.told, mine, _floor(other, found))
    return None


def baseline_of(run: Run, system: System) -> System | None:
    """Return the system of the same model in the baseline's format; None where there is none."""
    systems = run.request.systems
    fmt = next((s.format for s in systems if s.id == run.request.baseline), "")
    return next((s for s in systems if (s.model, s.format) == (system.model, fmt)), None)


def _comparable(baseline: Probe, mine: Probe) -> bool:
    return not baseline.again and baseline.text == mine.text and same_text(baseline.told, mine.told)


def _floor(baseline: Probe, found: tuple[Probe, ...]) -> float | None:
    for other in found:
        if other.again and other.engine_key == baseline.engine_key and other.text == baseline.text:
            return divergence(baseline.told, other.told).value
    return None


def _fidelity(baseline: Distributions, mine: Probe, floor: float | None) -> Fidelity:
    told = mine.told
    own, interval = perplexity(told)
    ratio, ratio_interval = perplexity_ratio(baseline, told)
    return Fidelity(
        kl=_bounded(divergence(baseline, told), 0.0, float("inf")),
        top1_agreement=_bounded(agreement(baseline, told), 0.0, 1.0),
        perplexity=Estimate(value=own, low=interval[0], high=interval[1]),
        perplexity_ratio=Estimate(value=ratio, low=ratio_interval[0], high=ratio_interval[1]),
        kl_floor=floor,
        tokens=len(told.token),
        top=told.top.shape[1],
        text=mine.text,
    )


def _bounded(mean: Mean, lowest: float, highest: float) -> Estimate:
    low, high = mean.interval()
    return Estimate(value=mean.value, low=max(lowest, low), high=min(highest, high))
