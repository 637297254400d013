"""From a run's evidence to its leaderboard."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
from msgspec.structs import replace

from qbench.benchmarks.analysis.clusters import pass_rate
from qbench.benchmarks.analysis.economics.costofpass import (
    per_problem,
    ratio_interval,
    ratio_of_means,
)
from qbench.benchmarks.analysis.frontier.pareto import losses, members
from qbench.benchmarks.analysis.outcomes import SCORED, UNSCORED
from qbench.benchmarks.analysis.resampling import percentile_interval
from qbench.benchmarks.analysis.validity import Counts
from qbench.benchmarks.catalogue import load_strategy
from qbench.service.domain import Basis, Endpoint, System
from qbench.service.reports.evidence import Evidence, estimate, known_mean
from qbench.service.reports.findings import notes, summary
from qbench.service.reports.sequential.stopping import noted, stopping_notes, stopping_of, stops
from qbench.service.reports.values import Estimate, Leaderboard, Row, Validity, Verdict
from qbench.service.store import Store


def leaderboard_of(
    store: Store, run_ref: str, basis: Basis = "saturated", *, components: bool = False
) -> Leaderboard:
    """Make the leaderboard of a run.

    Args:
        store: where the run is.
        run_ref: its id, the beginning of it, or ``last``.
        basis: of local systems.
        components: read the score components too; takes a second for 200,000 attempts.

    Raises:
        NotFound: no such run.

    """
    evidence = Evidence.of(store, run_ref, basis)
    parts = store.components(evidence.run.id) if components else {}
    paid = None if store.unpriced(evidence.run.id) else store.paid(evidence.run.id)
    return ranked(evidence, paid, parts)


def ranked(
    evidence: Evidence,
    paid: Decimal | None,
    parts: dict[str, dict[str, tuple[float, int]]] | None = None,
) -> Leaderboard:
    """Make the leaderboard of what was read, whatever prices its costs are at.

    Args:
        evidence: the run with its attempts.
        paid: dollars of the whole run; None when something was unpriced.
        parts: sums of score components, as ``Store.components`` returns them.

    """
    if evidence.reference_free:
        return open_board(evidence, paid)
    request = evidence.run.request
    shares = on_frontier(evidence)
    made = [_row(evidence, system, shares, parts or {}) for system in request.systems]
    reasons = stops(evidence)
    rows = tuple(noted(evidence, row, reasons) for row in sorted(made, key=_rank))
    stopping = stopping_of(evidence, rows, reasons)
    found = (summary(rows, request.margin, evidence.noise), stopping.finding if stopping else "")
    unpriced = paid is None or any(row.validity.unpriced for row in rows)
    return Leaderboard(
        run_id=evidence.run.id,
        status=evidence.run.status.value,
        suite=request.suite,
        suite_version=request.suite_version,
        tasks=request.tasks,
        levels=request.levels,
        samples=evidence.samples,
        epochs=request.epochs,
        seed=request.seed,
        margin=request.margin,
        basis=evidence.basis,
        paid=None if unpriced else float(paid or 0),
        made_at=datetime.now(UTC),
        rows=rows,
        finding=" ".join(filter(None, found)),
        notes=notes(evidence, rows) + stopping_notes(rows, stopping),
        noise=evidence.noise,
        stopping=stopping,
    )


@dataclass(frozen=True)
class _Answered(Evidence):
    """A run without right answers, read as if answering were all there is to it."""

    @property
    def reference_free(self) -> bool:
        """Look at what was answered, and what it cost."""
        return False


def open_board(evidence: Evidence, paid: Decimal | None) -> Leaderboard:
    """Make the leaderboard of a run in which nothing passes or fails: costs, and no ranking."""
    seen = evidence.outcomes
    status = np.where(seen.status == UNSCORED, SCORED, seen.status).astype(np.int8)
    read = _Answered(
        run=evidence.run,
        basis=evidence.basis,
        outcomes=dataclasses.replace(seen, status=status),
        planned=evidence.planned,
        endpoints=evidence.endpoints,
        origin=evidence.origin,
    )
    board = ranked(read, paid)
    by_id = {row.system_id: _unranked(row) for row in board.rows}
    rows = tuple(by_id[system.id] for system in evidence.run.request.systems)
    return replace(
        board,
        rows=rows,
        finding=f"Nothing passes or fails in {board.suite}, so nothing is ranked here. "
        f"Rank the answers: qbench arena {board.run_id} --judge MODEL",
        notes=notes(evidence, rows),
        noise=None,
    )


def _unranked(row: Row) -> Row:
    """Leave out of a row what only right answers could tell."""
    kept = row.validity
    return replace(
        row,
        pass_rate=None,
        interval="",
        verdict=Verdict(kind="reference-free"),
        cost_of_pass=None,
        cost_of_pass_per_problem=None,
        solved_share=None,
        on_frontier=None,
        validity=replace(kept, scored=0, unscored=kept.scored),
    )


def _rank(row: Row) -> tuple[bool, float]:
    rate = row.pass_rate.value if row.pass_rate else -1.0
    return bool(row.validity.invalid), -rate


def on_frontier(evidence: Evidence) -> dict[str, float]:
    """Return the probability that each ranked, priced system is undominated; copies stay out."""
    copies = {system.id for system in evidence.run.request.systems if system.replica}
    ranked = [
        key for key in evidence.outcomes.systems if key not in copies and not evidence.invalid(key)
    ]
    places = [evidence.outcomes.systems.index(key) for key in ranked]
    if not places:
        return {}
    rates, costs = evidence.draws
    found = members(losses((rates[:, places], True), (costs[:, places], False)))
    return {
        key: float(found[:, column].mean())
        for column, key in enumerate(ranked)
        if not np.isnan(costs[:, places[column]]).any()
    }


def _row(
    evidence: Evidence,
    system: System,
    shares: dict[str, float],
    parts: dict[str, dict[str, tuple[float, int]]],
) -> Row:
    counts, found = evidence.counts(system.id), evidence.pass_rate(system.id)
    endpoint = evidence.endpoint(system)
    cost, per_pass, problem, solved = costs_of(evidence, system.id)
    return Row(
        system_id=system.id,
        label=system.label,
        model=system.model,
        format=system.format,
        effective=_effective(system, endpoint),
        path=endpoint.path if endpoint else "unknown",
        engine=system.engine,
        hardware=endpoint.hardware if endpoint else "",
        kernel=endpoint.kernel if endpoint else "",
        engine_version=endpoint.engine_version if endpoint else "",
        startup=endpoint.details.get("startup", {}) if endpoint else {},
        passed=_passed(evidence, system.id),
        pass_rate=estimate(found.value, (found.low, found.high)) if found else None,
        interval=found.method if found else "",
        verdict=evidence.verdicts[system.id],
        prompt_tokens=counts.prompt_tokens if counts else None,
        completion_tokens=counts.completion_tokens if counts else None,
        seconds=counts.seconds if counts and evidence.origin is None else None,
        cost=cost,
        cost_of_pass=per_pass,
        cost_of_pass_per_problem=problem,
        solved_share=solved,
        on_frontier=shares.get(system.id),
        validity=_validity(evidence, system.id, counts),
        components={
            name: total / number for name, (total, number) in parts.get(system.id, {}).items()
        },
        replica=system.replica,
        way=system.way,
        caveat=load_strategy(system.strategy.name).caveat(system.strategy),
        by_suite=by_suite(evidence, system.id),
    )


def by_suite(evidence: Evidence, system_id: str) -> dict[str, Estimate]:
    """Estimate a system's pass rate on each suite; empty where the run asks one alone."""
    suites, place = evidence.run.request.suite.split(","), evidence.place(system_id)
    if place is None or len(suites) == 1 or evidence.rounds is not None:
        return {}
    found = {}
    for suite in suites:
        asked = evidence.of_suite(suite)
        rates, tries = evidence.sums.rates[place][asked], evidence.sums.n[place][asked]
        made = pass_rate(rates, tries, evidence.sums.family[asked])
        if made is not None:
            found[suite] = estimate(made.value, (made.low, made.high))
    return found


def _effective(system: System, endpoint: Endpoint | None) -> str:
    return (endpoint.format_effective if endpoint else "") or system.format


def _passed(evidence: Evidence, system_id: str) -> int:
    place = evidence.place(system_id)
    return 0 if place is None else int(evidence.sums.passed[place].sum())


def costs_of(
    evidence: Evidence, system_id: str
) -> tuple[Estimate | None, Estimate | None, float | None, float | None]:
    """Return cost per attempt, cost-of-pass, its median per problem, and the solved share."""
    place = evidence.place(system_id)
    if place is None:
        return None, None, None, None
    rates, costs = evidence.sums.rates[place], evidence.sums.costs[place]
    tried = ~np.isnan(rates)
    solved = float((rates[tried] > 0).mean()) if tried.any() else None
    mean = known_mean(costs[tried])
    if mean is None:
        return None, None, None, solved
    drawn_rates, drawn_costs = (part[:, place] for part in evidence.draws)
    clusters = len(np.unique(evidence.sums.family[tried]))
    per_pass = ratio_interval(mean, clusters, drawn_costs, drawn_rates)
    return (
        estimate(mean, percentile_interval(drawn_costs)),
        estimate(ratio_of_means(costs, rates), per_pass),
        float(np.median(per_problem(costs[tried], rates[tried]))),
        solved,
    )


def _validity(evidence: Evidence, system_id: str, counts: Counts | None) -> Validity:
    planned = evidence.planned.get(system_id, 0)
    if counts is None:
        return Validity(
            planned=planned,
            scored=0,
            errored=0,
            unscored=0,
            truncated=0,
            parse_failures=0,
            unpriced=0,
            cached_share=None,
            retries=0,
            invalid=evidence.invalid(system_id),
        )
    return Validity(
        planned=planned,
        scored=counts.scored,
        errored=counts.errored,
        unscored=counts.unscored,
        truncated=counts.truncated,
        parse_failures=counts.parse_failures,
        unpriced=counts.unpriced,
        cached_share=counts.cached_share,
        retries=counts.retries,
        invalid=evidence.invalid(system_id),
    )
