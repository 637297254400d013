"""From a run's evidence to what each format keeps of its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qbench.benchmarks.analysis.comparison.recovery import Change, Pair, Ratio, change, ratios
from qbench.benchmarks.analysis.sums import Floats, sample_means
from qbench.errors import NotFound
from qbench.service.domain import Basis, System
from qbench.service.fidelity import fidelity_of
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.findings import against, is_noise
from qbench.service.reports.recovery.values import (
    FormatComparison,
    FormatReport,
    Kept,
    Lengths,
    ModelReport,
    Shift,
)
from qbench.service.reports.values import Estimate, Verdict
from qbench.service.store import Store


@dataclass(frozen=True)
class Matrices:
    """(Y, S) means by system and sample, beside those of ``Evidence``."""

    store: Store
    evidence: Evidence

    @cached_property
    def truncated(self) -> Floats:
        """Share of attempts cut at a limit."""
        return sample_means(self.evidence.outcomes, self.evidence.outcomes.truncated)

    @cached_property
    def tokens(self) -> Floats:
        """Tokens written per attempt; NaN where an attempt did not report them."""
        return sample_means(self.evidence.outcomes, self.evidence.outcomes.completion_tokens)

    @cached_property
    def decisions(self) -> dict[str, Floats]:
        """Tool decisions by name: shares, known for the attempts they concern."""
        run = self.evidence.run.id
        return self.store.component_means(run, self.evidence.outcomes, "decision.")


def recovery_of(store: Store, run_ref: str, basis: Basis = "saturated") -> FormatComparison:
    """Compare every model's baseline with each of its formats, strategy by strategy.

    Raises:
        NotFound: no such run, or no model of it was measured in two formats.

    """
    evidence = Evidence.of(store, run_ref, basis)
    request = evidence.run.request
    groups = {key: _group(evidence, key) for key in dict.fromkeys(_keys(evidence))}
    compared = {key: group for key, group in groups.items() if len(group) > 1}
    if not compared:
        raise NotFound(
            f"Run {evidence.run.id} has no model in two formats.",
            hint="Compare some: qbench run --formats fp8,w4a16",
        )
    pairs = [(s.id, group[0].id) for group in compared.values() for s in group[1:]]
    verdicts, matrices = evidence.judge(pairs), Matrices(store, evidence)
    models = tuple(_model_report(matrices, group, verdicts) for group in compared.values())
    return FormatComparison(
        run_id=evidence.run.id,
        status=evidence.run.status.value,
        suite=request.suite,
        samples=request.limit,
        epochs=request.epochs,
        margin=request.margin,
        basis=basis,
        models=models,
        left_out={
            " ".join(filter(None, key)): _why_alone(evidence, group)
            for key, group in groups.items()
            if key not in compared
        },
        finding=" ".join(_finding(report, request.margin) for report in models),
    )


Key = tuple[str, str]
"""Model and strategy: formats are compared where all else is alike."""


def _keys(evidence: Evidence) -> list[Key]:
    return [_key(system) for system in evidence.run.request.systems]


def _key(system: System) -> Key:
    return system.model, f"+{system.strategy.spelled}" if system.way else ""


def _group(evidence: Evidence, key: Key) -> tuple[System, ...]:
    """Return the baseline of a model and strategy and its other formats; empty without one."""
    request = evidence.run.request
    run_baseline = next(s for s in request.systems if s.id == request.baseline)
    mine = [s for s in request.systems if _key(s) == key and not s.replica]
    baseline = next((s for s in mine if s.id == request.baseline), None) or next(
        (s for s in mine if s.format == run_baseline.format), None
    )
    return (baseline, *(s for s in mine if s is not baseline)) if baseline else ()


def _why_alone(evidence: Evidence, group: Sequence[System]) -> str:
    if group:
        return f"measured as {group[0].format} only"
    request = evidence.run.request
    wanted = next(s.format for s in request.systems if s.id == request.baseline)
    return f"not measured as {wanted}, the baseline's format"


def _model_report(
    matrices: Matrices, group: Sequence[System], verdicts: dict[str, Verdict]
) -> ModelReport:
    evidence, baseline = matrices.evidence, group[0]
    rate = evidence.pass_rate(baseline.id)
    own = baseline.id == evidence.run.request.baseline
    return ModelReport(
        model=baseline.model,
        baseline=baseline.label,
        baseline_format=baseline.variant,
        baseline_invalid=evidence.invalid(baseline.id),
        pass_rate=estimate(rate.value, (rate.low, rate.high)) if rate else None,
        noise=evidence.noise if own else None,
        fidelity=fidelity_of(matrices.store, evidence.run, baseline),
        formats=tuple(
            _format_report(matrices, system, baseline, verdicts[system.id]) for system in group[1:]
        ),
    )


def _format_report(
    matrices: Matrices, system: System, baseline: System, verdict: Verdict
) -> FormatReport:
    evidence = matrices.evidence
    endpoint = evidence.endpoint(system)
    own = baseline.id == evidence.run.request.baseline
    measured = _Measured(matrices, system.id, baseline.id)
    overall, *tasks = measured.kept or (None,)
    return FormatReport(
        system_id=system.id,
        label=system.label,
        format=system.format,
        effective=(endpoint.format_effective if endpoint else "") or system.format,
        path=endpoint.path if endpoint else "unknown",
        verdict=verdict,
        within_noise=is_noise(verdict, evidence.noise if own else None),
        overall=overall,
        tasks=tuple(part for part in tasks if part is not None),
        flips=evidence.flips(system.id, baseline.id),
        truncation=measured.shift(matrices.truncated),
        length=measured.length,
        cost=measured.cost,
        decisions={
            name: found
            for name, values in matrices.decisions.items()
            if (found := measured.shift(values)) is not None
        },
        fidelity=fidelity_of(matrices.store, evidence.run, system),
        invalid=evidence.invalid(system.id),
    )


class _Measured:
    """A system beside its baseline, in every respect, drawn alike."""

    def __init__(self, matrices: Matrices, system_id: str, baseline_id: str) -> None:
        self._evidence = matrices.evidence
        places = self._evidence.place(system_id), self._evidence.place(baseline_id)
        self._places = None if None in places else places
        self.kept: tuple[Kept, ...] = ()
        self.length: Lengths | None = None
        self.cost: Estimate | None = None
        if self._places is not None:
            self._measure(matrices)

    def _pair(self, values: Floats, *, shares: bool = True) -> Pair:
        assert self._places is not None
        one, two = self._places
        return Pair(system=values[one], baseline=values[two], shares=shares)

    def _measure(self, matrices: Matrices) -> None:
        sums = self._evidence.sums
        named = self._parts(self._pair(sums.rates))
        tokens = self._pair(matrices.tokens, shares=False)
        costs = self._pair(sums.costs, shares=False)
        pairs = [*named.values(), tokens, costs]
        seed = self._evidence.run.request.seed
        *recoveries, length, cost = ratios(pairs, sums.family, sums.families, seed=seed)
        kept = (
            self._kept(name, pair, recovery)
            for (name, pair), recovery in zip(named.items(), recoveries, strict=True)
        )
        self.kept = tuple(part for part in kept if part is not None)
        self.length = self._lengths(tokens, length)
        priced = costs.known[named["all"].known].all()  # what is not priced may cost anything
        self.cost = _told(cost) if priced else None

    def _parts(self, whole: Pair) -> dict[str, Pair]:
        """Return the pairs of all samples, and of each task where there are several."""
        out = self._evidence.outcomes
        parts = {"all": whole}
        for at, name in enumerate(out.tasks if len(out.tasks) > 1 else ()):
            mine = out.sample_task == at
            parts[name] = Pair(
                system=np.where(mine, whole.system, np.nan),
                baseline=np.where(mine, whole.baseline, np.nan),
            )
        return parts

    def _kept(self, name: str, pair: Pair, recovery: Ratio | None) -> Kept | None:
        found = change(pair, self._evidence.sums.family)
        if found is None:
            return None
        return Kept(
            name=name,
            samples=found.samples,
            baseline=found.baseline,
            system=found.system,
            recovery=_told(recovery),
            difference=_difference(found),
        )

    def _lengths(self, pair: Pair, ratio: Ratio | None) -> Lengths | None:
        found = change(pair, self._evidence.sums.family)
        if found is None:
            return None
        return Lengths(
            baseline=found.baseline,
            system=found.system,
            ratio=_told(ratio),
            difference=_difference(found),
            samples=found.samples,
        )

    def shift(self, values: Floats) -> Shift | None:
        """Compare the means of (Y, S) shares; None where neither has one."""
        if self._places is None:
            return None
        pair = self._pair(values)
        system, baseline = (_mean(part) for part in (pair.system, pair.baseline))
        if system is None and baseline is None:
            return None
        found = change(pair, self._evidence.sums.family)
        return Shift(
            baseline=baseline,
            system=system,
            difference=_difference(found) if found else None,
            samples=found.samples if found else 0,
        )


def _told(ratio: Ratio | None) -> Estimate | None:
    return None if ratio is None else estimate(ratio.value, (ratio.low, ratio.high))


def _difference(found: Change) -> Estimate:
    return estimate(found.difference, (found.low, found.high))


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _finding(report: ModelReport, margin: float) -> str:
    """Say in one sentence what each format keeps and whether that is a finding."""
    if report.baseline_invalid:
        return f"Nothing can be said: {report.baseline} is INVALID ({report.baseline_invalid})."
    said = "; ".join(_said(one, report, margin) for one in report.formats)
    floor = "" if report.noise else ", without a noise floor: the baseline was measured once"
    return f"Against {report.baseline}, {said}{floor}."


def _said(one: FormatReport, report: ModelReport, margin: float) -> str:
    verdict = against(one.verdict, margin, report.noise)
    recovery = one.overall.recovery if one.overall else None
    if recovery is None or one.invalid:
        return f"{one.format} {verdict}"
    low, high = 100 * recovery.low, 100 * recovery.high
    return f"{one.format} keeps {100 * recovery.value:.1f} % [{low:.1f}, {high:.1f}] and {verdict}"
