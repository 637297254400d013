"""The verdict on an attempt: end state and answer, then where on the way it failed."""

from __future__ import annotations

import re

import msgspec

from qbench.benchmarks.scoring.decisions import decompose
from qbench.benchmarks.scoring.radar import dimensions
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.transcript import Transcript

NEGATED = re.compile(r"\b(not|no|never|isn't|cannot)\s+(?:\w+\s+)?$")


def check(sample: Sample, transcript: Transcript, *, scorer: str) -> Score:
    """Judge an attempt: passed when the world ended as it should and the answer is right.

    Pure, so that a stored transcript can be judged again. Unscored when the world should have
    been read and was not.
    """
    if sample.end_state is not None and transcript.end_state is None:
        return Score(status="unscored", reason="The end state was not read.", scorer=scorer)
    reason = _wrong(sample, transcript)
    passed = not reason
    parts = decompose(sample, transcript, passed=passed)
    return Score(
        status="scored",
        value=float(passed),
        passed=passed,
        reason=reason,
        components=parts | dimensions(sample, transcript, passed=passed),
        scorer=scorer,
    )


def _wrong(sample: Sample, transcript: Transcript) -> str:
    """Say in a sentence what is wrong; empty when nothing is."""
    if sample.world and not sample.reference and any(not r.fault for r in transcript.tool_runs):
        return "A tool was called where nothing was to be called."
    if sample.end_state is not None and not same(transcript.end_state, sample.end_state):
        return _why(transcript) or "The world did not end as it should."
    if sample.answer is not None and not answered(sample.answer, transcript.answer):
        return f"The answer is not {sample.answer!r}."
    return ""


def _why(transcript: Transcript) -> str:
    if not transcript.tool_runs:
        return "No tool was called."
    fault = transcript.tool_runs[-1].fault
    return f"The last call was faulty: {fault}." if fault else ""


def same(one: object, other: object) -> bool:
    """Whether two states are the same: the order of keys and of records does not matter."""
    return canonical(one) == canonical(other)


def canonical(value: object) -> bytes:
    """Return equal bytes for states that are the same."""
    return msgspec.json.encode(_ordered(value), order="deterministic")


def _ordered(value: object) -> object:
    """Sort lists of records: two right solutions may add them in another order."""
    if isinstance(value, dict):
        return {key: _ordered(part) for key, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sorted((_ordered(part) for part in value), key=canonical)
    return value


def answered(wanted: str, text: str) -> bool:
    """Whether ``text`` gives ``wanted``: as a whole word in its last line, not negated.

    A number must be the last one of that line, so that a sum shown on the way does not count.
    """
    line = next((part for part in reversed(text.strip().splitlines()) if part.strip()), "")
    plain = line.replace(",", "") if _is_number(wanted) else line
    if _is_number(wanted):
        found = re.findall(r"-?\d+(?:\.\d+)?", plain)
        return bool(found) and float(found[-1]) == float(wanted)
    place = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", plain, re.IGNORECASE)
    return place is not None and not NEGATED.search(plain[: place.start()].lower())


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(?:\.\d+)?", text) is not None
