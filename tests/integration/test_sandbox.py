"""Programs that try to get out of the sandbox, or to take more than they may."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qbench.benchmarks.sandbox.program import MIB, Language, Outcome, Program, SandboxLimits
from qbench.benchmarks.sandbox.running import run, trial

LIMITS = SandboxLimits(cpu_s=2.0, wall_s=4.0, memory_bytes=256 * MIB)
KINDS = {found.kind: found for found in asyncio.run(trial())}


@pytest.fixture(params=["namespaces", "bubblewrap"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run every test in each kind of sandbox that works here."""
    found = KINDS[request.param]
    if not found.works:
        pytest.skip(found.why)
    monkeypatch.setenv("QBENCH_SANDBOX", found.kind)
    return str(found.kind)


async def python(source: str, limits: SandboxLimits = LIMITS) -> Outcome:
    return await run(Program(language="python", source=source), limits)


async def node(source: str, limits: SandboxLimits = LIMITS) -> Outcome:
    return await run(Program(language="javascript", source=source), limits)


def others(mark: str) -> list[int]:
    """Return the processes of this machine whose command line holds ``mark``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            found += [int(entry.name)] if mark.encode() in told else []
    return found


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_a_program_runs_and_reads_its_input(language: Language, kind: str) -> None:
    sources = {
        "python": "print(sum(map(int, input().split())))",
        "javascript": "import fs from 'fs'; console.log(eval(fs.readFileSync(0, 'utf8')))",
    }
    stdin = {"python": "20 22", "javascript": "20 + 22"}[language]
    program = Program(language=language, source=sources[language], stdin=stdin)
    outcome = await run(program, LIMITS)
    assert (outcome.status, outcome.stdout, outcome.sandbox) == ("ok", "42\n", kind)
    assert 0 < outcome.cpu_s < 2
    assert outcome.peak_bytes > MIB


async def test_files_beside_the_program_are_there() -> None:
    program = Program(language="python", source="print(open('x.txt').read())", files={"x.txt": "é"})
    assert (await run(program, LIMITS)).stdout == "é\n"


async def test_an_exit_code_and_a_signal_are_told() -> None:
    assert (await python("raise SystemExit(3)")).exit_code == 3
    killed = await python("import os; os.kill(os.getpid(), 9)")
    assert killed.status == "exit"
    assert killed.exit_code in (-9, 137)


async def test_a_fork_bomb_is_bounded() -> None:
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    outcome = await python(bomb)
    assert outcome.status in ("timeout", "processes", "memory")
    assert outcome.wall_s < 8


async def test_files_outside_are_not_seen(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden")
    for path in ("/etc/passwd", str(secret), __file__, "/proc/1/environ", "/root/.bashrc", "/home"):
        outcome = await python(f"import os; os.stat({path!r})")
        assert "FileNotFoundError" in outcome.stderr, path


async def test_links_and_climbing_lead_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden")
    climbing = "../" * 12 + str(secret).lstrip("/")
    for path in (str(secret), climbing, "/.outside" + str(secret)):
        source = f"import os; os.symlink({path!r}, 'x'); print(open('x').read())"
        outcome = await python(source)
        assert "FileNotFoundError" in outcome.stderr
        assert "hidden" not in outcome.stdout


async def test_nothing_outside_its_folder_can_be_written() -> None:
    source = """
import os, sys, sysconfig
places = ["/", "/dev", "/etc", os.path.dirname(sys.executable), sysconfig.get_path("stdlib")]
for place in places:
    try:
        open(place + "/planted", "w")
        print("wrote", place)
    except OSError as error:
        print(type(error).__name__)
try:
    open(sys.executable, "r+b")
    print("opened")
except OSError as error:
    print(type(error).__name__)
"""
    outcome = await python(source)
    assert "wrote" not in outcome.stdout
    assert "opened" not in outcome.stdout
    assert outcome.stdout.count("Error") == 6


async def test_what_one_program_wrote_the_next_does_not_find() -> None:
    await python("open('/tmp/left', 'w').write('x')")
    assert (await python("import os; print(os.listdir('/tmp'))")).stdout == "['main.py']\n"
    assert not os.path.exists("/tmp/left")  # noqa: S108, PTH110, ASYNC240 - the machine's own


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


async def test_the_network_is_out_of_reach(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    source = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('in')"
    outcome = await python(source)
    assert "in\n" not in outcome.stdout
    source = f"import n from 'net'; n.connect({port}, '127.0.0.1', () => console.log('in'))"
    assert "in\n" not in (await node(source)).stdout
    with pytest.raises(BlockingIOError):
        listener.accept()


async def test_a_memory_hog_is_stopped() -> None:
    outcome = await python("x = []\nwhile True: x.append(bytearray(10_000_000))")
    assert outcome.status == "memory"
    assert outcome.peak_bytes < 300 * MIB


async def test_a_memory_hog_in_javascript_is_stopped() -> None:
    heap = await node("const x = []; while (true) x.push(new Array(1e6).fill(7))")
    assert heap.status == "memory"
    outside = await node("const x = []; while (true) x.push(Buffer.alloc(1e7, 7))")
    assert outside.status in ("memory", "exit")
    assert max(heap.peak_bytes, outside.peak_bytes) < 400 * MIB


async def test_memory_shared_among_many_processes_is_counted_together() -> None:
    source = """
import os, time
for _ in range(8):
    if not os.fork():
        x = bytearray(60_000_000)
        time.sleep(30)
time.sleep(30)
"""
    outcome = await python(source)
    assert outcome.status == "memory"
    assert outcome.wall_s < 3


async def test_memory_that_belongs_to_no_process_is_refused() -> None:
    outcome = await python("import os; os.memfd_create('x')")
    assert "PermissionError" in outcome.stderr


async def test_a_daemon_does_not_outlive_its_program() -> None:
    mark = f"left-{time.monotonic_ns()}"
    source = f"""
import os, sys, time
if not os.fork():
    os.setsid()
    if not os.fork():
        sleep = "import time; time.sleep(60)"
        os.execv(sys.executable, [sys.executable, "-S", "-c", sleep, "{mark}"])
    os._exit(0)
time.sleep(0.3)
print("done")
"""
    began = time.monotonic()
    outcome = await python(source)
    assert outcome.stdout == "done\n"
    assert time.monotonic() - began < 10
    assert not others(mark)


async def test_zombies_are_reaped() -> None:
    source = "import os, time\nfor _ in range(8):\n    os.fork() or os._exit(0)\ntime.sleep(.1)"
    assert (await python(source)).status == "ok"
    zombies = [child for child in _children(os.getpid()) if _state(child) == "Z"]
    assert not zombies


def _children(process: int) -> list[int]:
    return [
        int(child)
        for file in Path(f"/proc/{process}/task").glob("*/children")
        for child in file.read_text().split()
    ]


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_flood_of_output_is_cut() -> None:
    outcome = await python("import sys\nfor _ in range(1000): sys.stdout.write('x' * 1_000_000)")
    assert outcome.status == "output"
    assert len(outcome.stdout) == LIMITS.output_bytes


async def test_a_flood_of_errors_is_cut() -> None:
    outcome = await node("import fs from 'fs'; while (true) fs.writeSync(2, 'x'.repeat(1e5))")
    assert outcome.status == "output"
    assert len(outcome.stderr) <= LIMITS.output_bytes


async def test_an_endless_loop_is_stopped() -> None:
    outcome = await python("while True: pass")
    assert outcome.status == "timeout"
    assert outcome.cpu_s < 4
    assert (await node("while (true) {}")).status == "timeout"


async def test_an_endless_sleep_is_stopped() -> None:
    outcome = await python("import time; time.sleep(60)", SandboxLimits(wall_s=1.0))
    assert outcome.status == "timeout"
    assert outcome.wall_s < 2


async def test_its_folder_has_a_bounded_size() -> None:
    source = """
for number in range(100):
    with open(f"f{number}", "wb") as file:
        file.write(bytes(4_000_000))
"""
    outcome = await python(source)
    assert "No space left" in outcome.stderr


async def test_it_cannot_end_its_parent_or_others() -> None:
    source = """
import os, signal
for target in (os.getppid(), 1, -1):
    try:
        os.kill(target, signal.SIGKILL)
    except OSError as error:
        print(type(error).__name__)
print("alive")
"""
    outcome = await python(source)
    assert outcome.stdout.endswith("alive\n")


async def test_it_sees_no_environment_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    source = """
import os, glob
print(os.environ)
for path in glob.glob("/proc/*/environ"):
    print(open(path, "rb").read())
"""
    outcome = await python(source)
    assert outcome.status == "ok"
    assert "sk-hidden" not in outcome.stdout


async def test_it_cannot_make_namespaces_mount_or_trace() -> None:
    source = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.unshare(0x10000000), libc.mount(b"x", b"/tmp", b"tmpfs", 0, None))
print(libc.ptrace(16, 1, 0, 0), libc.chroot(b"/tmp"), libc.setuid(0))
"""
    assert (await python(source)).stdout == "-1 -1\n-1 -1 -1\n"


async def test_programs_wait_for_a_slot() -> None:
    began = time.monotonic()
    sleeps = (python("import time; time.sleep(0.4)") for _ in range(2 * (os.cpu_count() or 1)))
    outcomes = await asyncio.gather(*sleeps)
    assert all(outcome.status == "ok" for outcome in outcomes)
    assert time.monotonic() - began > 0.8


async def test_a_cancelled_program_is_ended() -> None:
    mark = f"cancelled-{time.monotonic_ns()}"
    source = (
        "import os, sys\n"
        "sleep = [sys.executable, '-Sc', 'import time; time.sleep(60)']\n"
        f"os.execv(sys.executable, [*sleep, '{mark}'])"
    )
    running = asyncio.create_task(python(source))
    while not others(mark):
        await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.2)
    assert not others(mark)


async def test_without_walls_limits_and_the_clean_environment_still_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    monkeypatch.setenv("QBENCH_SANDBOX", "neither")
    monkeypatch.setenv("QBENCH_UNSANDBOXED", "1")
    outcome = await python("import os; print(os.environ)\nwhile True: pass")
    assert (outcome.status, outcome.sandbox) == ("timeout", "none")
    assert "sk-hidden" not in outcome.stdout
    mark = f"open-{time.monotonic_ns()}"
    sleep = f"[sys.executable, '-Sc', 'import time; time.sleep(60)', '{mark}']"
    source = (
        f"import os, sys\nif not os.fork():\n    os.setsid()\n    os.execv(sys.executable, {sleep})"
    )
    assert (await python(f"{source}\nimport time; time.sleep(0.3)")).status == "ok"
    assert not others(mark)
