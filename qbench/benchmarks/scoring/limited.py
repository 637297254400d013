"""A function called in a process of its own, under limits of CPU time and memory.

Some checks run other people's symbolic algebra over whatever a model wrote, and a short text can
keep that busy for hours. A thread cannot be stopped, and alarm signals work in the main thread
alone; a process can be killed. One process serves all calls of a kind, one at a time, and is
started again when it had to be killed.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import threading
import time
from typing import Any, cast

import msgspec

_CHILD = "qbench.benchmarks.scoring.limited_child"
_WALL = 6.0
"""Wall seconds allowed for each second of CPU: other work may take turns."""


class Stopped(Exception):
    """The function was stopped at a limit, or its process died: the message says which."""


class Limited:
    """Calls of one function of one JSON value, in a process of its own.

    ``place`` is ``module:function``; its package is imported there, never here. Safe from any
    thread, inside a running event loop (which it holds up while the check runs: milliseconds,
    ``seconds`` at worst) and after a fork, where a new process is started.
    """

    def __init__(self, place: str, *, seconds: float = 5.0, megabytes: int = 2048) -> None:
        self._place = place
        self._seconds = seconds
        self._megabytes = megabytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def __call__(self, request: object) -> Any:
        """Return what the function answers.

        Raises:
            Stopped: a limit of time or memory was hit, or the process died.

        """
        with self._lock:
            reply = self._ask(msgspec.json.encode(request) + b"\n")
        if "stopped" in reply:
            raise Stopped(reply["stopped"])
        return reply["answer"]

    def close(self) -> None:
        """End the process, if this one started it."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _ask(self, line: bytes) -> dict[str, Any]:
        process = self._started()
        try:
            _write(_fd(process.stdin), line)
            return cast("dict[str, Any]", msgspec.json.decode(self._read(process)))
        except (OSError, EOFError):
            self.close()
            return {"stopped": f"It took more than {self._seconds:g} s of CPU, or crashed."}

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.close()
            limits = (str(self._seconds), str(self._megabytes))
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", _CHILD, self._place, *limits],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the run, which closes this
            )
            self._owner = os.getpid()
            atexit.register(self.close)
            self._read(self._process)  # it has imported what it needs
        return self._process

    def _read(self, process: subprocess.Popen[bytes]) -> bytes:
        """Read a line. Raises EOFError when the process ended or hangs past its wall time."""
        deadline = time.monotonic() + 60 + self._seconds * _WALL
        held = b""
        while not held.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([_fd(process.stdout)], [], [], left)
            got = os.read(_fd(process.stdout), 65536) if ready else b""
            if not got:
                raise EOFError
            held += got
        return held


def _fd(pipe: Any) -> int:
    return int(pipe.fileno())


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
