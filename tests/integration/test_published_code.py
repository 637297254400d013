"""HumanEval and MBPP in their own formats, by tiny files of ours, run in the sandbox."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qbench.benchmarks.data import fetch, origin_of
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.suites.code.extraction import fenced
from qbench.benchmarks.suites.code.published.records import get_humaneval, get_mbpp
from qbench.benchmarks.suites.code.published.suite import (
    HumanEvalSuite,
    MbppSuite,
    PublishedSuite,
)
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError

HEAD = 'from typing import List\n\n\ndef doubled(xs: List[int]) -> List[int]:\n    """Twice."""\n'
HUMANEVAL: dict[str, Any] = {
    "task_id": "HumanEval/0",
    "prompt": HEAD,
    "entry_point": "doubled",
    "canonical_solution": "    return [2 * x for x in xs]\n",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n",
}
PLUS = HUMANEVAL | {
    "test": "",
    "base_input": [[[1, 2]], [[]]],
    "plus_input": [[[-3]], [[10**12]]],
    "atol": 0,
    "contract": "\n    assert isinstance(xs, list)\n",
}
MBPP: dict[str, Any] = {
    "task_id": 7,
    "text": "Write a function that returns the larger of two numbers.",
    "code": "def larger(a, b):\n    return a if a > b else b\n",
    "test_list": ["assert larger(1, 2) == 2", "assert larger(5, -1) == 5"],
    "test_setup_code": "",
}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path / "data"))
    return tmp_path


def kept(folder: Path, suite: PublishedSuite, *records: dict[str, Any]) -> Sample:
    path = folder / "given.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(map(msgspec.json.encode, records))))
    get = get_humaneval if suite.name == "humaneval" else get_mbpp
    fetch(suite.name, get, str(path), lambda _line: None)
    return suite.samples(seed=0, tasks=["python"], levels=[1], limit=1)[0]


async def answered(suite: PublishedSuite, sample: Sample, source: str) -> Score:
    async with suite.environment(slots=1) as environment, environment.open(sample) as tools:
        state = await tools.end_state(fenced(source, "python"))
    return suite.score(sample, Transcript(messages=(), turns=(), end_state=state))


CASES = [(HumanEvalSuite, HUMANEVAL), (HumanEvalSuite, PLUS), (MbppSuite, MBPP)]


@pytest.mark.parametrize(("kind", "record"), CASES)
async def test_canonical_solutions_pass_and_blunders_fail(
    kind: type[HumanEvalSuite], record: dict[str, Any], data: Path
) -> None:
    suite = kind()
    sample = kept(data, suite, record)
    right = sample.details["reference"]
    assert (await answered(suite, sample, right)).passed
    wrong = suite.blunder(sample)[-1].content.removeprefix("```python\n").removesuffix("\n```")
    assert not (await answered(suite, sample, wrong)).passed


async def test_leaving_early_is_no_pass(data: Path) -> None:
    suite = HumanEvalSuite()
    sample = kept(data, suite, HUMANEVAL)
    source = "import os\ndef doubled(xs):\n    os._exit(0)\n"
    assert not (await answered(suite, sample, source)).passed


async def test_plus_inputs_catch_what_base_inputs_let_through(data: Path) -> None:
    suite = HumanEvalSuite()
    sample = kept(data, suite, PLUS)
    score = await answered(suite, sample, "def doubled(xs): return [abs(2 * x) for x in xs]")
    assert (score.value, score.passed) == (0.75, False)
    assert score.components["tests.base"] == 1.0


async def test_an_answer_may_leave_out_the_imports_that_it_was_given(data: Path) -> None:
    suite = HumanEvalSuite()
    sample = kept(data, suite, HUMANEVAL)
    source = "def doubled(xs: List[int]) -> List[int]:\n    return [x + x for x in xs]"
    assert (await answered(suite, sample, source)).passed


async def test_mbpp_names_its_tests_in_the_prompt_and_counts_each(data: Path) -> None:
    suite = MbppSuite()
    sample = kept(data, suite, MBPP)
    assert "assert larger(5, -1) == 5" in sample.prompt
    assert (await answered(suite, sample, "def larger(a, b): return b")).value == 0.5


def test_the_licence_and_the_version_are_kept(data: Path) -> None:
    kept(data, HumanEvalSuite(), PLUS)
    origin = origin_of("humaneval")
    assert origin is not None
    assert (origin.license, origin.version) == ("MIT and Apache-2.0", "plus")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"task_id": 1}', "no prompt"),
        (b'{"task_id": 1, "prompt": "x"}', "no tests"),
        (b"not json", "Line 1"),
        (b"", "empty"),
    ],
)
def test_a_file_that_is_something_else_is_refused(content: bytes, said: str, data: Path) -> None:
    path = data / "other.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        fetch("humaneval", get_humaneval, str(path), lambda _line: None)


def test_without_a_file_it_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match="--from"):
        fetch("humaneval", get_humaneval, "", lambda _line: None)
    with pytest.raises(ConfigError, match="qbench suites get humaneval"):
        HumanEvalSuite().samples(seed=0, tasks=["python"], levels=[1], limit=1)
