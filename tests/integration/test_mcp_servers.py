"""Real MCP servers over stdio: leased, reset, hung, killed, and gone in the end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters

from qbench.benchmarks.servers.process import Timeouts
from qbench.benchmarks.servers.tools import ServerPool, connect
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.suites.mcp import WORLDS, McpSuite
from qbench.errors import NotFound, ToolServerError

PLACES = {
    "notes": "tests.integration.notes_world:NOTES",
    "empty": "tests.integration.notes_world:EMPTY",
}
QUICK = Timeouts(connect=30.0, list=10.0, call=1.0, reset=10.0)


def sample(world: str = "notes", **more: Any) -> Sample:
    tools = {"notes": ("add_note", "list_notes", "hang", "crash"), "empty": ("add_note",)}
    start: dict[str, Any] = {"notes": {}} if world == "notes" else {}
    made = {"start_state": start} | more
    return Sample(
        id=f"{world}/1",
        suite="t",
        task=world,
        level=1,
        family="f",
        prompt="p",
        world=world,
        tools=tools[world],
        **made,
    )


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ServerPool]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    async with ServerPool(4, PLACES, timeouts=QUICK) as made:
        yield made


async def gone(group: int) -> bool:
    """Whether a process group ends within some seconds."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_host_is_reset_between_attempts_and_shared_by_worlds(pool: ServerPool) -> None:
    async with pool.open(sample()) as tools:
        assert [spec.name for spec in tools.specs] == ["add_note", "list_notes", "hang", "crash"]
        said = await tools.call("add_note", {"title": "milk"})
        assert said.text == "Noted milk."
        again = await tools.call("add_note", {"title": "milk"})
        assert again.is_error
        assert "already" in again.text
        assert await tools.end_state() == {"notes": {"milk": ""}}
    async with pool.open(sample()) as tools:
        assert await tools.end_state() == {"notes": {}}
    async with pool.open(sample("empty")) as tools:
        assert (await tools.call("add_note", {"note": 3})).text == "3"
        assert await tools.end_state() == {"sum": 3}


async def test_a_tool_that_is_not_offered_is_refused_without_asking(pool: ServerPool) -> None:
    async with pool.open(sample()) as tools:
        said = await tools.call("add_notes", {})
        assert said.is_error
        assert "add_note" in said.text
        assert not (await tools.call("world_reset", {})).text.isdigit()


@pytest.mark.parametrize("way", ["hang", "crash", "killed"])
async def test_a_server_that_fails_costs_its_own_attempt_only(pool: ServerPool, way: str) -> None:
    async with pool.open(sample()) as tools:
        group = tools._process.group  # type: ignore[attr-defined]
        if way == "killed":
            os.kill(group, signal.SIGKILL)
        with pytest.raises(ToolServerError):
            await tools.call("list_notes" if way == "killed" else way, {})
    assert await gone(group)
    async with pool.open(sample()) as tools:
        assert not (await tools.call("add_note", {"title": "after"})).is_error


async def test_a_cancelled_attempt_leaves_no_late_answer_behind(pool: ServerPool) -> None:
    async def hang() -> None:
        async with pool.open(sample()) as tools:
            await tools.call("hang", {})

    task = asyncio.create_task(hang())
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with pool.open(sample()) as tools:
        assert (await tools.call("add_note", {"title": "x"})).text == "Noted x."


async def test_leaving_the_pool_ends_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    groups: set[int] = set()
    async with ServerPool(3, PLACES, timeouts=QUICK) as made:

        async def use() -> None:
            async with made.open(sample()) as tools:
                groups.add(tools._process.group)  # type: ignore[attr-defined]
                await asyncio.sleep(0.2)

        await asyncio.gather(*(use() for _ in range(6)))
        launcher = made._launcher._process
    assert len(groups) == 3
    assert all([await gone(group) for group in groups])
    assert launcher is not None
    assert launcher.returncode is not None


async def test_a_world_that_cannot_be_imported_says_so() -> None:
    async with ServerPool(1, {"notes": "no.such:THING"}, timeouts=QUICK) as made:
        with pytest.raises(ToolServerError, match="did not start"):
            async with made.open(sample()):
                pass


async def test_sixteen_attempts_at_once_in_five_worlds() -> None:
    suite = McpSuite()
    drawn = suite.samples(seed=3, tasks=tuple(WORLDS), levels=(1, 2, 3, 4, 5), limit=25)
    async with suite.environment(slots=16) as environment:

        async def play(one: Sample) -> object:
            async with environment.open(one) as tools:
                for made in one.reference:
                    assert not (await tools.call(made.name, made.arguments)).is_error
                return await tools.end_state()

        ends = await asyncio.gather(*(play(one) for one in drawn))
    assert ends == [one.end_state for one in drawn]


async def test_any_stdio_server_can_be_connected(tmp_path: Path) -> None:
    file = tmp_path / "server.py"
    file.write_text(
        "from mcp.server import MCPServer\nserver = MCPServer('s')\n\n\n@server.tool()\n"
        "def double(n: int) -> int:\n    '''Double it.'''\n    return 2 * n\n\n\nserver.run()\n"
    )
    params = StdioServerParameters(command=sys.executable, args=[str(file)])
    async with connect(params) as tools:
        assert (await tools.call("double", {"n": 21})).text == "42"
        assert await tools.end_state() is None
    with pytest.raises(NotFound, match="double"):
        async with connect(params, ("triple",)):
            pass


@pytest.mark.parametrize(
    "body", ["import time\ntime.sleep(60)", "print('no protocol', flush=True)"]
)
async def test_a_server_that_never_shakes_hands_is_given_up(tmp_path: Path, body: str) -> None:
    file = tmp_path / "server.py"
    file.write_text(body)
    params = StdioServerParameters(command=sys.executable, args=[str(file)])
    with pytest.raises(ToolServerError, match="did not start"):
        async with connect(params, timeouts=Timeouts(connect=1.5)):
            pass
