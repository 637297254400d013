"""What a model that knows BFCL's answers would say, and one that gets them wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from qbench.benchmarks.chat import Message, ToolCall
from qbench.benchmarks.suite import ReferenceCall, Sample
from qbench.benchmarks.suites.bfcl.answering import mistaken
from qbench.benchmarks.suites.bfcl.single import expected_of
from qbench.benchmarks.suites.bfcl.tools import safe_names
from qbench.benchmarks.suites.bfcl.verdicts import Called

AT_ONCE = 8
"""Calls of one reply of a multi-turn solution: the agent loop keeps 32."""
DONE = Message(role="assistant", content="Done.")
UNABLE = Message(role="assistant", content="None of the functions does that.")


def solution(sample: Sample) -> tuple[Message, ...]:
    """Return messages that pass."""
    if sample.world:
        return tuple(_by_turn(sample))
    if sample.reference:
        return (_calling(sample.reference, 0),)
    return (_any_call(sample),) if sample.task == "live_relevance" else (UNABLE,)


def blunder(sample: Sample) -> tuple[Message, ...]:
    """Return messages that look like an answer and fail."""
    if sample.task.endswith("irrelevance") and sample.tools:
        return (_any_call(sample),)
    if sample.world or not sample.reference:
        return (UNABLE,)
    expected = expected_of(sample)
    names = safe_names(function["name"] for function in expected.functions)
    own = {safe: name for name, safe in names.items()}
    right = tuple(Called(own[call.name], call.arguments) for call in sample.reference)
    spoilt = mistaken(expected, right)
    wrong = [ReferenceCall(name=names[call.name], arguments=call.arguments) for call in spoilt]
    return (_calling(wrong, 0),) if wrong else (UNABLE,)


def _by_turn(sample: Sample) -> Iterator[Message]:
    """Yield each turn's calls, some a message, and a word at its end."""
    left, number = iter(sample.reference), 0
    for turn in sample.details["turns"]:
        calls = list(islice(left, turn["calls"]))
        for start in range(0, len(calls), AT_ONCE):
            yield _calling(calls[start : start + AT_ONCE], number + start)
        number += len(calls)
        yield DONE if calls else UNABLE


def _calling(calls: Iterable[ReferenceCall], first: int) -> Message:
    return Message(role="assistant", tool_calls=tuple(_made(calls, first)))


def _made(calls: Iterable[ReferenceCall], first: int) -> Iterator[ToolCall]:
    for number, call in enumerate(calls, start=first):
        arguments = msgspec.json.encode(call.arguments).decode()
        yield ToolCall(id=f"call_{number}", name=call.name, arguments=arguments)


def _any_call(sample: Sample) -> Message:
    """Call the first function with nothing: whether there is a call is all that counts."""
    return _calling([ReferenceCall(name=sample.tools[0], arguments={})], 0)
