"""Runs a server so that it dies with whoever started it: ``python leash.py PARENT_PID COMMAND...``.

It is started as the leader of a new session and starts the command in its own process group.
When the parent is gone, killed or not, it ends the whole group. A pipe or ``PR_SET_PDEATHSIG``
would not reach the server's own children, and the latter exists on Linux only and is tied to a
thread. Standard library only: it runs with ``-I -S`` to start in milliseconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

LOOK_S = 0.1
GRACE_S = 3.0


def main(parent: int, command: list[str]) -> int:
    """Run ``command`` until it ends or ``parent`` is gone; return its exit status."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group's: the server gets it too
    try:
        server = subprocess.Popen(command, preexec_fn=_heed_sigterm)  # noqa: S603, PLW1509 - no threads
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    while server.poll() is None:
        if os.getppid() != parent:
            _end_group(server)
        time.sleep(LOOK_S)
    status = server.returncode
    return status if status >= 0 else 128 - status


def _heed_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_group(server: subprocess.Popen[bytes]) -> None:
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    os.killpg(0, signal.SIGKILL)  # this process too


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
