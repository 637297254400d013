"""Why a run that goes on until it is decided stopped, system by system, and what that saved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from qbench.benchmarks.analysis.sequential.allocation import off_frontier
from qbench.benchmarks.analysis.sums import sums
from qbench.service.domain import RunStatus
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.findings import short_names
from qbench.service.reports.sequential.report import Rounds
from qbench.service.reports.values import Row, Stopping

NOTE = (
    "Verdicts, p values and intervals of pass rates and differences are confidence sequences, "
    "valid whenever the run stops; rows stand on different numbers of samples. Intervals of cost "
    "and the frontier's shares are those of a fixed number: a description, no test."
)
DECIDED = ("equivalent", "worse", "better")


def stops(evidence: Evidence) -> dict[str, str]:
    """Return the systems that need no more attempts, by id, and why.

    A verdict that is in is not asked for again; a system that is surely dearer and worse than
    another one is no candidate, whatever its verdict. The baseline is never among them.
    """
    rounds = evidence.rounds
    if rounds is None:
        return {}
    verdicts = evidence.verdicts.items()
    found = {key: f"decided: {v.kind}" for key, v in verdicts if v.kind in DECIDED}
    return _beaten(evidence, rounds) | found


def _beaten(evidence: Evidence, rounds: Rounds) -> dict[str, str]:
    """Find systems off the frontier; costs are those really paid, whatever basis is shown."""
    known = {
        s.id: s
        for s in evidence.run.request.systems
        if not s.replica and not evidence.invalid(s.id)
    }
    places = {key: evidence.outcomes.systems.index(key) for key in known}
    if not places:
        return {}
    at, done = list(places.values()), np.array(rounds.done)
    seen = rounds.number[None, :] < done[at, None]
    costs = sums(evidence.outcomes, "dedicated").costs
    found = off_frontier(
        np.where(seen, rounds.rates[at], np.nan),
        np.where(seen, costs[at], np.nan),
        evidence.outcomes.sample_family,
        rounds.number,
        rho=rounds.rho,
    )
    keys = list(known)
    return {
        keys[one]: f"off the frontier: dearer and worse than {known[keys[two]].label}"
        for one, two in found.items()
        if keys[one] != evidence.run.request.baseline
    }


def noted(evidence: Evidence, row: Row, reasons: dict[str, str]) -> Row:
    """Write into a row's ledger when and why its system was asked no more."""
    said = _early(evidence, row.system_id, reasons)
    return replace(row, validity=replace(row.validity, stopped=said)) if said else row


def _early(evidence: Evidence, system_id: str, reasons: dict[str, str]) -> str:
    rounds, place = evidence.rounds, evidence.place(system_id)
    if rounds is None or place is None or rounds.done[place] == len(rounds.sizes):
        return ""
    if system_id not in reasons and not _over(evidence, reasons):
        return ""
    why = reasons.get(system_id, "no system is left to compare it with")
    return (
        f"stopped early after {rounds.asked(rounds.done[place]):,} of "
        f"{len(rounds.by_sample):,} samples: {why}"
    )


def stopping_notes(rows: Sequence[Row], stopping: Stopping | None) -> tuple[str, ...]:
    """Say what the numbers of such a run mean; nothing where every sample is asked."""
    if stopping is None:
        return ()
    named = short_names(rows)
    early = [f"{named[row.system_id]} {row.validity.stopped}." for row in rows]
    return (
        NOTE,
        *(line for line, row in zip(early, rows, strict=True) if row.validity.stopped),
    )


def _over(evidence: Evidence, reasons: dict[str, str]) -> bool:
    request = evidence.run.request
    return all(s.id in reasons or s.replica or s.id == request.baseline for s in request.systems)


def stopping_of(
    evidence: Evidence, rows: Sequence[Row], reasons: dict[str, str]
) -> Stopping | None:
    """Sum up how far a run went until it was decided; None where all of it is asked."""
    rounds, request = evidence.rounds, evidence.run.request
    if rounds is None:
        return None
    most, made = len(rounds.by_sample), int(rounds.tried.sum())
    full = most * request.epochs * len(request.systems)
    asked = rounds.asked(max(rounds.done, default=0))
    spent, whole = _dollars(rows, most * request.epochs)
    return Stopping(
        most=most,
        asked=asked,
        rounds=max(rounds.done, default=0),
        attempts=made,
        full_attempts=full,
        dollars=spent,
        full_dollars=whole,
        systems=reasons,
        finding=f"{_when(evidence, reasons, asked, most)} {_saved(made, full, spent, whole)}",
    )


def _dollars(rows: Sequence[Row], attempts: int) -> tuple[float | None, float | None]:
    """Return dollars of the attempts made, and of the full design at the same mean costs."""
    costs = [(row.cost.value, row.validity.scored) for row in rows if row.cost]
    if len(costs) < len(rows):
        return None, None
    return sum(mean * made for mean, made in costs), sum(mean * attempts for mean, _ in costs)


def _when(evidence: Evidence, reasons: dict[str, str], asked: int, most: int) -> str:
    request = evidence.run.request
    judged = [s for s in request.systems if s.id != request.baseline and not s.replica]
    still = [s.label for s in judged if s.id not in reasons]
    if not judged:
        return "There is nothing to decide: the baseline stands alone."
    if not still:
        early = "Stopped" if asked < most else "Ended"
        return f"{early} after {asked:,} of {most:,} samples, with every system decided."
    if asked == most and evidence.run.status is RunStatus.DONE:
        return f"All {most:,} samples are asked, and {', '.join(still)} stays undecided."
    return f"After {asked:,} of {most:,} samples {', '.join(still)} is undecided."


def _saved(made: int, full: int, spent: float | None, whole: float | None) -> str:
    said = f"{made:,} of {full:,} attempts of the full design were made ({100 * made / full:.0f} %)"
    if spent is None or not whole:
        return f"{said}."
    return f"{said}, for about {100 * spent / whole:.0f} % of its dollars."
