"""The verdict on an attempt of any strategy: on its accepted path, and on every candidate."""

from __future__ import annotations

from msgspec.structs import replace

from qbench.benchmarks.chat import TokenUsage
from qbench.benchmarks.scoring.votes import answer_key, most_votes
from qbench.benchmarks.suite import Sample, Score, Suite
from qbench.benchmarks.transcript import CANDIDATE, Transcript

ADDED = frozenset({"python"})
"""Names of tools that strategies add."""


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
    transcript = _of_the_sample(sample, transcript)
    if not transcript.paths:
        return suite.score(sample, transcript)
    score = suite.score(sample, transcript.along(transcript.accepted[-1]))
    return replace(score, components=score.components | _parts(suite, sample, transcript))


def _of_the_sample(sample: Sample, transcript: Transcript) -> Transcript:
    """Leave out calls of tools that the strategy added: they decide nothing of the sample."""
    added = {
        number
        for number, run in enumerate(transcript.tool_runs)
        if run.name in ADDED and run.name not in sample.every_tool and run.fault != "unknown_tool"
    }
    if not added:
        return transcript
    kept = [number for number in range(len(transcript.tool_runs)) if number not in added]
    place = {number: new for new, number in enumerate(kept)}
    paths = (
        replace(path, tool_runs=tuple(place[run] for run in path.tool_runs if run in place))
        for path in transcript.paths
    )
    runs = tuple(transcript.tool_runs[number] for number in kept)
    return replace(transcript, tool_runs=runs, paths=tuple(paths))


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
