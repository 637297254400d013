"""What the suites promise: solvable, checkable, reproducible samples."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from qbench.benchmarks.catalogue import SOURCES, SUITES, load_suite
from qbench.benchmarks.scoring.check import answered, same
from qbench.benchmarks.servers.tools import in_memory
from qbench.benchmarks.suite import ReferenceCall, Sample, Score
from qbench.benchmarks.suites.mcp import WORLDS, McpSuite
from qbench.benchmarks.transcript import ToolRun, Transcript
from qbench.benchmarks.worlds import serving
from qbench.errors import NotFound

MCP = McpSuite()
LEVELS = (1, 2, 3, 4, 5)


def drawn(limit: int, *, levels: Sequence[int] = LEVELS, seed: int = 0) -> tuple[Sample, ...]:
    return MCP.samples(seed=seed, tasks=MCP.tasks, levels=levels, limit=limit)


async def play(
    sample: Sample, calls: Sequence[ReferenceCall], *, answer: str | None = None
) -> Transcript:
    """Make ``calls`` on the real server of the sample's world, in this process."""
    runs = []
    async with in_memory(getattr(serving, sample.world.upper()), sample) as tools:
        for number, made in enumerate(calls):
            result = await tools.call(made.name, made.arguments)
            runs.append(
                ToolRun(
                    turn=number,
                    call_id=str(number),
                    name=made.name,
                    arguments=made.arguments,
                    result=result.text,
                    fault="tool_error" if result.is_error else "",
                )
            )
        state = await tools.end_state()
    said = (sample.answer or "done") if answer is None else answer
    return Transcript(messages=(), turns=(), tool_runs=tuple(runs), answer=said, end_state=state)


async def judged(sample: Sample, calls: Sequence[ReferenceCall], **more: Any) -> Score:
    return MCP.score(sample, await play(sample, calls, **more))


@pytest.mark.parametrize("world", sorted(WORLDS))
async def test_references_pass_and_doing_nothing_fails(world: str) -> None:
    for sample in MCP.samples(seed=1, tasks=(world,), levels=LEVELS, limit=60):
        done = await judged(sample, sample.reference)
        assert done.passed, (sample.id, done.reason)
        assert done.components["decision.wasted"] == 0 if sample.reference else True
        idle = await judged(sample, (), answer="")
        assert not idle.passed or (not sample.reference and sample.answer is None)


@pytest.mark.parametrize("world", sorted(WORLDS))
async def test_sabotaged_solutions_fail(world: str) -> None:
    for sample in MCP.samples(seed=2, tasks=(world,), levels=(1, 3), limit=40):
        if sample.end_state == sample.start_state:
            continue
        changing = [made for made in sample.reference if made.arguments]
        broken = replace(changing[-1], arguments=_spoilt(changing[-1].arguments))
        wrong = [*sample.reference[: sample.reference.index(changing[-1])], broken]
        assert not (await judged(sample, wrong)).passed, sample.id
        assert not (await judged(sample, sample.reference[:-1])).passed or sample.level > 1


def _spoilt(arguments: dict[str, Any]) -> dict[str, Any]:
    name, value = list(arguments.items())[-1]
    return arguments | {name: value + 1 if isinstance(value, int) else f"{value}x"}


async def test_where_nothing_is_due_any_call_fails() -> None:
    idle = [sample for sample in drawn(300, levels=(2, 3, 4, 5)) if not sample.reference]
    assert 0.10 <= len(idle) / 300 <= 0.20
    looks = {
        "calendar": ReferenceCall(name="list_events", arguments={"day": "Monday"}),
        "inventory": ReferenceCall(name="list_items", arguments={}),
        "ledger": ReferenceCall(name="list_accounts", arguments={}),
        "tickets": ReferenceCall(name="list_tickets", arguments={"status": "open"}),
        "files": ReferenceCall(name="list_folders", arguments={}),
    }
    for sample in idle[:20]:
        assert not (await judged(sample, (looks[sample.world],))).passed


def test_samples_are_distinct_and_spread() -> None:
    samples = drawn(1000)
    assert len({sample.id for sample in samples}) == 1000
    for world in WORLDS:
        mine = [sample for sample in samples if sample.task == world]
        assert [sum(s.level == level for s in mine) for level in LEVELS] == [40] * 5
        assert len({s.family for s in drawn(300, levels=(1,)) if s.task == world}) >= 8


def test_a_larger_limit_extends_a_smaller_one_and_a_seed_gives_others() -> None:
    assert drawn(37) == drawn(90)[:37]
    assert not {s.id for s in drawn(50)} & {s.id for s in drawn(50, seed=1)}


def test_samples_are_the_same_in_another_process() -> None:
    code = (
        "from qbench.benchmarks.catalogue import load_suite\n"
        "for name in ('mcp', 'sums'):\n"
        "    s = load_suite(name)\n"
        "    print([x.id for x in s.samples(seed=5, tasks=s.tasks, levels=s.levels, limit=40)])\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_half_of_level_1_shares_no_word_with_the_tool_that_is_due() -> None:
    samples = drawn(300, levels=(1,))
    shared = sum(_overlaps(sample) for sample in samples) / len(samples)
    assert 0.35 <= shared <= 0.65


def _overlaps(sample: Sample) -> bool:
    """Whether a word of the tool's name stands in the request."""
    words = set(re.findall(r"[a-z]+", sample.prompt.lower()))
    return bool(words & set(sample.reference[0].name.split("_")))


def test_level_1_is_one_forced_call_with_a_worked_example_for_each_tool() -> None:
    for sample in drawn(100, levels=(1,)):
        assert (sample.tool_choice, sample.max_calls) == ("required", 1)
        assert 2 <= len(sample.tools) <= 4
        assert len(sample.reference) == 1
        shown = [call.name for message in sample.examples for call in message.tool_calls]
        assert sorted(shown) == sorted(sample.tools)


def test_states_are_equal_whatever_the_order_of_records() -> None:
    assert same({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 2}, {"x": 1}]})
    assert not same({"a": [1, 2]}, {"a": [2, 1]})


@pytest.mark.parametrize(
    ("wanted", "text", "right"),
    [
        ("42", "The answer is 42.", True),
        ("42", "40 + 2 = 42", True),
        ("42", "42 of 50", False),
        ("1200", "It is 1,200", True),
        ("-7", "-7", True),
        ("42", "", False),
        ("Monday", "It is on MONDAY.", True),
        ("Monday", "It is not Monday", False),
        ("Ana", "Anabel", False),
        ("waiting", "thinking\n\nwaiting", True),
        ("waiting", "waiting\nno, done", False),
    ],
)
def test_answers_are_read_from_the_last_line(wanted: str, text: str, right: bool) -> None:
    assert answered(wanted, text) is right


@pytest.mark.parametrize("name", sorted(SUITES))
def test_every_suite_says_what_it_is(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.license
    if name in SOURCES:
        pytest.skip(f"qbench suites get {name}")
    assert suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=15)


def test_an_unknown_suite_lists_close_names() -> None:
    with pytest.raises(NotFound, match="mcp"):
        load_suite("mpc")
