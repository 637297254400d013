"""Programming problems of our own, in Python and JavaScript, judged by hidden tests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from qbench.benchmarks.chat import Message
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.code.drawing import draw
from qbench.benchmarks.suites.code.executing import executing
from qbench.benchmarks.suites.code.extraction import fenced
from qbench.benchmarks.suites.code.judging import judge_state
from qbench.benchmarks.suites.drawing import named, places
from qbench.benchmarks.transcript import Transcript


class CodeSuite:
    """The suite."""

    name = "code"
    version = "1"
    tasks: tuple[str, ...] = ("python", "javascript")
    further_tasks: tuple[str, ...] = ("performance",)
    """Asked for by name: measuring takes seconds of processor time for each attempt."""
    levels: tuple[int, ...] = (1, 2, 3, 4, 5)
    description = (
        "Programming problems with hidden tests, run in a sandbox: Python, JavaScript, speed"
    )
    license = "own"
    generated = True
    tokens = 32_768

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Generate samples; see ``Suite.samples``."""
        return tuple(
            named(draw(seed, task, level, number), number)
            for task, level, number in places(tasks, levels, limit)
        )

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Make sure of a sandbox; programs run in it when an attempt ends."""
        del slots
        return executing()

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Read the verdicts of the hidden tests."""
        del sample
        return judge_state(transcript, scorer=f"code/{self.version}")

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Write the reference."""
        return (_said(sample, "reference"),)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Write the reference with a slip in it."""
        return (_said(sample, "slip"),)


def _said(sample: Sample, which: str) -> Message:
    text = fenced(sample.details[which], sample.details["language"])
    return Message(role="assistant", content=text)
