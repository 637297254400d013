"""How an earlier attempt is told to whoever reviews it or works on it again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.chat import Message
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.transcript import Transcript

LONGEST = 6000
"""Characters of an attempt that are told: its beginning and its end."""
RESULT = 400
"""Characters of a tool's result that are told."""

AGAIN = """\
{prompt}

An earlier attempt:
{attempt}

A review of it:
{review}

Work on the task again from the start: nothing that was done before has been kept. Make it better \
where the review is right, and answer in the form that was asked for."""


def told(transcript: Transcript) -> str:
    """Write down what an attempt did and answered."""
    lines = [
        f"call: {run.name}({run.arguments}) -> {run.result[:RESULT]}"
        for run in transcript.tool_runs
    ]
    text = "\n".join([*lines, f"answer: {transcript.answer or '(none)'}"])
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]}\n[...]\n{text[-LONGEST // 2 :]}"


def again(sample: Sample, attempt: str, review: str) -> Sample:
    """Ask a sample again, with an earlier attempt and what was said of it."""
    return replace(
        sample, prompt=AGAIN.format(prompt=sample.prompt, attempt=attempt, review=review)
    )


def asked(sample: Sample) -> str:
    """Write down what a sample asks, its system text included."""
    return "\n\n".join(filter(None, (sample.system, sample.prompt)))


async def review(asking: Asking, ask: str, draft: int, *, role: str, by: str = "") -> int:
    """Let the model, or another one, review a draft; return the path's number.

    ``ask`` has the places ``task`` and ``attempt``.
    """
    text = ask.format(task=asked(asking.sample), attempt=told(asking.candidate(draft)))
    return await asking.call([Message(role="user", content=text)], role=role, by=by)


def together(reviews: Sequence[str]) -> str:
    """Number several reviews, the newest last."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(reviews, 1))
