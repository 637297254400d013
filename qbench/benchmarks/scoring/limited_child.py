"""The process behind ``Limited``: ``python -m … MODULE:FUNCTION SECONDS MEGABYTES``.

Reads a JSON value per line, calls the function and writes a JSON line. CPU time is limited by a
timer whose signal ends the process, wherever it is, long multiplications in C included; memory
by a limit on its address space. It ends when its input does, or its parent.
"""

from __future__ import annotations

import importlib
import logging
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

_LOOK_S = 20.0
"""How often an idle process looks whether its parent still lives."""


def serve(function: Callable[[Any], object], seconds: float) -> None:
    """Answer requests until the input ends."""
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    parent = os.getppid()
    _say(outgoing, {"ready": True})
    while _waits(incoming, parent):
        line = incoming.readline()
        if not line:
            return
        signal.setitimer(signal.ITIMER_PROF, seconds)
        reply = _reply(function, line)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(outgoing, reply)


def _reply(function: Callable[[Any], object], line: bytes) -> dict[str, Any]:
    try:
        return {"answer": function(msgspec.json.decode(line))}
    except MemoryError:
        return {"stopped": "It took too much memory."}
    except RecursionError:
        return {"stopped": "It is nested too deeply."}


def _waits(incoming: BinaryIO, parent: int) -> bool:
    """Wait for a request; False when the parent is gone."""
    while not select.select([incoming], [], [], _LOOK_S)[0]:
        if os.getppid() != parent:
            return False
    return True


def _say(outgoing: BinaryIO, reply: dict[str, Any]) -> None:
    outgoing.write(msgspec.json.encode(reply) + b"\n")
    outgoing.flush()


def main(place: str, seconds: str, megabytes: str) -> None:
    """Import the function, set the limits and serve."""
    logging.disable(logging.CRITICAL)
    module, _, name = place.partition(":")
    function = getattr(importlib.import_module(module), name)
    most = int(megabytes) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    serve(function, float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
