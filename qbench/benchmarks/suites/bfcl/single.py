"""Samples of one reply: its calls are the answer, recorded and not executed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from qbench.benchmarks.chat import Message
from qbench.benchmarks.scoring.decisions import decompose, whole
from qbench.benchmarks.suite import ReferenceCall, Sample
from qbench.benchmarks.suites.bfcl import verdicts
from qbench.benchmarks.suites.bfcl.answering import answer_of
from qbench.benchmarks.suites.bfcl.records import Answer, Entry
from qbench.benchmarks.suites.bfcl.tools import safe_names
from qbench.benchmarks.suites.bfcl.verdicts import Called, Expected
from qbench.benchmarks.transcript import ToolRun, Transcript

LANGUAGES: Mapping[str, str] = {"simple_java": "java", "simple_javascript": "javascript"}


def draw(task: str, entry: Entry, answer: Answer | None) -> Sample | None:
    """Make the sample of a question, still without an id.

    None where no answer can be right, or none wrong because no function is offered.
    """
    names = safe_names(function["name"] for function in entry.function)
    expected = Expected(
        functions=tuple(entry.function),
        calls=tuple(answer.ground_truth) if answer else (),
        language=LANGUAGES.get(task, "python"),
        ordered=task in ("simple_python", "simple_java", "simple_javascript", "live_simple"),
    )
    right = answer_of(expected)
    if right is None or not entry.function:
        return None
    *before, asked = entry.question[0]
    system = "\n".join(said["content"] for said in before if said["role"] == "system")
    return Sample(
        id="",
        suite="bfcl",
        task=task,
        level=1,
        family=_family(task, entry.id),
        prompt=asked["content"],
        system=system,
        examples=_said([said for said in before if said["role"] != "system"]),
        tools=tuple(names.values()),
        one_reply=True,
        any_arguments=True,
        reference=tuple(
            ReferenceCall(name=names[call.name], arguments=call.arguments) for call in right
        ),
        details={"question": entry.id, "expected": msgspec.to_builtins(expected)},
    )


def _family(task: str, question: str) -> str:
    """Return what varies one set of functions: live questions share them, others do not."""
    place = question.rpartition("_")[2]
    return f"{task}/{place.split('-')[1]}" if "-" in place else f"{task}/{place}"


def _said(messages: list[dict[str, str]]) -> tuple[Message, ...]:
    """Return what was said before the question."""
    return tuple(msgspec.convert(message, Message) for message in messages)


def expected_of(sample: Sample) -> Expected:
    """Return what a sample's reply should call."""
    return msgspec.convert(sample.details["expected"], Expected)


def wrong(sample: Sample, transcript: Transcript) -> str:
    """Say in a sentence what is wrong with an attempt; empty when nothing is."""
    calls = calls_of(sample, transcript.tool_runs)
    if sample.task.endswith("irrelevance"):
        return "A function was called where none fits." if calls else ""
    if not calls:
        return "No function was called in a way that can be read."
    return "" if sample.task == "live_relevance" else verdicts.wrong(expected_of(sample), calls)


def calls_of(sample: Sample, runs: tuple[ToolRun, ...]) -> tuple[Called, ...]:
    """Return the calls of the first reply under the functions' own names.

    One call that cannot be read makes all of them unreadable, as a list with a broken item is.
    """
    first = [run for run in runs if run.turn == 0]
    own = {safe: name for name, safe in _names(sample).items()}
    made = [
        Called(own.get(run.name, run.name), run.arguments)
        for run in first
        if run.arguments is not None and run.name
    ]
    return tuple(made) if len(made) == len(first) else ()


def key(sample: Sample, transcript: Transcript) -> str | None:
    """Return equal texts for the same calls in any order; None when a call cannot be read.

    To call nothing is an answer, too.
    """
    calls = calls_of(sample, transcript.tool_runs)
    if transcript.tool_runs and not calls:
        return None
    made = [[call.name, whole(call.arguments)] for call in calls]
    written = [msgspec.json.encode(call, order="deterministic").decode() for call in made]
    return "\n".join(sorted(written)) or "no call"


def components(sample: Sample, transcript: Transcript, *, passed: bool) -> dict[str, float]:
    """Return the decision components that have a meaning for one reply.

    Arguments count as right when the call fits an expected one, not when they equal the reference.
    """
    parts = decompose(sample, transcript, passed=passed)
    parts.pop("decision.recovery", None)
    calls = calls_of(sample, transcript.tool_runs)
    if sample.task == "live_relevance":
        kept = {key: value for key, value in parts.items() if key == "decision.parse"}
        return kept | {"decision.call": float(bool(calls))}
    if "decision.arguments" in parts:
        matched = parts["decision.tool"] * len(sample.reference)
        parts["decision.arguments"] = verdicts.fitting(expected_of(sample), calls) / matched
    return parts


def _names(sample: Sample) -> dict[str, str]:
    return safe_names(one["name"] for one in sample.details["expected"]["functions"])
