"""Everything that the reports of one run are made of, read once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import PassRate, pass_rate
from qbench.benchmarks.analysis.comparison.multiplicity import holm
from qbench.benchmarks.analysis.comparison.paired import (
    Difference,
    difference,
    differences,
    needed,
    verdict,
)
from qbench.benchmarks.analysis.noise.flips import FlipRate, flips
from qbench.benchmarks.analysis.outcomes import Outcomes
from qbench.benchmarks.analysis.resampling import resampled
from qbench.benchmarks.analysis.sums import Floats, Sums, sums
from qbench.benchmarks.analysis.validity import Counts, count, invalid
from qbench.benchmarks.catalogue import reference_free
from qbench.errors import ConfigError
from qbench.service.domain import Basis, Endpoint, Run, System
from qbench.service.imports.values import Imported
from qbench.service.reports.sequential.report import Rounds
from qbench.service.reports.values import Estimate, Flips, NoiseFloor, Verdict
from qbench.service.rounds import sample_rounds
from qbench.service.store import Store

UNJUDGED = "nothing passes or fails in this suite: rank its answers with `qbench arena`"


@dataclass(frozen=True)
class Evidence:
    """A run with its attempts as columns."""

    run: Run
    basis: Basis
    outcomes: Outcomes
    planned: dict[str, int]
    endpoints: tuple[Endpoint, ...]
    by_sample: dict[str, int] = field(default_factory=dict)
    """Round of each sample, where the run goes on until it is decided."""
    origin: Imported | None = None
    """Where the run comes from; None for one that qbench made."""

    @classmethod
    def of(cls, store: Store, run_ref: str, basis: Basis = "saturated") -> Evidence:
        """Read a run. Raises NotFound."""
        run = store.run(run_ref)
        origin = store.import_of(run.id)
        outcomes = store.outcomes(run.id)
        return cls(
            run=run,
            basis=basis,
            outcomes=untimed(outcomes) if origin else outcomes,
            planned=store.planned(run.id),
            endpoints=store.endpoints(run.id),
            by_sample=dealt(store, run),
            origin=origin,
        )

    @cached_property
    def rounds(self) -> Rounds | None:
        """Follow the run round by round; None where all of it is asked."""
        if not self.run.request.sequential:
            return None
        return Rounds(self.run.request, self.outcomes, self.sums.rates, self.by_sample)

    @property
    def samples(self) -> int:
        """Samples of the run: fewer than were asked for where a finite suite has no more."""
        request = self.run.request
        if request.sequential or not self.planned:
            return request.limit
        return max(self.planned.values()) // request.epochs

    def of_suite(self, suite: str) -> NDArray[np.bool_]:
        """(S,) whether each sample is one of ``suite``, in a run of several suites."""
        tasks = np.array([task.startswith(f"{suite}/") for task in self.outcomes.tasks], bool)
        return tasks[self.outcomes.sample_task]

    @cached_property
    def sums(self) -> Sums:
        """Attempts by system and sample."""
        return sums(self.outcomes, self.basis)

    @cached_property
    def draws(self) -> tuple[Floats, Floats]:
        """(B, Y) resampled pass rates and mean dollars; seeded by the run's seed."""
        return resampled(self.sums, seed=self.run.request.seed)

    def place(self, system_id: str) -> int | None:
        """Return the index of a system in the matrices; None before its first attempt."""
        systems = self.outcomes.systems
        return systems.index(system_id) if system_id in systems else None

    def counts(self, system_id: str) -> Counts | None:
        """Count a system's attempts; None before its first one."""
        place = self.place(system_id)
        return None if place is None else self._counts[place]

    @cached_property
    def _counts(self) -> tuple[Counts, ...]:
        return count(self.outcomes, self.basis)

    @property
    def reference_free(self) -> bool:
        """Whether nothing passes or fails in this run, by the nature of its suite."""
        return reference_free(self.run.request.suite)

    def invalid(self, system_id: str) -> str:
        """Say why a system must not be ranked; empty when it may."""
        if self.reference_free:
            return UNJUDGED
        counts = self.counts(system_id)
        return invalid(counts) if counts else "nothing was scored"

    def pass_rate(self, system_id: str) -> PassRate | None:
        """Estimate a system's pass rate; None when nothing was scored."""
        place = self.place(system_id)
        if place is None:
            return None
        if self.rounds is not None:
            return self.rounds.pass_rate(place)
        return pass_rate(self.sums.rates[place], self.sums.n[place], self.sums.family)

    def endpoint(self, system: System) -> Endpoint | None:
        """Return the newest engine session that served a system."""
        served = [end for end in self.endpoints if end.engine_key == system.engine_key]
        return served[-1] if served else None

    def difference(self, system_id: str, other: str) -> Difference | None:
        """Compare two systems on the samples both were scored on."""
        one, two = self.place(system_id), self.place(other)
        if one is None or two is None:
            return None
        rates = self.sums.rates
        epochs = self.run.request.epochs
        return difference(rates[one], rates[two], self.sums.family, epochs=epochs)

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Judge every system against the baseline, p adjusted over all of them (Holm)."""
        request = self.run.request
        others = [s for s in request.systems if s.id != request.baseline]
        made = self.judge([(s.id, request.baseline) for s in others if not s.replica])
        copies = {s.id: self._noise(s.id) for s in others if s.replica}
        return made | copies | {request.baseline: Verdict(kind="baseline")}

    def judge(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Verdict]:
        """Judge systems against their baselines, p adjusted over all of the pairs (Holm)."""
        if self.rounds is not None:
            return self._judge_at_any_time(self.rounds, pairs)
        found = self._differences(pairs)
        known = {key: gap for key, gap in found.items() if gap is not None}
        adjusted = dict(zip(known, holm([gap.p for gap in known.values()]), strict=True))
        return {
            one: self._verdict((one, two), known.get(one), adjusted.get(one, 1.0))
            for one, two in pairs
        }

    def _judge_at_any_time(
        self, rounds: Rounds, pairs: Sequence[tuple[str, str]]
    ) -> dict[str, Verdict]:
        """Judge by confidence sequences, whose p values hold whenever a system was stopped."""
        known = self._places(pairs)
        found = {key: rounds.gap(*places) for key, places in known.items()}
        adjusted = holm([gap.p() if gap else 1.0 for gap in found.values()])
        made = {
            key: rounds.verdict(*known[key], p, len(known))
            for key, p in zip(found, adjusted, strict=True)
        }
        invalid = Verdict(kind="invalid")
        return {
            one: invalid if self.invalid(one) or self.invalid(two) else made.get(one) or invalid
            for one, two in pairs
        }

    def _places(self, pairs: Sequence[tuple[str, str]]) -> dict[str, tuple[int, int]]:
        return {
            one: (place, other)
            for one, two in pairs
            if (place := self.place(one)) is not None and (other := self.place(two)) is not None
        }

    def _differences(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Difference | None]:
        known = self._places(pairs)
        rates = self.sums.rates
        found = differences(
            [(rates[place], rates[other]) for place, other in known.values()],
            self.sums.family,
            epochs=self.run.request.epochs,
        )
        return dict.fromkeys((one for one, _ in pairs), None) | dict(zip(known, found, strict=True))

    def _verdict(self, pair: tuple[str, str], gap: Difference | None, p: float) -> Verdict:
        if gap is None or any(self.invalid(system_id) for system_id in pair):
            return Verdict(kind="invalid")
        return judged(gap, p, self.run.request.margin)

    def _noise(self, system_id: str) -> Verdict:
        """A copy differs by noise alone: its difference is told and not judged."""
        if self.rounds is not None:
            return self._noise_at_any_time(system_id)
        gap = self.difference(system_id, self.run.request.baseline)
        if gap is None:
            return Verdict(kind="invalid")
        told = estimate(gap.mean.value, gap.interval)
        return Verdict(kind="noise floor", difference=told, p=gap.p, samples=gap.mean.n)

    def _noise_at_any_time(self, system_id: str) -> Verdict:
        pair = (system_id, self.run.request.baseline)
        found = self.judge([pair])[system_id]
        return found if found.kind == "invalid" else replace(found, kind="noise floor", needed=None)

    @cached_property
    def noise(self) -> NoiseFloor | None:
        """The baseline against itself; None where it was measured once, or is INVALID."""
        baseline = self.run.request.baseline
        copy = next((s for s in self.run.request.systems if s.replica), None)
        if copy is None or self.invalid(copy.id) or self.invalid(baseline):
            return None
        gap, flips = self.verdicts[copy.id].difference, self.flips(copy.id, baseline)
        if gap is None or flips is None:
            return None
        return NoiseFloor(
            label=copy.label, difference=gap, bound=max(abs(gap.low), abs(gap.high)), flips=flips
        )

    def flips(self, system_id: str, other: str) -> Flips | None:
        """Count the samples on which two systems disagree; None without a shared sample."""
        one, two = self.place(system_id), self.place(other)
        if one is None or two is None:
            return None
        rates = self.sums.rates
        found = flips(rates[one], rates[two], self.sums.family)
        return None if found is None else told_flips(found)


def untimed(outcomes: Outcomes) -> Outcomes:
    """Forget seconds that another harness measured on a machine that nobody knows."""
    return dataclasses.replace(outcomes, seconds=np.full_like(outcomes.seconds, np.nan))


def dealt(store: Store, run: Run) -> dict[str, int]:
    """Return the round of each sample of a run that goes on until it is decided, else nothing."""
    return sample_rounds(store.shards(run.id)) if run.request.sequential else {}


def refuse_one_sided(evidence: Evidence, *, one_sided: bool) -> None:
    """Refuse what a run that goes on until it is decided does not have. Raises ConfigError."""
    if one_sided and evidence.rounds is not None:
        raise ConfigError(
            "A run that goes on until it is decided has no one-sided verdict.",
            hint="Leave --non-inferior out: `equivalent` says that it is not worse, nor better.",
        )


def judged(gap: Difference, p: float, margin: float, *, one_sided: bool = False) -> Verdict:
    """Put a difference and its judgement into one value."""
    kind = verdict(gap, p, margin, one_sided=one_sided)
    return Verdict(
        kind=kind,
        difference=estimate(gap.mean.value, gap.interval),
        p=p,
        samples=gap.mean.n,
        needed=needed(gap, margin) if kind == "inconclusive" else None,
    )


def told_flips(found: FlipRate) -> Flips:
    """Make Flips of what the analysis found."""
    rate = found.rate
    return Flips(
        rate=estimate(rate.value, (rate.low, rate.high)),
        lost=found.lost,
        won=found.won,
        samples=rate.n,
    )


def estimate(value: float, interval: tuple[float, float]) -> Estimate:
    """Make an Estimate whose interval holds its value."""
    low, high = interval
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def known_mean(values: Floats) -> float | None:
    """Return the mean; None when a value is unknown or there is none."""
    if not len(values) or np.isnan(values).any():
        return None
    return float(values.mean())
