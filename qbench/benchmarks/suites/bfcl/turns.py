"""Multi-turn samples: drawn with what a right solution leaves, and judged after every turn.

A question's answer is calls in Python source, turn by turn. They are run once on the back-ends
when a sample is drawn, so that the sample carries, for each user turn with an answer, the state
that is due and the results that must have been seen; a stored transcript is then judged without
any back-end.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import Any

import msgspec

from qbench.benchmarks.agent.replies import clean
from qbench.benchmarks.scoring.decisions import decompose as components
from qbench.benchmarks.suite import FollowUp, ReferenceCall, Sample
from qbench.benchmarks.suites.bfcl.backends import Scene, short
from qbench.benchmarks.suites.bfcl.records import Answer, Entry, descriptions
from qbench.benchmarks.suites.bfcl.world import Backends, scene_of
from qbench.benchmarks.transcript import ToolRun, Transcript

MORE_TOOLS = "There are more tools now. Please go on with what you could not do."
"""Said where functions are handed in later: those turns have no text of their own."""


__all__ = ["components", "draw", "key", "wrong"]


def draw(task: str, entry: Entry, answer: Answer | None) -> Sample | None:
    """Make the sample of a question, still without an id; None where no answer can be right."""
    assert answer is not None
    state = {
        "classes": entry.involved_classes,
        "config": entry.initial_config,
        "long_context": task == "multi_turn_long_context",
    }
    scene = scene_of(state)
    calls = [[reference(source, scene) for source in turn] for turn in answer.ground_truth]
    due = [_played(scene, turn) for turn in calls]
    first, *later = (turn[-1]["content"] if turn else MORE_TOOLS for turn in entry.question)
    handed_in = {int(turn): tuple(names) for turn, names in entry.missed_function.items()}
    held_back = {name for names in handed_in.values() for name in names}
    offered = [one["name"] for name in entry.involved_classes for one in descriptions(name)]
    if _too_early(calls, handed_in):
        return None
    return Sample(
        id="",
        suite="bfcl",
        task=task,
        level=1,
        family=f"multi_turn/{entry.id.rpartition('_')[2]}",  # the four tasks vary one scenario
        prompt=first,
        follow_ups=tuple(
            FollowUp(prompt=prompt, tools=handed_in.get(turn, ()))
            for turn, prompt in enumerate(later, start=1)
        ),
        tools=tuple(name for name in offered if name not in held_back),
        world=Backends.name,
        any_arguments=True,
        start_state=state,
        end_state=due[-1]["state"],
        reference=tuple(call for turn in calls for call in turn),
        details={"question": entry.id, "turns": due},
    )


def reference(source: str, scene: Scene) -> ReferenceCall:
    """Read a call written in Python, naming the arguments that are given by position."""
    call = ast.parse(source.strip(), mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    values = [ast.literal_eval(value) for value in call.args]
    placed = dict(zip(scene.named(call.func.id, values), values, strict=True))
    named = {part.arg: ast.literal_eval(part.value) for part in call.keywords if part.arg}
    return ReferenceCall(name=call.func.id, arguments=placed | named)


def _too_early(calls: list[list[ReferenceCall]], handed_in: dict[int, tuple[str, ...]]) -> bool:
    """Say whether the answer calls a function in a turn before it is handed in."""
    since = {name: turn for turn, names in handed_in.items() for name in names}
    return any(turn < since.get(call.name, 0) for turn, made in enumerate(calls) for call in made)


def _played(scene: Scene, calls: list[ReferenceCall]) -> dict[str, Any]:
    """Run a turn's calls; return their number, their results and the state they leave."""
    results = [scene.call(call.name, call.arguments)[0] for call in calls]
    kept = [short(clean(result)) for result in results]
    return {"calls": len(calls), "results": kept, "state": scene.state()}


def wrong(sample: Sample, transcript: Transcript) -> str:
    """Say in a sentence what is wrong with an attempt; empty when nothing is.

    A turn whose answer has calls must make at least one, leave the state that the answer leaves,
    and the results of all calls so far must include those of the answer's calls of this turn. A
    turn whose answer has none is not judged by itself: what is done there shows in later states.
    """
    due = sample.details["turns"]
    states = (*transcript.states, transcript.end_state)
    if len(states) != len(due) or transcript.stop not in ("answered", "empty"):
        return f"The attempt ended in turn {len(states)} of {len(due)}: {transcript.stop}."
    seen: Counter[str] = Counter()
    for number, turn in enumerate(due):
        runs = [run for run in _read(transcript) if run.asked == number]
        seen.update(short(run.result) for run in runs)
        reason = _turn_wrong(turn, runs, states[number], seen) if turn["calls"] else ""
        if reason:
            return f"Turn {number + 1}: {reason}"
    return ""


def key(sample: Sample, transcript: Transcript) -> str | None:
    """Return equal texts for the same states; None when the attempt ended before its last turn."""
    states = (*transcript.states, transcript.end_state)
    if len(states) != len(sample.details["turns"]):
        return None
    return msgspec.json.encode(states, order="deterministic").decode()


def _read(transcript: Transcript) -> list[ToolRun]:
    """Return the calls that could be read."""
    return [run for run in transcript.tool_runs if run.arguments is not None and run.name]


def _turn_wrong(
    turn: dict[str, Any], runs: list[ToolRun], state: dict[str, Any] | None, seen: Counter[str]
) -> str:
    if not runs:
        return "no tool was called."
    if state != turn["state"]:
        return f"{_differing(turn['state'], state or {})} is not as it should be."
    missing = Counter(turn["results"]) - seen
    return f"{missing.total()} of the results that are due were not seen." if missing else ""


def _differing(due: dict[str, Any], state: dict[str, Any]) -> str:
    """Name the first attribute that differs."""
    pairs = ((name, key) for name, part in due.items() for key in part)
    differs = (
        pair for pair in pairs if state.get(pair[0], {}).get(pair[1]) != due[pair[0]][pair[1]]
    )
    return ".".join(next(differs, ("The state",)))
