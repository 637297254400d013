r"""Running a program that somebody else wrote, inside walls.

    outcome = await run(Program(language="python", source="print(6 * 7)"))
    outcome.status, outcome.stdout        # "ok", "42\n"

The program sees an interpreter, its standard library and one empty folder, all in namespaces of
its own without a network; it is stopped at the limits of ``SandboxLimits``, and nothing that it
started outlives it. See docs/sandbox.md.
"""

from __future__ import annotations

import asyncio
import marshal
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

import qbench
from qbench.benchmarks.sandbox import kinds, view
from qbench.benchmarks.sandbox.program import Kind, Outcome, Program, SandboxLimits, Status
from qbench.errors import ConfigError, ToolServerError

_ROOT = str(Path(qbench.__file__).parent.parent)
_LAUNCH = (
    f"import sys; sys.path.append({_ROOT!r}); "
    "from qbench.benchmarks.sandbox.launcher.launch import main; main()"
)
_GRACE_S = 20.0
"""What the launcher may take beyond the program's own time."""
_OUT_OF_MEMORY = ("MemoryError", "heap out of memory", "std::bad_alloc", "Cannot allocate memory")
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - the program's own
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
}


class _Ending(Struct, frozen=True):
    code: int
    cpu_s: float
    peak_bytes: int


class _Answer(Struct, frozen=True):
    refused: str
    stopped: str
    ending: _Ending
    stdout: str
    stderr: str
    wall_s: float


class _Slots:
    """How many programs run at a time, over all event loops one after another."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._semaphore = asyncio.Semaphore(1)

    def get(self) -> asyncio.Semaphore:
        """Return the semaphore of the running loop: as many slots as processors."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._semaphore = loop, asyncio.Semaphore(os.cpu_count() or 1)
        return self._semaphore


_slots = _Slots()
_tried: dict[Kind, kinds.Found] = {}


async def run(program: Program, limits: SandboxLimits | None = None) -> Outcome:
    """Run ``program`` to its end, or to the first limit it reaches.

    Waits for one of as many slots as this machine has processors.

    Raises:
        ConfigError: no sandbox works here, or the language's interpreter is not installed.
        ToolServerError: the sandbox itself failed; the program is not to blame.

    """
    kind = await sandbox_kind()
    async with _slots.get():
        return await _run(program, limits or SandboxLimits(), kind)


async def sandbox_kind(environ: Mapping[str, str] | None = None) -> Kind:
    """Return the sandbox that programs run in. Raises ConfigError when there is none."""
    return kinds.choose(await trial(), os.environ if environ is None else environ)


async def trial() -> Collection[kinds.Found]:
    """Try each kind of sandbox once per process, by a program that ends at once."""
    for kind in ("namespaces", "bubblewrap"):
        if kind not in _tried:
            _tried[kind] = await _try(kind)
    return tuple(_tried.values())


async def _try(kind: Kind) -> kinds.Found:
    why = kinds.precluded().get(kind, "")
    if why:
        return kinds.Found(kind=kind, works=False, why=why)
    program = Program(language="python", source="print(6 * 7)")
    try:
        outcome = await _run(program, SandboxLimits(), kind)
    except (ConfigError, ToolServerError) as error:
        return kinds.Found(kind=kind, works=False, why=error.what)
    said = outcome.stderr.strip() or f"exit code {outcome.exit_code}"
    works = outcome.stdout == "42\n"
    return kinds.Found(kind=kind, works=works, why="" if works else said)


async def _run(program: Program, limits: SandboxLimits, kind: Kind) -> Outcome:
    order = marshal.dumps(_order(program, limits, kind))
    with tempfile.TemporaryDirectory(prefix="qbench-run-") as folder:
        answer = await _launched(order, folder, limits.wall_s + _GRACE_S)
    if answer.refused:
        raise ToolServerError(
            f"The sandbox ({kind}) could not be built: {answer.refused}.",
            hint="qbench doctor says which sandboxes work here.",
        )
    return Outcome(
        status=_status(answer, limits),
        exit_code=answer.ending.code,
        stdout=answer.stdout,
        stderr=answer.stderr,
        cpu_s=answer.ending.cpu_s,
        wall_s=answer.wall_s,
        peak_bytes=answer.ending.peak_bytes,
        sandbox=kind,
    )


def _order(program: Program, limits: SandboxLimits, kind: Kind) -> dict[str, Any]:
    seen = [view.view_of(program.language)]
    if kind == "bubblewrap":
        seen.append(view.python_view())
    python = program.language == "python"
    bounds = msgspec.to_builtins(limits) | {"address_space": python}
    return {
        "kind": kind,
        "bubblewrap": shutil.which("bwrap") or "",
        "stage": view.python_view().executable,
        "command": view.command(program.language, limits),
        "environment": _ENVIRONMENT,
        "files": program.files | {view.main_file(program.language): program.source},
        "stdin": program.stdin,
        "visible": sorted({path for one in seen for path in one.visible}),
        "covered": sorted({path for one in seen for path in one.covered}),
        "bounds": bounds,
    }


async def _launched(order: bytes, folder: str, seconds: float) -> _Answer:
    """Start the launcher with nothing of this process's environment; kill it if it hangs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-S", "-P", "-s", "-c", _LAUNCH),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={"PATH": os.environ.get("PATH", "")},
        start_new_session=True,
        limit=1 << 24,
    )
    try:
        async with asyncio.timeout(seconds):
            told, _ = await process.communicate(order)
        return msgspec.convert(marshal.loads(told), _Answer)  # noqa: S302 - our own process
    except (TimeoutError, ValueError, EOFError, TypeError, OSError) as error:
        why = f"the launcher did not answer ({error!r})"
        return _Answer(why, "", _Ending(0, 0.0, 0), "", "", 0.0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _status(answer: _Answer, limits: SandboxLimits) -> Status:
    """Say how a program ended: what stopped it, else what its code and last words tell."""
    if answer.stopped:
        return msgspec.convert(answer.stopped, Status)  # type: ignore[no-any-return]
    code = answer.ending.code
    if code == 0:
        return "ok"
    if code in (-signal.SIGXCPU, 128 + signal.SIGXCPU) or answer.ending.cpu_s > limits.cpu_s:
        return "timeout"
    if any(words in answer.stderr[-4000:] for words in _OUT_OF_MEMORY):
        return "memory"
    return "exit"
