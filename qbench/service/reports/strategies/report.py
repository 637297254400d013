"""From a run's evidence to its strategies side by side, suite by suite and overall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.outcomes import SCORED, of_samples
from qbench.benchmarks.analysis.scaling.coverage import coverage, doublings, reliability
from qbench.benchmarks.analysis.sums import Floats
from qbench.benchmarks.catalogue import load_strategy
from qbench.errors import NotFound
from qbench.service.domain import Basis, System
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.leaderboard import costs_of
from qbench.service.reports.strategies.finding import finding, overall
from qbench.service.reports.strategies.values import (
    Block,
    Candidates,
    StrategyReport,
    StrategyRow,
)
from qbench.service.reports.values import Verdict
from qbench.service.store import Store

PREFIX = "strategy."


def strategies_of(store: Store, run_ref: str, basis: Basis = "saturated") -> StrategyReport:
    """Compare the strategies of each model and format of a run.

    Raises:
        NotFound: no such run, or none of its models was asked in two ways.

    """
    evidence = Evidence.of(store, run_ref, basis)
    run = evidence.run
    groups = grouped(run.request.systems)
    if not groups:
        raise NotFound(
            f"Run {run.id} asks every model in one way alone.",
            hint="Name several: qbench run --strategy single,cot,majority@5",
        )
    outcomes, places = store.placed_outcomes(run.id)
    parts = store.attempt_parts(run.id, places, PREFIX)
    whole = _Part(replace(evidence, outcomes=outcomes), parts, "")
    made = [_block(part, base, group) for part in whole.by_suite() for base, group in groups]
    return StrategyReport(
        run_id=run.id,
        basis=basis,
        blocks=tuple(made),
        notes=_notes(made, run.request.epochs),
        finding=overall(made),
    )


def grouped(systems: Sequence[System]) -> list[tuple[str, list[System]]]:
    """Return the systems that differ by strategy alone; groups of one are left out."""
    found: dict[tuple[object, ...], list[System]] = {}
    for system in systems:
        if not system.replica:
            key = (system.engine_key, system.strategy.tool_protocol, system.strategy.examples)
            found.setdefault(key, []).append(system)
    return [(_base(group[0]), group) for group in found.values() if len(group) > 1]


def _base(system: System) -> str:
    return f"{system.model.rsplit('/', 1)[-1]} {system.format}"


@dataclass(frozen=True)
class _Part:
    """The attempts of a run, or of one of its suites."""

    evidence: Evidence
    parts: dict[str, Floats]
    """Score component to (N,) values of the attempts."""
    suite: str

    def by_suite(self) -> Iterator[_Part]:
        """Yield each suite where there are several, then all of them together."""
        suites = self.evidence.run.request.suite.split(",")
        if len(suites) > 1 and self.evidence.rounds is None:
            for suite in suites:
                yield self._of(suite)
        yield self

    def _of(self, suite: str) -> _Part:
        outcomes, kept = of_samples(self.evidence.outcomes, self.evidence.of_suite(suite))
        parts = {name: values[kept] for name, values in self.parts.items()}
        return _Part(replace(self.evidence, outcomes=outcomes), parts, suite)

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """(N,)."""
        found: NDArray[np.bool_] = self.evidence.outcomes.status == SCORED
        return found

    def of(self, system: System) -> NDArray[np.bool_]:
        """Return which attempts are the scored ones of a system."""
        place = self.evidence.place(system.id)
        own = self.evidence.outcomes.system == (-1 if place is None else place)
        return np.asarray(self.scored & own)

    def values(self, name: str, mine: NDArray[np.bool_]) -> Floats:
        """Return a component of attempts, NaN where they have none."""
        found = self.parts.get(name)
        return np.full(int(mine.sum()), np.nan) if found is None else found[mine]


def _block(part: _Part, base: str, group: Sequence[System]) -> Block:
    first = group[0]
    verdicts = part.evidence.judge([(system.id, first.id) for system in group[1:]])
    verdicts[first.id] = Verdict(kind="baseline")
    rows = tuple(_row(part, system, verdicts[system.id]) for system in group)
    asked = {int(sample) for s in group for sample in part.evidence.outcomes.sample[part.of(s)]}
    return Block(
        suite=part.suite,
        base=base,
        samples=len(asked),
        rows=rows,
        finding=finding(rows, part.evidence.run.request.margin),
    )


def _row(part: _Part, system: System, verdict: Verdict) -> StrategyRow:
    rate, mine = part.evidence.pass_rate(system.id), part.of(system)
    cost, per_pass, _, _ = costs_of(part.evidence, system.id)
    way = load_strategy(system.strategy.name)
    outcomes = part.evidence.outcomes
    used = (outcomes.prompt_tokens + outcomes.completion_tokens)[mine]
    asked = part.values("others_calls", mine)
    return StrategyRow(
        system_id=system.id,
        strategy=system.strategy.spelled,
        shown=system.strategy.short,
        name=system.strategy.name,
        n=system.strategy.n,
        pass_rate=estimate(rate.value, (rate.low, rate.high)) if rate else None,
        verdict=verdict,
        accepted_tokens=_mean(part.values("accepted_tokens", mine), used),
        total_tokens=_mean(part.values("total_tokens", mine), used),
        calls=_mean(part.values("calls", mine), outcomes.calls[mine].astype(np.float64)) or 0.0,
        others_calls=_mean(np.nan_to_num(asked)) or 0.0,
        others_tokens=_others_tokens(part, mine, asked),
        cost=cost,
        cost_of_pass=per_pass,
        candidates=_candidates(part, mine, alike=way.alike),
        caveat=way.caveat(system.strategy),
        invalid=part.evidence.invalid(system.id),
    )


def _others_tokens(part: _Part, mine: NDArray[np.bool_], asked: Floats) -> float | None:
    """Return mean tokens of other models; None where one was asked that told no usage."""
    none_asked = np.where(np.isnan(asked), 0.0, np.nan)
    return _mean(part.values("others_tokens", mine), none_asked)


def _mean(values: Floats, otherwise: Floats | None = None) -> float | None:
    """Return the mean; ``otherwise`` stands in for unknown values. None where some stay so."""
    known = values if otherwise is None else np.where(np.isnan(values), otherwise, values)
    return None if not len(known) or np.isnan(known).any() else float(known.mean())


def _candidates(part: _Part, mine: NDArray[np.bool_], *, alike: bool) -> Candidates | None:
    number = part.values("candidates", mine)
    told = ~np.isnan(number)
    if not told.any() or number[told].max() < 2:
        return None
    found = {
        name: _mean(part.values(name, mine)[told]) for name in ("best", "worst", "mean", "majority")
    }
    n = number[told].astype(np.int64)
    c = part.values("passed", mine)[told].astype(np.int64)
    ks = doublings(int(n.min())) if alike else ()
    return Candidates(
        number=float(number[told].mean()),
        best=found["best"] or 0.0,
        worst=found["worst"] or 0.0,
        mean=found["mean"] or 0.0,
        majority=found["majority"],
        any_passes=_by_k(ks, coverage(n, c, ks)) if ks else {},
        all_pass=_by_k(ks, reliability(n, c, ks)) if ks else {},
    )


def _by_k(ks: Sequence[int], values: Floats) -> dict[int, float]:
    return dict(zip(ks, map(float, values.mean(axis=0)), strict=True))


def _notes(blocks: Sequence[Block], epochs: int) -> tuple[str, ...]:
    rows = {row.strategy: row for block in blocks for row in block.rows}.values()
    said = [f"{row.shown}: {row.caveat}." for row in rows if row.caveat]
    if any(row.others_calls for row in rows):
        said.append("Dollars include other models that a strategy asked; tokens do not.")
    if epochs > 1:
        said.append(f"{epochs} epochs: every attempt was drawn anew.")
    unpriced = [row.shown for row in rows if row.cost is None and not row.invalid]
    if unpriced:
        said.append(f"Unpriced: {', '.join(unpriced)}.")
    return tuple(said)
