"""Runs a maker: its progress is told on, its failure becomes an error, it never outlives us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from qbench.errors import QuantizationFailed
from qbench.workers.engines import leash
from qbench.workers.quantize.identity import Progress
from qbench.workers.quantize.jobs import Told
from qbench.workers.quantize.locks import LOOK_S, stopped

ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    "HF_HUB_OFFLINE": "1",  # the source is a folder: nothing need be asked for
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS may add in another order each time
}
TAIL_BYTES = 8000


def run_maker(
    command: Sequence[str],
    progress: Progress,
    stop: threading.Event | None = None,
    *,
    failure: str = "The checkpoint could not be made",
) -> dict[str, float | None]:
    """Run a maker to its end and return the errors of layers that it told (``Told.errors``).

    ``failure``: what to say before the reason.

    It runs behind a leash, in a session of its own: when this process is killed, so is it.

    Raises:
        QuantizationFailed: with the last line it wrote; or ``stop`` was set.

    """
    stop = stop or threading.Event()
    errors: dict[str, float | None] = {}
    leashed = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command]
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(  # noqa: S603 - our own programs
            leashed,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        threading.Thread(target=_heed, args=(running, stop), daemon=True).start()
        try:
            assert running.stdout is not None
            for line in running.stdout:
                told = _read(line)
                if told is None:
                    continue
                errors = told.errors or errors
                if told.of:
                    progress(told.step, told.of, told.what)
            status = running.wait()
        finally:
            _end(running)
        if stop.is_set():
            raise stopped()
        if status:
            raise _failed(status, _last_line(said.fileno()), Path(command[0]).name, failure)
    return errors


def _heed(running: subprocess.Popen[bytes], stop: threading.Event) -> None:
    """End a maker when ``stop`` is set."""
    while running.returncode is None:
        if stop.wait(LOOK_S):
            _kill(running)
            return


def _kill(running: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def _read(line: bytes) -> Told | None:
    """Read a line of progress; libraries that print to stdout are not heard."""
    try:
        return msgspec.json.decode(line, type=Told)
    except msgspec.MsgspecError:
        return None


def _end(running: subprocess.Popen[bytes]) -> None:
    """End a maker that still runs, with all its children."""
    if running.poll() is None:
        _kill(running)
    running.wait()
    if running.stdout:
        running.stdout.close()


def _last_line(said: int) -> str:
    size = os.fstat(said).st_size
    tail = os.pread(said, TAIL_BYTES, max(0, size - TAIL_BYTES)).decode(errors="replace")
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _failed(status: int, reason: str, program: str, failure: str) -> QuantizationFailed:
    if status == 128 + signal.SIGKILL:
        reason = f"{program} was killed, probably for want of memory."
    return QuantizationFailed(
        f"{failure}: {reason or f'{program} ended with {status}'}",
        hint="Nothing was left behind. Fewer --samples or a smaller --length need less memory.",
    )
