"""Numbers in sentences: the finding under a leaderboard, and what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence

from qbench.service.domain import Endpoint, RunStatus, variant
from qbench.service.reports.cost.energy import energy_notes
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.startups import kernel_notes, parser_notes, startup_notes
from qbench.service.reports.values import Estimate, NoiseFloor, Row, Verdict


def points(gap: Estimate) -> str:
    """Write a difference of pass rates: ``-8.3 [-13.4, -3.1] points``."""
    low, high = 100 * gap.low, 100 * gap.high
    return f"{100 * gap.value:+.1f} [{low:+.1f}, {high:+.1f}] points"


def summary(rows: Sequence[Row], margin: float, noise: NoiseFloor | None = None) -> str:
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
    others = [row for row in rows if row is not baseline and not row.replica]
    said = [
        f"{name[row.system_id]}{' (an upper bound)' if row.caveat else ''} "
        f"{against(row.verdict, margin, noise)}"
        for row in others
    ]
    return f"{'; '.join([start, *said])}."


def short_names(rows: Sequence[Row]) -> dict[str, str]:
    """Name rows by their format where they share a model, by their label otherwise."""
    alike = len({row.model for row in rows}) == 1
    return {
        row.system_id: variant(row.format, row.replica, row.way) if alike else row.label
        for row in rows
    }


def against(verdict: Verdict, margin: float, noise: NoiseFloor | None = None) -> str:
    """Say a verdict with its numbers; a difference that the noise floor covers is no finding."""
    if verdict.difference is None:
        return "is INVALID"
    gap = points(verdict.difference)
    if verdict.kind == "inconclusive":
        more = f", about {verdict.needed:,} samples would settle it" if verdict.needed else ""
        return f"is inconclusive ({gap}{more})"
    if verdict.kind == "equivalent":
        return f"is equivalent within {100 * margin:g} points ({gap})"
    if verdict.kind == "non-inferior":
        return f"is not worse by {100 * margin:g} points or more ({gap})"
    if verdict.kind == "noise floor":
        return f"is the same measured again ({gap})"
    no = ", but within the noise floor: no finding" if is_noise(verdict, noise) else ""
    return f"is {verdict.kind} ({gap}, p = {verdict.p:.2g}{no})"


def is_noise(verdict: Verdict, noise: NoiseFloor | None) -> bool | None:
    """Say whether a difference is no larger than the A/A bound; None where either is unknown."""
    if noise is None or verdict.difference is None:
        return None
    return abs(verdict.difference.value) <= noise.bound


def noise_line(noise: NoiseFloor, verdicts: Sequence[tuple[str, Verdict]]) -> str:
    """Say how far the same measured twice is apart, and each format's difference beside it."""
    rate = noise.flips.rate
    floor = (
        f"Noise floor: {noise.label} differs by {points(noise.difference)} and answers "
        f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}] of the samples "
        "otherwise."
    )
    beside = [
        f"{name} {100 * verdict.difference.value:+.1f} "
        f"({'within' if is_noise(verdict, noise) else 'beyond'})"
        for name, verdict in verdicts
        if verdict.difference is not None
    ]
    return f"{floor} Beside it: {', '.join(beside)}." if beside else floor


def notes(evidence: Evidence, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what the numbers do not say themselves."""
    systems = {system.id: system for system in evidence.run.request.systems}
    endpoints = {row.system_id: evidence.endpoint(systems[row.system_id]) for row in rows}
    said = _emulations(rows, endpoints)
    said += [
        f"‡ {row.effective} fell back to weights only: its activations stayed in 16 bits."
        for row in rows
        if row.path == "weight-only fallback" and not row.replica
    ]
    names = short_names(rows)
    said += [f"{names[row.system_id]}: {row.caveat}." for row in rows if row.caveat]
    said += _unpriced(evidence, rows)
    priced = [systems[row.system_id] for row in rows if row.cost]
    said += energy_notes(evidence, priced, unpriced=any(row.validity.unpriced for row in rows))
    served = [end for end in endpoints.values() if end]
    said += _checkpoints(served) + kernel_notes(served)
    said += startup_notes(served) + parser_notes(served)
    if evidence.noise is not None:
        judged = [row for row in rows if row.verdict.kind != "baseline" and not row.replica]
        said.append(
            noise_line(evidence.noise, [(names[row.system_id], row.verdict) for row in judged])
        )
    return tuple(said + _imported(evidence) + _run_notes(evidence))


def _imported(evidence: Evidence) -> list[str]:
    """Say where a run comes from that qbench did not make, and what of it is not here."""
    origin = evidence.origin
    if origin is None:
        return []
    scorers = ", ".join(f"{task} by {name}" for task, name in origin.scorers.items())
    seconds = (
        f"Scored by {origin.harness}: {scorers}. Its seconds are not shown: nobody knows on what"
        " they were measured. Dollars: its tokens at our price book's prices of that day."
    )
    said = [origin.told, seconds]
    lost = "; ".join(f"{name}: {number:,}" for name, number in origin.lost.items())
    return [*said, f"Not mapped: {lost}."] if lost else said


def _emulations(rows: Sequence[Row], endpoints: dict[str, Endpoint | None]) -> list[str]:
    """Say once for each way of emulating what its rows do and do not show."""
    ways: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        endpoint = endpoints[row.system_id]
        if row.path == "emulated" and endpoint is not None and not row.replica:
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
    """Say where each model's weights come from: once, or by format where they differ."""
    by_model: dict[str, dict[str, list[str]]] = {}
    for end in endpoints:
        if end.checkpoint:
            origins = by_model.setdefault(end.served_name, {})
            origins.setdefault(end.checkpoint, []).append(end.format_requested)
    return [_origins(name, origins) for name, origins in by_model.items()]


def _origins(name: str, origins: dict[str, list[str]]) -> str:
    if len(origins) == 1:
        (origin,) = origins
        shared = "; every format, the baseline too, is made from that" if "GGUF" in origin else ""
        return f"Weights of {name}: {origin}{shared}."
    said = (f"{', '.join(dict.fromkeys(formats))}: {origin}" for origin, formats in origins.items())
    return f"Weights of {name}, by format: {'; '.join(said)}."


def _run_notes(evidence: Evidence) -> list[str]:
    run = evidence.run
    if run.status in (RunStatus.DONE, RunStatus.PLANNED):
        return []
    return [f"The run is {run.status.value}: `qbench resume {run.id}` goes on with it."]
