"""HumanEval and MBPP from the user's files, run in the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from pathlib import Path

from qbench.benchmarks.chat import Message
from qbench.benchmarks.data import needed
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.code.extraction import fenced
from qbench.benchmarks.suites.code.judging import judge_state
from qbench.benchmarks.suites.code.published.executing import WORLD, executing
from qbench.benchmarks.suites.code.published.records import LICENSES, RECORDS, Record, read
from qbench.benchmarks.suites.drawing import named
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import drawn

SYSTEM = "Reply with one ```python code block that holds the complete program, and no other one."


class PublishedSuite:
    """One of the two sets; the tasks are what its file may hold."""

    version = "1"
    tasks: tuple[str, ...] = ("python",)
    levels = (1,)
    generated = False
    further_tasks: tuple[str, ...] = ()
    tokens = 131_072

    def __init__(self, name: str, description: str) -> None:
        self.name, self.description = name, description
        self.license = LICENSES[name]

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Take questions in the order of a seed; see ``Suite.samples``."""
        if "python" not in tasks or 1 not in levels:
            return ()
        records = _records(needed(self.name))
        order = drawn(self.name, seed).sample(range(len(records)), len(records))[:limit]
        return tuple(named(sample_of(self.name, records[one]), one) for one in order)

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Make sure of a sandbox."""
        del slots
        return executing()

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Read the verdicts of the tests."""
        del sample
        return judge_state(transcript, scorer=f"{self.name}/{self.version}")

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Write the canonical solution."""
        text = fenced(sample.details["reference"], "python")
        return (Message(role="assistant", content=text),)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Write a function of the right name that returns a word of its own."""
        source = f"def {sample.details['function']}(*_):\n    return 'not a result'\n"
        return (Message(role="assistant", content=fenced(source, "python")),)


class HumanEvalSuite(PublishedSuite):
    """HumanEval, or HumanEval+ when that is the user's file."""

    def __init__(self) -> None:
        super().__init__("humaneval", "HumanEval or HumanEval+: Python functions from docstrings")


class MbppSuite(PublishedSuite):
    """MBPP, or MBPP+."""

    def __init__(self) -> None:
        super().__init__("mbpp", "MBPP or MBPP+: short Python programs from one sentence")


@lru_cache(maxsize=4)
def _records(folder: Path) -> tuple[Record, ...]:
    return tuple(read((folder / RECORDS).read_bytes(), RECORDS))


def sample_of(suite: str, record: Record) -> Sample:
    """Make the sample of a question; its family is its own id."""
    return Sample(
        id="",
        suite=suite,
        task="python",
        level=1,
        family=str(record.task_id),
        system=SYSTEM,
        prompt=prompt_of(record),
        world=WORLD,
        details={
            "language": "python",
            "function": function_of(record),
            "prefix": prefix_of(record),
            "reference": reference_of(record),
            "inputs": [*record.base_input, *record.plus_input],
            "base": len(record.base_input),
            "atol": record.atol,
            "checks": checks_of(record),
            "setup": "\n".join([*record.test_imports, record.test_setup_code]),
        },
    )


def prompt_of(record: Record) -> str:
    """Ask for the function: the code to complete, or the sentence and the tests that it names."""
    if record.test or (record.plus and "def " in record.prompt):
        return f"Complete this Python function.\n\n```python\n{record.prompt.rstrip()}\n```"
    asked = (record.text or record.prompt).strip()
    if not record.test_list:
        return asked
    return f"{asked}\n\nThe program must pass these tests:\n" + "\n".join(record.test_list)


def function_of(record: Record) -> str:
    """Return the name of the function that tests call."""
    if record.entry_point:
        return record.entry_point
    words = record.test_list[0].replace("(", " ").split() if record.test_list else []
    source = reference_of(record)
    return next((word for word in words if f"def {word}(" in source), "")


def reference_of(record: Record) -> str:
    """Return the canonical program: HumanEval's is the rest of its prompt."""
    solution = record.canonical_solution or record.code
    if "def " in record.prompt and f"def {record.entry_point}(" not in solution:
        return record.prompt + solution
    return solution


def prefix_of(record: Record) -> str:
    """Return the imports that the question's code begins with: an answer may leave them out."""
    lines = record.prompt.splitlines() if "def " in record.prompt else []
    kept = (line for line in lines if line.startswith(("import ", "from ")))
    return "\n".join(kept)


def checks_of(record: Record) -> list[str]:
    """Return the programs that test: HumanEval's check, or each assertion of MBPP."""
    if record.plus:
        return []
    if record.test:
        return [f"{record.test}\n\ncheck({record.entry_point})"]
    return list(record.test_list)
