"""The samples of mcp-servers: distinct, reproducible, and right on every day of the year."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from qbench.benchmarks.scoring.check import answered, same
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.suites.mcp_servers.getting import PINS, SERVERS, get
from qbench.benchmarks.suites.mcp_servers.suite import TASKS, McpServersSuite, job_of
from qbench.benchmarks.suites.mcp_servers.tables import affinity
from qbench.benchmarks.suites.mcp_servers.zones import UNKNOWN, ZONES
from qbench.errors import ConfigError

SUITE = McpServersSuite()
LEVELS = (1, 2, 3, 4, 5)


def drawn(limit: int, *, levels: tuple[int, ...] = LEVELS, seed: int = 0) -> tuple[Sample, ...]:
    return SUITE.samples(seed=seed, tasks=SUITE.tasks, levels=levels, limit=limit)


def test_samples_are_distinct_spread_and_extend_smaller_draws() -> None:
    samples = drawn(600)
    assert len({sample.id for sample in samples}) == 600
    assert {(s.task, s.level) for s in samples} == {(t, n) for t in TASKS for n in LEVELS}
    assert samples[:90] == drawn(90)
    assert not {s.id for s in drawn(90)} & {s.id for s in drawn(90, seed=1)}


def test_level_one_forces_one_call_and_shows_an_example_for_each_tool() -> None:
    for sample in drawn(60, levels=(1,)):
        assert (sample.tool_choice, sample.max_calls) == ("required", 1)
        assert len(sample.reference) == 1
        assert sample.reference[0].name in sample.tools
        shown = {call.name for message in sample.examples for call in message.tool_calls}
        assert shown & set(sample.tools)


def test_some_samples_above_level_one_want_no_call() -> None:
    samples = drawn(800, levels=(2, 3, 4, 5))
    idle = [sample for sample in samples if not sample.reference]
    assert 0.10 <= len(idle) / len(samples) <= 0.20
    assert all(sample.answer for sample in idle)


@pytest.mark.parametrize("task", ["filesystem", "memory", "sqlite", "git"])
def test_a_task_with_state_is_judged_by_it_and_its_solution_uses_offered_tools(task: str) -> None:
    job = job_of(task)
    for sample in SUITE.samples(seed=4, tasks=(task,), levels=LEVELS, limit=60):
        assert sample.end_state is not None
        assert {made.name for made in sample.reference} <= set(sample.tools)
        if sample.answer is None:
            assert not same(sample.end_state, job.settled(sample.start_state))


def test_blunders_begin_otherwise_and_never_say_the_right_answer() -> None:
    for sample in drawn(300):
        assert SUITE.blunder(sample)[0] != SUITE.solution(sample)[0]
        if sample.answer is not None and sample.reference:
            assert not answered(sample.answer, SUITE.blunder(sample)[-1].content), sample.id


def test_the_zones_keep_their_offset_all_year() -> None:
    start = datetime.now(UTC).replace(month=1, day=1)
    for zone, minutes in ZONES.items():
        for day in range(0, 400, 10):
            offset = (start + timedelta(days=day)).astimezone(ZoneInfo(zone)).utcoffset()
            assert offset == timedelta(minutes=minutes), zone
    assert not set(UNKNOWN) & available_timezones()
    assert set(UNKNOWN.values()) <= set(ZONES)


def test_the_pins_name_the_versions_that_are_told() -> None:
    lock = json.loads((PINS / "npm" / "package-lock.json").read_text())["packages"]
    pinned = (PINS / "python.txt").read_text() + (PINS / "sqlite.txt").read_text()
    for name, version in SERVERS.items():
        if name.startswith("@"):
            assert lock[f"node_modules/{name}"]["version"] == version
        else:
            assert f"{name}=={version}" in pinned
    assert all("integrity" in one for name, one in lock.items() if name)


def test_a_source_of_ones_own_is_refused(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match="--from"):
        get(tmp_path, "/some/file", print)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("declared", "meant"),
    [
        ("VARCHAR(20)", "TEXT"),
        ("BIGINT", "INTEGER"),
        ("", "BLOB"),
        ("DOUBLE", "REAL"),
        ("DATE", "NUMERIC"),
    ],
)
def test_column_types_count_by_their_affinity(declared: str, meant: str) -> None:
    assert affinity(declared) == meant
