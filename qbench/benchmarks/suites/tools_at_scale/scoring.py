"""The verdict: end state and answer, and beside it what retrieval had to do with it."""

from __future__ import annotations

from msgspec.structs import replace

from qbench.benchmarks.retrieval.measures import found
from qbench.benchmarks.scoring.check import check
from qbench.benchmarks.scoring.decisions import decompose
from qbench.benchmarks.scoring.radar import dimensions
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.transcript import Transcript


def score(sample: Sample, transcript: Transcript, *, scorer: str) -> Score:
    """Judge an attempt; see ``qbench.benchmarks.scoring.check``.

    Where no tool fits, any attempted call fails, also one that was refused.
    """
    verdict = check(sample, transcript, scorer=scorer)
    if verdict.status != "scored":
        return verdict
    if not sample.reference and transcript.tool_runs:
        verdict = _called_in_vain(sample, transcript, verdict)
    elif not verdict.passed and not solvable(sample):
        reason = f"A tool that was needed was not offered. {verdict.reason}"
        verdict = replace(verdict, reason=reason)
    parts = verdict.components | retrieved(sample, passed=verdict.passed)
    return replace(verdict, components=parts)


def _called_in_vain(sample: Sample, transcript: Transcript, verdict: Score) -> Score:
    """Fail an attempt that called a tool where none fits, in its components too."""
    parts = decompose(sample, transcript, passed=False)
    return replace(
        verdict,
        value=0.0,
        passed=False,
        reason="A tool was called where none fits.",
        components=parts | dimensions(sample, transcript, passed=False),
    )


def solvable(sample: Sample) -> bool:
    """Whether every tool of the reference is offered."""
    return gold(sample) <= set(sample.tools)


def gold(sample: Sample) -> set[str]:
    """Return the names of the tools that are needed."""
    return {call.name for call in sample.reference}


def retrieved(sample: Sample, *, passed: bool) -> dict[str, float]:
    """Return the components of retrieval.

    ``recall``: share of the needed tools that was offered; ``whole``: 1 when all were;
    ``used``: passed, among attempts for which all were. All absent where no tool fits.
    ``k`` and ``tools``: offered, and in the catalogue; ``tokens``: estimate of the offered specs.
    """
    facts = sample.details["retrieval"]
    parts = {name: float(facts[name]) for name in ("k", "tools", "tokens")}
    if sample.reference:
        one = found(gold(sample), sample.tools, len(sample.tools))
        parts |= {"recall": one.recall, "whole": float(one.whole)}
        parts |= {"used": float(passed)} if one.whole else {}
    return {f"retrieval.{name}": value for name, value in parts.items()}
