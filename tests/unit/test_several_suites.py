"""Several suites in one run, and models of known skill on any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qbench.benchmarks.analysis.rates import wilson
from qbench.benchmarks.catalogue import asked, load_suite
from qbench.benchmarks.chat import Message
from qbench.benchmarks.transcript import Transcript
from qbench.cli.options import read_order
from qbench.errors import ConfigError, NotFound
from qbench.service.order import Order, to_request
from qbench.service.plan import draw_samples
from qbench.workers.engines.behaviours import Asked, seeded
from qbench.workers.engines.skilled import Knowledge, Known, knowledge, skilled


def test_suites_share_the_samples_and_name_their_tasks() -> None:
    request = to_request(Order(suite="mcp/ledger,sums", samples=9, engine="scripted"))
    drawn = draw_samples(request)
    assert request.suite == "mcp,sums"
    assert [sample.suite for sample in drawn] == [*["mcp", "sums"] * 4, "mcp"]
    assert {sample.task for sample in drawn} <= set(request.tasks)


def test_more_samples_extend_fewer() -> None:
    suite, tasks = asked("mcp,sums")
    few, more = (
        suite.samples(seed=3, tasks=tasks, levels=(1, 2), limit=limit) for limit in (7, 20)
    )
    assert more[:7] == few


def test_each_sample_is_judged_by_its_own_suite() -> None:
    suite, tasks = asked("mcp,sums/add")
    sample = suite.samples(seed=0, tasks=tasks, levels=(1,), limit=2)[1]
    right = suite.score(sample, Transcript(messages=(), turns=(), answer=sample.answer or ""))
    assert (sample.task, right.passed, right.scorer) == ("sums/add", True, "sums/1")


@pytest.mark.parametrize(
    ("text", "kind"), [("mcp,suns", NotFound), ("mcp/ledgr,sums", NotFound), (" , ", ConfigError)]
)
def test_a_wrong_name_is_refused(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        asked(text)


def _known() -> Knowledge:
    suite = load_suite("sums")
    drawn = suite.samples(seed=0, tasks=suite.tasks, levels=(3, 4, 5), limit=600)
    known = {
        one.prompt: Known(
            prompt=one.prompt,
            level=one.level,
            solution=suite.solution(one),
            blunder=suite.blunder(one),
        )
        for one in drawn
    }
    return Knowledge(suite="sums", samples=known)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_known_skill_is_recovered(temperature: float) -> None:
    known = _known()
    model = skilled(known, 0.7, seeded(0))
    passed = 0
    for prompt, sample in known.samples.items():
        messages = [Message(role="user", content=prompt)]
        said = model(Asked(messages=messages, temperature=temperature)).say
        passed += said == sample.solution[0].content
    low, high = wilson(passed, len(known.samples))
    assert low < 0.7 < high


def test_knowledge_that_is_none_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no solutions"):
        knowledge(str(tmp_path / "none.json"))


def test_a_fresh_seed_is_drawn_and_stored() -> None:
    first, second = (read_order(fresh_seed=True)[0].seed for _ in range(2))
    assert first != second
    assert read_order()[0].seed == 0
    with pytest.raises(ConfigError, match="no fresh seed"):
        read_order(seed=3, fresh_seed=True)
