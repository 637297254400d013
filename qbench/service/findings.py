"""Numbers in sentences: the finding under a leaderboard, and what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence

from qbench.service.domain import Endpoint, RunStatus
from qbench.service.evidence import Evidence
from qbench.service.report import Estimate, Row, Verdict
from qbench.service.startups import parser_notes, startup_notes


def points(gap: Estimate) -> str:
    """Write a difference of pass rates: ``-8.3 [-13.4, -3.1] points``."""
    low, high = 100 * gap.low, 100 * gap.high
    return f"{100 * gap.value:+.1f} [{low:+.1f}, {high:+.1f}] points"


def summary(rows: Sequence[Row], margin: float) -> str:
    """State what the run found about every system against the baseline, in one sentence."""
    baseline = next((row for row in rows if row.verdict.kind == "baseline"), None)
    if baseline is None or baseline.pass_rate is None:
        return "Nothing can be said: the baseline has no scored attempt."
    if baseline.validity.invalid:
        return f"Nothing can be said: the baseline is INVALID ({baseline.validity.invalid})."
    name = short_names(rows)
    rate = baseline.pass_rate
    start = (
        f"{name[baseline.system_id]} passes {100 * rate.value:.1f} % "
        f"[{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
    )
    others = [row for row in rows if row is not baseline]
    said = [f"{name[row.system_id]} {against(row.verdict, margin)}" for row in others]
    return f"{'; '.join([start, *said])}."


def short_names(rows: Sequence[Row]) -> dict[str, str]:
    """Name rows by their format where they share a model, by their label otherwise."""
    alike = len({row.model for row in rows}) == 1
    return {row.system_id: row.format if alike else row.label for row in rows}


def against(verdict: Verdict, margin: float) -> str:
    """Say a verdict with its numbers."""
    if verdict.difference is None:
        return "is INVALID"
    gap = points(verdict.difference)
    if verdict.kind == "inconclusive":
        more = f", about {verdict.needed:,} samples would settle it" if verdict.needed else ""
        return f"is inconclusive ({gap}{more})"
    if verdict.kind == "equivalent":
        return f"is equivalent within {100 * margin:g} points ({gap})"
    return f"is {verdict.kind} ({gap}, p = {verdict.p:.2g})"


def notes(evidence: Evidence, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what the numbers do not say themselves."""
    systems = {system.id: system for system in evidence.run.request.systems}
    endpoints = {row.system_id: evidence.endpoint(systems[row.system_id]) for row in rows}
    said = _emulations(rows, endpoints)
    said += [
        f"‡ {row.effective} fell back to weights only: its activations stayed in 16 bits."
        for row in rows
        if row.path == "weight-only fallback"
    ]
    said += _unpriced(evidence, rows)
    served = [end for end in endpoints.values() if end]
    said += _checkpoints(served) + startup_notes(served) + parser_notes(served)
    return tuple(said + _run_notes(evidence))


def _emulations(rows: Sequence[Row], endpoints: dict[str, Endpoint | None]) -> list[str]:
    """Say once for each way of emulating what its rows do and do not show."""
    ways: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        endpoint = endpoints[row.system_id]
        if row.path == "emulated" and endpoint is not None:
            ways.setdefault((endpoint.kernel, row.hardware), []).append(row.effective)
    return [
        f"† emulated: {', '.join(names)} ({kernel}). Pass rates are those of the format; seconds "
        f"and dollars are those of the emulation on {hardware}, not of hardware that multiplies "
        "it natively."
        for (kernel, hardware), names in ways.items()
    ]


def _unpriced(evidence: Evidence, rows: Sequence[Row]) -> list[str]:
    names = ", ".join(row.label for row in rows if row.validity.unpriced)
    if not names:
        return []
    running = evidence.run.status is RunStatus.RUNNING
    why = "an engine is billed when it stops" if running else "see `qbench prices`"
    return [f"Unpriced: {names} ({why})."]


def _checkpoints(endpoints: Sequence[Endpoint]) -> list[str]:
    origins = {end.served_name: end.checkpoint for end in endpoints if end.checkpoint}
    return [
        f"Weights of {name}: {origin}"
        + ("; every format, the baseline too, is made from that." if "GGUF" in origin else ".")
        for name, origin in origins.items()
    ]


def _run_notes(evidence: Evidence) -> list[str]:
    run = evidence.run
    if run.status in (RunStatus.DONE, RunStatus.PLANNED):
        return []
    return [f"The run is {run.status.value}: `qbench resume {run.id}` goes on with it."]
