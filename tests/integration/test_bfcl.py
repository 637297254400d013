"""BFCL's own data: solutions on real servers, and verdicts beside the official checker's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest

from qbench.benchmarks.agent.loop import AgentOptions, run_attempt
from qbench.benchmarks.chat import ChatRequest, Message, Timing, Turn
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.bfcl.records import MULTI_TURN, SINGLE
from qbench.benchmarks.suites.bfcl.suite import BfclSuite
from scripts.bfcl_agreement import Official, compared
from tests.bfcl_data import put
from tests.bfcl_wheel import real_data, real_wheel

SUITE = BfclSuite()
ANSWERED = [task for task in (*SINGLE, *MULTI_TURN) if "relevance" not in task]


class Plays:
    """Says its messages in order, the last one again and again."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._left = list(messages)

    async def reply(self, request: ChatRequest) -> Turn:
        del request
        message = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        finish = "tool_calls" if message.tool_calls else "stop"
        timing = Timing(started_at=datetime.now(UTC), e2el_s=0.1)
        return Turn(message=message, finish_reason=finish, timing=timing)


async def played(environment: Environment, asked: Sample, messages: Sequence[Message]) -> Score:
    async with environment.open(asked) as tools:
        made = await run_attempt(asked, Plays(messages), tools, AgentOptions())
    return SUITE.score(asked, made)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Official:
    folder = tmp_path_factory.mktemp("official")
    with ZipFile(real_wheel()) as archive:
        archive.extractall(folder)
    pytest.importorskip("mpmath", reason="the official back-ends need mpmath")
    return Official(folder)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_data(tmp_path, monkeypatch)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("task", ANSWERED)
def test_verdicts_are_those_of_the_official_checker(official: Official, task: str) -> None:
    number = 60 if task in MULTI_TURN else 200  # four tasks are one family of rules
    row = compared(official, task, mutants=number, seed=1, most=number)
    assert row.references == row.samples
    assert row.mutants >= number
    assert row.apart == []


@pytest.mark.usefixtures("data")
async def test_solutions_pass_on_real_servers_and_blunders_fail() -> None:
    samples = SUITE.samples(seed=1, tasks=SUITE.tasks, levels=(1,), limit=5 * len(SUITE.tasks))
    async with SUITE.environment(slots=2) as environment:
        for asked in samples:
            right = await played(environment, asked, SUITE.solution(asked))
            wrong = await played(environment, asked, SUITE.blunder(asked))
            assert right.passed, (asked.id, right.reason)
            assert not wrong.passed, asked.id


@pytest.mark.usefixtures("data")
def test_version_1_asks_the_same_questions_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    samples = SUITE.samples(seed=7, tasks=SUITE.tasks, levels=SUITE.levels, limit=10_000)
    digest = hashlib.sha256("\n".join(one.id for one in samples).encode()).hexdigest()
    assert (len(samples), SUITE.version, digest[:16]) == (4430, "1", "dc011d87094b6284")


async def test_back_ends_start_anew_with_every_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (asked,) = SUITE.samples(seed=0, tasks=("multi_turn_base",), levels=(1,), limit=1)
    async with SUITE.environment(slots=1) as environment:
        for _ in range(2):
            async with environment.open(asked) as tools:
                assert [spec.name for spec in tools.specs] == [*asked.tools]
                added = await tools.call("add_ticket", {"title": "milk"})
                again = await tools.call("add_ticket", {"title": "milk"})
                state = await tools.end_state()
            assert (added.text, added.is_error) == ('{"place": 2}', False)
            assert (again.text, again.is_error) == ('{"error": "There is one."}', True)
            assert state == {"TicketAPI": {"tickets": ["bread", "milk"]}, "MathAPI": {}}
