"""The verdict on an attempt of any strategy: on its accepted path, and on every candidate."""

from __future__ import annotations

from msgspec.structs import replace

from qbench.benchmarks.chat import TokenUsage
from qbench.benchmarks.suite import Sample, Score, Suite
from qbench.benchmarks.transcript import CANDIDATE, Transcript


def judge(suite: Suite, sample: Sample, transcript: Transcript) -> Score:
    """Judge what the attempt answered; pure.

    Components beside the suite's, for an attempt of several paths: ``strategy.candidates``;
    ``strategy.best``, ``strategy.worst`` and ``strategy.mean`` of their values;
    ``strategy.passed``, how many pass; ``strategy.calls``, model calls; and where usage is known
    ``strategy.accepted_tokens`` (along the accepted paths: what one waits for) and
    ``strategy.total_tokens`` (all that was asked: what one pays for).
    """
    if not transcript.paths:
        return suite.score(sample, transcript)
    score = suite.score(sample, transcript.along(*transcript.accepted))
    return replace(score, components=score.components | _parts(suite, sample, transcript))


def _parts(suite: Suite, sample: Sample, transcript: Transcript) -> dict[str, float]:
    scores = [
        suite.score(sample, transcript.along(number))
        for number, path in enumerate(transcript.paths)
        if path.role == CANDIDATE
    ]
    parts = {"strategy.calls": float(len(transcript.turns))} | _tokens(transcript)
    values = [score.value for score in scores if score.status == "scored"]
    if not values:
        return parts
    return parts | {
        "strategy.candidates": float(len(values)),
        "strategy.best": max(values),
        "strategy.worst": min(values),
        "strategy.mean": sum(values) / len(values),
        "strategy.passed": float(sum(score.passed for score in scores)),
    }


def _tokens(transcript: Transcript) -> dict[str, float]:
    waited = transcript.along(*transcript.accepted).usage
    pairs = (("accepted", waited), ("total", transcript.usage))
    return {
        f"strategy.{name}_tokens": float(_count(usage))
        for name, usage in pairs
        if usage is not None
    }


def _count(usage: TokenUsage) -> int:
    return usage.prompt_tokens + usage.completion_tokens
