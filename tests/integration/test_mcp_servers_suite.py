"""The suite mcp-servers on the servers themselves: installed, filled, asked, read, confined."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qbench.benchmarks.data import origin_of
from qbench.benchmarks.servers import confined
from qbench.benchmarks.servers.process import Timeouts
from qbench.benchmarks.servers.seats import SeatPool
from qbench.benchmarks.suite import Environment
from qbench.benchmarks.suites.mcp_servers.suite import TASKS, McpServersSuite, job_of, place_of
from qbench.errors import ConfigError, ToolServerError
from tests.mcp_servers import installed_servers, said

SUITE = McpServersSuite()
LEVELS = (1, 2, 3, 4, 5)


@pytest.fixture(scope="session")
def servers() -> Path:
    return installed_servers()


@pytest.fixture(autouse=True)
def here(servers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_DATA", str(servers))


@pytest.fixture
async def environment() -> AsyncIterator[Environment]:
    async with SUITE.environment(slots=2) as made:
        yield made


def drawn(task: str, limit: int, *, levels: tuple[int, ...] = LEVELS, seed: int = 0) -> Any:
    return SUITE.samples(seed=seed, tasks=(task,), levels=levels, limit=limit)


async def test_what_was_installed_is_told_with_its_digest() -> None:
    origin = origin_of("mcp-servers")
    assert origin is not None
    assert "mcp-server-git 2026.10.19" in origin.source
    assert len(origin.sha256) == 64


@pytest.mark.parametrize("task", sorted(TASKS))
async def test_solutions_pass_and_blunders_fail_on_the_real_server(
    task: str, environment: Environment
) -> None:
    for sample in drawn(task, 15, seed=3):
        right = await said(environment, sample, SUITE.solution(sample))
        assert not [run for run in right.tool_runs if run.fault], sample.id
        verdict = SUITE.score(sample, right)
        assert verdict.passed, (sample.id, verdict.reason, right.end_state)
        wrong = await said(environment, sample, SUITE.blunder(sample))
        assert not SUITE.score(sample, wrong).passed, sample.id


def without_date(text: str) -> str:
    """Blank what a result says about the day it was asked on."""
    return re.sub(r'"(datetime": "\d{4}-\d\d-\d\d|day_of_week": "\w+)', "", text)


@pytest.mark.parametrize("task", sorted(TASKS))
async def test_worked_examples_show_what_the_server_really_says(
    task: str, environment: Environment
) -> None:
    sample = drawn(task, 1, levels=(1,))[0]
    for example in job_of(task).examples:
        ready = msgspec.structs.replace(
            sample, start_state=SHOWN.get(task, {}), tools=(example.call.name,)
        )
        call = SUITE.solution(msgspec.structs.replace(ready, reference=(example.call,)))
        heard = (await said(environment, ready, call)).tool_runs[0].result
        assert without_date(heard) == without_date(example.result)


SHOWN: dict[str, dict[str, Any]] = {
    "filesystem": {"folders": ["plans"], "files": {"plans/lunch.txt": "pear"}},
    "memory": {
        "entities": [
            {"name": "Zoe", "type": "person", "observations": []},
            {"name": "Quill", "type": "firm", "observations": []},
        ],
        "relations": [],
    },
    "sqlite": {
        "tables": {
            "items": {
                "columns": {"name": "TEXT", "price": "INTEGER", "stock": "INTEGER"},
                "rows": [{"name": "zipper", "price": 3, "stock": 1}],
            }
        }
    },
    "git": {
        "branches": {
            "main": {"from": "", "commits": [{"message": "Start", "files": {"a.md": "a"}}]},
            "older": {"from": "main", "commits": []},
        },
        "head": "main",
        "index": {},
        "work": {"plans.md": "lunch"},
    },
}


async def test_the_model_never_sees_where_the_folder_really_is(environment: Environment) -> None:
    sample = drawn("filesystem", 1, levels=(2,))[0]
    sample = msgspec.structs.replace(sample, tools=("read_text_file", "list_directory"))
    async with environment.open(sample) as tools:
        refused = await tools.call("read_text_file", {"path": "/etc/passwd"})
        listed = await tools.call("list_directory", {"path": "/data"})
    assert refused.is_error
    assert refused.text.endswith("/etc/passwd not in /data")
    assert "[DIR]" in listed.text


async def test_nothing_of_an_attempt_is_left_for_the_next_one(environment: Environment) -> None:
    sample = drawn("filesystem", 1, levels=(2,))[0]
    sample = msgspec.structs.replace(sample, tools=("write_file",))
    folders = []
    for _ in range(3):
        async with environment.open(sample) as tools:
            folders.append(tools._data)  # type: ignore[attr-defined]
            assert await tools.end_state() == sample.start_state
            await tools.call("write_file", {"path": "/data/new.txt", "content": "x"})
    assert len(set(folders)) == 1


async def test_equal_samples_read_the_same_in_any_seat(environment: Environment) -> None:
    sample = next(one for one in drawn("git", 12) if one.family == "git/in-the-way")
    calls = SUITE.solution(sample)

    async def results() -> list[str]:
        return [run.result for run in (await said(environment, sample, calls)).tool_runs]

    first, second = await asyncio.gather(results(), results())
    assert first == second == await results()


@pytest.mark.parametrize("task", ["memory", "sqlite"])
async def test_a_killed_server_costs_its_own_attempt_only(
    task: str, environment: Environment
) -> None:
    sample = next(one for one in drawn(task, 9, levels=(2,)) if one.reference)
    made = sample.reference[0]
    async with environment.open(sample) as tools:
        folder: Path = tools._data  # type: ignore[attr-defined]
        os.kill(tools._process.group, signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(ToolServerError):
            await tools.call(made.name, made.arguments)
    passed = SUITE.score(sample, await said(environment, sample, SUITE.solution(sample)))
    assert passed.passed
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not os.access(folder, os.F_OK):
            return
    pytest.fail("the folder of the killed server is still there")


async def test_a_hung_server_is_killed_at_once() -> None:
    sample = next(one for one in drawn("memory", 9, levels=(2,)) if one.reference)
    made = sample.reference[0]
    places = {"memory": place_of("memory")}
    async with SeatPool(1, places, timeouts=Timeouts(call=0.5)) as pool, pool.open(sample) as tools:
        group: int = tools._process.group  # type: ignore[attr-defined]
        os.kill(group, signal.SIGSTOP)
        with pytest.raises(ToolServerError, match=r"within 0\.5 s"):
            await tools.call(made.name, made.arguments)
        await asyncio.sleep(0.5)
        assert not alive(group)


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def test_slots_bound_the_servers_that_live_at_once() -> None:
    living: set[int] = set()
    async with SUITE.environment(slots=2) as environment:
        for task in ("memory", "everything", "filesystem", "memory"):
            async with environment.open(drawn(task, 1)[0]) as tools:
                living.add(tools._process.group)  # type: ignore[attr-defined]
                await asyncio.sleep(0.3)
                assert len([one for one in living if alive(one)]) <= 3  # one may still be ending
    assert not [one for one in living if alive(one)]


async def test_sql_reaches_no_other_database(environment: Environment, tmp_path: Path) -> None:
    sample = drawn("sqlite", 1, levels=(2,))[0]
    target = tmp_path / "stolen.db"
    async with environment.open(sample) as tools:
        for query in (f"ATTACH DATABASE '{target}' AS other", f"/* */ vacuum INTO '{target}'"):
            told = await tools.call("write_query", {"query": query})
            assert told.is_error
    assert not target.exists()


needs_landlock = pytest.mark.skipif(not confined.version(), reason="this kernel has no Landlock")


def run_confined(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [str(folder / "pid"), str(folder / "in"), "--", "/usr", "/lib", "/lib64", "/dev"]
    python = [sys.executable, "-I", "-c", code]
    readable = [sys.base_prefix, sys.prefix, "--", *python]
    launcher = [sys.executable, "-S", "-E", "-I", confined.__file__]
    return subprocess.run(
        [*launcher, *words, *readable], capture_output=True, text=True, check=False, timeout=30
    )


@needs_landlock
@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("open({out!r}, 'w')", "PermissionError"),
        ("open({secret!r})", "PermissionError"),
        ("import os; os.unlink({secret!r})", "PermissionError"),
        ("import os; os.rename({inside!r}, {out!r})", "PermissionError"),
        (
            "import os; os.symlink({secret!r}, {inside!r} + 'x'); open({inside!r} + 'x')",
            "Permission",
        ),
        (
            "import subprocess; subprocess.run(['/bin/cat', {secret!r}], check=True)",
            "CalledProcess",
        ),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "PermissionError"),
        ("open('/proc/1/environ')", "PermissionError"),
    ],
)
def test_a_confined_server_gets_nothing_outside_its_folder(
    tmp_path: Path, code: str, word: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("mine")
    (tmp_path / "secret").write_text("theirs")
    names = {"out": tmp_path / "out", "secret": tmp_path / "secret", "inside": tmp_path / "in/file"}
    done = run_confined(code.format(**{name: str(path) for name, path in names.items()}), tmp_path)
    assert done.returncode
    assert word in done.stderr
    assert "theirs" not in done.stdout
    assert not names["out"].exists()


@needs_landlock
def test_a_confined_server_works_inside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = run_confined(f"open({str(tmp_path / 'in' / 'new')!r}, 'w').write('ok')", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "in" / "new").read_text() == "ok"
    assert (tmp_path / "pid").read_text().isdigit()


async def test_servers_that_are_not_installed_say_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="qbench suites get mcp-servers"):
        async with SUITE.environment(slots=1):
            pass
