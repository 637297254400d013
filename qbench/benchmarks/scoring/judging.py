"""The verdict on an attempt of any strategy: on its accepted path, and on every candidate."""

from __future__ import annotations

from msgspec.structs import replace

from qbench.benchmarks.chat import TokenUsage
from qbench.benchmarks.scoring.votes import answer_key, most_votes
from qbench.benchmarks.suite import Sample, Score, Suite
from qbench.benchmarks.transcript import CANDIDATE, Transcript


def judge(suite: Suite, sample: Sample, transcript: Transcript) -> Score:
    """Judge what the attempt answered; pure.

    Components beside the suite's, for an attempt of several paths: ``strategy.candidates``;
    ``strategy.best``, ``strategy.worst`` and ``strategy.mean`` of their values, and of two or
    more ``strategy.majority``, the value of the answer given most often;
    ``strategy.passed``, how many pass; ``strategy.calls``, of its own model; where usage is known
    ``strategy.accepted_tokens`` (along the accepted paths: what one waits for) and
    ``strategy.total_tokens`` (all that was asked: what one pays for). What other models were asked
    is apart: ``strategy.others_calls``, ``strategy.others_tokens``.
    """
    if not transcript.paths:
        return suite.score(sample, transcript)
    last = transcript.accepted[-1]
    score = suite.score(sample, transcript.along(last))
    return replace(score, components=score.components | _parts(suite, sample, transcript))


def _parts(suite: Suite, sample: Sample, transcript: Transcript) -> dict[str, float]:
    candidates = [
        transcript.along(number)
        for number, path in enumerate(transcript.paths)
        if path.role == CANDIDATE
    ]
    scores = [suite.score(sample, one) for one in candidates]
    others = len(transcript.turns) - transcript.own_calls
    parts = {"strategy.calls": float(transcript.own_calls)} | _tokens(transcript)
    if others:
        parts["strategy.others_calls"] = float(others)
    values = [score.value for score in scores if score.status == "scored"]
    if not values:
        return parts
    if len(values) > 1:
        keys = [answer_key(suite, sample, one) for one in candidates]
        parts["strategy.majority"] = scores[most_votes(keys)].value
    return parts | {
        "strategy.candidates": float(len(values)),
        "strategy.best": max(values),
        "strategy.worst": min(values),
        "strategy.mean": sum(values) / len(values),
        "strategy.passed": float(sum(score.passed for score in scores)),
    }


def _tokens(transcript: Transcript) -> dict[str, float]:
    waited = transcript.along(*transcript.accepted).usage
    other = transcript.others_usage if transcript.own_calls < len(transcript.turns) else None
    pairs = (("accepted", waited), ("total", transcript.usage), ("others", other))
    return {
        f"strategy.{name}_tokens": float(_count(usage))
        for name, usage in pairs
        if usage is not None
    }


def _count(usage: TokenUsage) -> int:
    return usage.prompt_tokens + usage.completion_tokens
