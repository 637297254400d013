"""What engines say of themselves, for people: kernels, parsers, and a start that is no serving."""

from __future__ import annotations

from collections.abc import Iterable

from qbench.service.domain import Endpoint

PHASES = {
    "process": "process and imports",
    "weights": "weights",
    "compile": "compile",
    "profile": "profiling run",
    "graphs": "graph capture",
    "cache": "KV cache and warm-up",
    "rest": "the rest",
}
"""Of ``details["startup"]``, in the order in which they happen."""


def startup_note(endpoint: Endpoint) -> str:
    """Say how long an engine took to be ready and on what; empty where nobody told."""
    told = endpoint.details.get("startup") or {}
    if "total" not in told:
        return ""
    parts = [f"{words} {told[name]:.1f}" for name, words in PHASES.items() if told.get(name)]
    checked = f"; preflight {told['preflight']:.1f} s" if told.get("preflight") else ""
    return (
        f"Start of {endpoint.format_requested or endpoint.served_name}, not counted as serving: "
        f"{told['total']:.1f} s ({', '.join(parts)}){checked}."
    )


def startup_notes(endpoints: Iterable[Endpoint]) -> list[str]:
    """Return a note for each engine that told, once."""
    return list(dict.fromkeys(filter(None, map(startup_note, endpoints))))


def parser_notes(endpoints: Iterable[Endpoint]) -> list[str]:
    """Return what preflights warned of, once."""
    return list(
        dict.fromkeys(
            f"Preflight of {end.format_requested or end.served_name}: {warning}."
            for end in endpoints
            for warning in (end.details.get("preflight") or {}).get("warnings", ())
        )
    )


def kernel_notes(endpoints: Iterable[Endpoint]) -> list[str]:
    """Say by engine and machine which kernel ran each format, as far as it was told."""
    told: dict[tuple[str, str], list[str]] = {}
    for end in endpoints:
        if end.kernel and end.path != "emulated":  # what is emulated has a note of its own
            by = f"{end.format_requested} by {end.kernel} ({end.path})"
            told.setdefault((end.engine_version, end.architecture), []).append(by)
    return [
        f"Kernels of {version} on {architecture}: {', '.join(dict.fromkeys(names))}."
        for (version, architecture), names in told.items()
    ]
