"""Which answers count as equal, for votes: read by the suite's own rule, never by the right answer.

A suite may say itself how it reads an answer (``answer_key``); else the rule of ``check`` holds:
the last number of the last line where a number is asked for, else the last line, and for tools the
state that they left, or the calls where there is no state.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from qbench.benchmarks.scoring.check import canonical
from qbench.benchmarks.scoring.extraction import last_line
from qbench.benchmarks.suite import Sample, Suite
from qbench.benchmarks.transcript import Transcript

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_WRAP = re.compile(r"^[\s*_`>#]*(?:(?:final\s+)?answer\s*[:=]\s*)?|[\s*_`.!]*$", re.IGNORECASE)


@runtime_checkable
class Reads(Protocol):
    """A suite that says how it reads an answer."""

    def answer_key(self, sample: Sample, transcript: Transcript) -> str | None:
        """Return equal texts for answers that mean the same; None where none could be read."""
        ...


def answer_key(suite: Suite, sample: Sample, transcript: Transcript) -> str | None:
    """Return equal texts for answers that ``suite`` holds to be the same; None: nothing is read.

    Of the right answer only its kind is used, which the question tells too: whether one is asked
    for, and whether it is a number.
    """
    if isinstance(suite, Reads):
        return suite.answer_key(sample, transcript)
    answer = _read(sample, transcript.answer)
    if not sample.every_tool:
        return answer
    if transcript.end_state is None and sample.end_state is not None:
        return None
    if sample.answer is not None and answer is None:
        return None
    done = (*transcript.states, transcript.end_state) if sample.world else _calls(transcript)
    return msgspec.json.encode([canonical(one).decode() for one in done] + [answer]).decode()


def _calls(transcript: Transcript) -> list[tuple[str, object]]:
    """Return what was called where no world remembers it; the order does not matter."""
    made = [(run.name, run.arguments) for run in transcript.tool_runs]
    return sorted(made, key=canonical)


def _read(sample: Sample, text: str) -> str | None:
    """Read what was answered; None where nothing can be read."""
    if sample.answer is None:
        return None if sample.every_tool else " ".join(text.split()) or None
    line = last_line(text)
    if NUMBER.fullmatch(sample.answer):
        found = NUMBER.findall(line.replace(",", ""))
        return f"{float(found[-1]):.12g}" if found else None
    return _WRAP.sub("", line).casefold() or None


def most_votes(keys: Sequence[str | None]) -> int:
    """Return the place of the first vote for the key with most votes; ties go to the first vote.

    None abstains; where all do, 0.
    """
    counts = Counter(key for key in keys if key is not None)
    if not counts:
        return 0
    most = max(counts.values())
    return next(place for place, key in enumerate(keys) if key and counts[key] == most)


def agreement(keys: Sequence[str | None]) -> float:
    """Return the share of the votes that the winner has; those that abstain count against it."""
    counts = Counter(key for key in keys if key is not None)
    return max(counts.values(), default=0) / len(keys) if keys else 0.0
