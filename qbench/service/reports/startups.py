"""What engines say of themselves, for people: kernels, parsers, and a start that is no serving."""

from __future__ import annotations

from collections.abc import Iterable

from qbench.service.domain import Endpoint

LONG = {"compile": "compile", "graphs": "graphs", "cache": "warm-up"}
"""Phases of ``details["startup"]`` that are worth a word when they take ``WORTH_S``; all phases
are in the JSON."""
WORTH_S = 5.0


def startup_notes(endpoints: Iterable[Endpoint]) -> list[str]:
    """Say in one line how long each engine took to be ready, as far as it was told."""
    told = dict.fromkeys(filter(None, map(_start, endpoints)))
    if not told:
        return []
    return [f"Starts, not counted as serving: {', '.join(told)}."]


def _start(endpoint: Endpoint) -> str:
    """Write ``w4a16 112.9 s (compile 29.6, warm-up 20.9)``; empty where nobody told."""
    told = endpoint.details.get("startup") or {}
    if "total" not in told:
        return ""
    long = [f"{word} {told[n]:.1f}" for n, word in LONG.items() if told.get(n, 0) >= WORTH_S]
    name = endpoint.format_requested or endpoint.served_name
    phases = f" ({', '.join(long)})" if long else ""
    return f"{name} {told['total']:.1f} s{phases}"


def parser_notes(endpoints: Iterable[Endpoint]) -> list[str]:
    """Return what preflights warned of, each warning once with the formats it is about."""
    about: dict[str, list[str]] = {}
    for end in endpoints:
        for warning in (end.details.get("preflight") or {}).get("warnings", ()):
            about.setdefault(warning, []).append(end.format_requested or end.served_name)
    return [
        f"Preflight of {', '.join(dict.fromkeys(names))}: {warning}."
        for warning, names in about.items()
    ]


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
