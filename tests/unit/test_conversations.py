"""Declared conversations: a scripted user, judged by end state and by what was told."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pytest
import yaml

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import Message
from qbench.benchmarks.checking.playing import played
from qbench.benchmarks.checking.suites import check_suite
from qbench.benchmarks.suite import Sample, Score, Suite
from qbench.benchmarks.suites.playing import called
from qbench.errors import ConfigError, NotFound

TEMPLATES = resources.files("qbench.benchmarks.suites.declared") / "templates"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path / "data"))
    made = tmp_path / "desk.yaml"
    made.write_text((TEMPLATES / "mcp.yaml").read_text("utf-8").replace("NAME", "desk"))
    return made


def by_family(suite: Suite) -> dict[str, Sample]:
    drawn = suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=9)
    return {sample.family: sample for sample in drawn}


def words(text: str) -> Message:
    return Message(role="assistant", content=text)


async def answered(suite: Suite, sample: Sample, messages: Sequence[Message]) -> Score:
    async with suite.environment(slots=1) as environment:
        return await played(suite, environment, sample, messages)


async def test_both_the_end_state_and_what_was_told_count(path: Path) -> None:
    suite = load_suite(str(path))
    sample = by_family(suite)["printer-works"]
    close = called(0, "close_ticket", {"ticket": 1})
    right = await answered(suite, sample, [words("It is High."), close, words("Closed.")])
    assert right.passed
    assert right.components == {"tau.db": 1.0, "tau.communicate": 1.0, "tau.actions": 0.5}
    silent = await answered(suite, sample, [words("It is fine."), close, words("Closed.")])
    assert (silent.passed, silent.reason) == (False, "The user was not told 'high'.")
    idle = await answered(suite, sample, [words("High."), words("Closed, I promise.")])
    assert idle.components["tau.db"] == 0.0
    assert not idle.passed


async def test_the_templates_own_solutions_pass_and_its_blunders_fail(path: Path) -> None:
    suite = load_suite(str(path))
    found = await check_suite(suite, limit=9)
    assert found.samples == 3
    assert {one.check: one.ok for one in found.findings} == dict.fromkeys(
        ("same", "extends", "distinct", "references", "blunders", "tools", "skill"), True
    )
    again = load_suite(suite.name)
    assert by_family(again) == by_family(suite)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"world": "bank"}, "'bank'"),
        ({"talks": []}, "no talk says nothing"),
        ({"talks": [{"id": "a", "says": ["x"]}, {"id": "a", "says": ["y"]}]}, "'a' comes twice"),
        ({"talks": [{"id": "a", "says": []}]}, "a says nothing"),
        ({"talks": [{"id": "a", "sais": ["x"]}]}, "missing required field|unknown field"),
    ],
)
def test_mistakes_are_named(path: Path, change: dict[str, object], told: str) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises((ConfigError, NotFound), match=told):
        load_suite(str(path))


def test_actions_that_cannot_be_done_are_named(path: Path) -> None:
    talk = {"id": "a", "says": ["x"], "actions": [{"name": "close_ticket", "arguments": {}}]}
    path.write_text(yaml.safe_dump({"name": "desk", "world": "tickets", "talks": [talk]}))
    with pytest.raises(ConfigError, match="The actions of a cannot be done in tickets"):
        by_family(load_suite(str(path)))
