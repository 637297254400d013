from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from qbench.errors import EngineStartError, EngineUnavailable
from qbench.workers.engines.process import ServerCommand, free_port, group_members, running

SERVER = """
import http.server, os, signal, subprocess, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        if self.path == "/die": os._exit(7)
    def log_message(self, *args): pass
if "--stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--child" in sys.argv: subprocess.Popen(["sleep", "1000"])
print("serving", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""


def command(*flags: str, **settings: object) -> ServerCommand:
    port = free_port()
    argv = (sys.executable, "-c", SERVER, str(port), *flags)
    root = f"http://127.0.0.1:{port}"
    given: dict[str, object] = {"name": "toy", "argv": argv, "root_url": root, **settings}
    return ServerCommand(**given)  # type: ignore[arg-type]  # settings vary by test


def kill_server(group: int) -> None:
    """Kill the server itself, not the leash that leads its group."""
    for pid in group_members(group):
        if pid != group:
            os.kill(pid, signal.SIGKILL)


async def test_a_server_is_up_inside_and_gone_with_its_children_outside() -> None:
    async with running(command("--child"), say=print) as server:
        group = server.group
        assert len(group_members(group)) == 3  # leash, server, child
        assert server.tail() == ["serving"]
        assert server.load_s > 0
        log = server.log
    assert group_members(group) == []
    assert not log.exists()


async def test_a_server_that_ignores_sigterm_is_killed() -> None:
    async with running(command("--stubborn", stop_s=0.2), say=print) as server:
        group = server.group
    assert group_members(group) == []


async def test_a_command_that_dies_fails_at_once_with_command_status_and_output(
    tmp_path: Path,
) -> None:
    argv = (sys.executable, "-c", "print('no such model'); raise SystemExit(3)")
    broken = ServerCommand(
        name="toy", argv=argv, root_url="http://127.0.0.1:9", start_s=60, log=tmp_path / "log"
    )
    with pytest.raises(EngineStartError, match=r"exit code 3") as caught:
        async with running(broken, say=print):
            pass
    assert "no such model" in caught.value.what
    assert broken.line in caught.value.what


async def test_a_missing_executable_is_named(tmp_path: Path) -> None:
    missing = ServerCommand(
        name="toy", argv=("/nowhere/serve",), root_url="http://127.0.0.1:9", log=tmp_path / "log"
    )
    with pytest.raises(EngineStartError, match="No such file"):
        async with running(missing, say=print):
            pass


async def test_a_server_that_never_gets_healthy_is_given_up_and_reaped(tmp_path: Path) -> None:
    sleepy = ServerCommand(
        name="toy",
        argv=("sleep", "1000"),
        root_url=f"http://127.0.0.1:{free_port()}",
        start_s=0.2,
        log=tmp_path / "log",
    )
    with pytest.raises(EngineStartError, match=r"not healthy after 0\.2 s"):
        async with running(sleepy, say=print):
            pass


async def test_a_server_that_dies_is_started_again_and_ready_waits_for_it(tmp_path: Path) -> None:
    said: list[str] = []
    died = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        died.set()

    async with running(command(restarts=1, log=tmp_path / "log"), say=say) as server:
        first = server.group
        kill_server(first)
        await died.wait()
        await server.ready()
        assert server.group != first
        assert server.restarted == 1
    assert "killed by SIGKILL" in said[0]


async def test_without_restarts_left_ready_says_that_the_server_died(tmp_path: Path) -> None:
    died = asyncio.Event()
    async with running(command(log=tmp_path / "log"), say=lambda _: died.set()) as server:
        kill_server(server.group)
        await died.wait()
        with pytest.raises(EngineUnavailable, match="killed by SIGKILL") as caught:
            await server.ready()
    assert "serving" in caught.value.what


PARENT = """
import asyncio, sys
from qbench.workers.engines.process import ServerCommand, running
async def main():
    port = int(sys.argv[1])
    argv = (sys.executable, "-c", sys.argv[2], str(port), "--child")
    command = ServerCommand(name="toy", argv=argv, root_url=f"http://127.0.0.1:{port}")
    async with running(command, say=print) as server:
        print(server.group, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_kill_9_of_the_parent_leaves_nothing_behind(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(PARENT),
        str(free_port()),
        SERVER,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())},
    )
    assert parent.stdout is not None
    group = int(await parent.stdout.readline())
    assert len(group_members(group)) == 3
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(20):
        while group_members(group):
            await asyncio.sleep(0.02)
