"""From a fork of the launcher to the tested program: namespaces, walls, limits, execution."""

from __future__ import annotations

import marshal
import os
import resource

from qbench.benchmarks.sandbox.launcher import bubblewrap, kernel, walls
from qbench.benchmarks.sandbox.launcher import filter as calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from qbench.benchmarks.sandbox.launcher.orders import Bounds, Ending, Order

BUILDERS = 3
"""Processes of the sandbox's own that count against the limit inside."""
_UNTOLD = 126
"""Exit code when even the reason cannot be told: the command could not be executed."""


def enter(order: Order, ends: Mapping[str, int], ready: int, go: int) -> NoReturn:
    """Become the program's ancestor inside the sandbox. Never returns.

    ``ends`` are the pipes to write to: stdout, stderr, report. A byte on ``ready`` asks for the
    users to be mapped; a byte on ``go`` says that they are.
    """
    try:
        kernel.die_with_parent()
        if order["kind"] == "namespaces":
            kernel.unshare(kernel.ALL_NEW)
        os.write(ready, b"r")
        os.read(go, 1)
        if order["kind"] == "namespaces":
            _inside(order, ends)
        elif order["kind"] == "bubblewrap":
            bubblewrap.execute(order, ends)
        else:
            _in_the_open(order, ends)
    except BaseException as error:  # noqa: BLE001 - told through the pipe: this is a fork
        _tell(ends["report"], str(error) or repr(error))
    os._exit(_UNTOLD)


def _tell(end: int, why: str) -> None:
    try:
        os.write(end, marshal.dumps({"refused": why}))
    except OSError:
        os._exit(_UNTOLD)


def _inside(order: Order, ends: Mapping[str, int]) -> None:
    """Fork the first process of the new namespace and wait for it."""
    first = os.fork()
    if first:
        for end in ends.values():
            os.close(end)
        os.waitpid(first, 0)
        os._exit(0)
    kernel.die_with_parent()
    walls.build(order)
    walls.become_nobody()
    _write_files(order["files"])
    program = os.fork()
    if not program:
        _execute(order, ends, restricted=True)
    os.close(ends["stdout"])
    os.close(ends["stderr"])
    ending = _until_ended(program)
    os.write(ends["report"], marshal.dumps(dict(ending)))
    os._exit(0)


def _until_ended(program: int) -> Ending:
    """Reap whatever ends inside until the program does."""
    while True:
        process, status, used = os.wait4(-1, 0)
        if process == program:
            code = os.waitstatus_to_exitcode(status)
            total = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = total.ru_utime + total.ru_stime
            return {"code": code, "cpu_s": cpu_s, "peak_bytes": used.ru_maxrss * 1024}


def _in_the_open(order: Order, ends: Mapping[str, int]) -> None:
    """Run without walls: limits only, in the folder that the launcher was started in."""
    _write_files(order["files"])
    _execute(order, ends, restricted=False)


def _execute(order: Order, ends: Mapping[str, int], *, restricted: bool) -> None:
    """Become the program."""
    os.setsid()
    source = _stdin(order["stdin"])
    for number, end in enumerate((source, ends["stdout"], ends["stderr"])):
        os.dup2(end, number)
    os.closerange(3, 1 << 16)
    bound(order["bounds"], processes=restricted)
    if restricted and calls.supported():
        kernel.install_filter(calls.program())
    command = order["command"]
    os.execve(command[0], command, order["environment"])


def _write_files(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)


def _stdin(text: str) -> int:
    """Return an open file that holds ``text`` and has no name any more."""
    name = ".stdin"
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
    found = os.open(name, os.O_RDONLY)
    os.unlink(name)
    return found


def bound(bounds: Bounds, *, processes: bool) -> None:
    """Set the kernel's limits for this process and its children."""
    seconds = int(bounds["cpu_s"]) + 1
    memory = "RLIMIT_AS" if bounds["address_space"] else "RLIMIT_DATA"
    told = {
        "RLIMIT_CPU": (seconds, seconds + 1),
        memory: (bounds["memory_bytes"], bounds["memory_bytes"]),
        "RLIMIT_FSIZE": (bounds["disk_bytes"], bounds["disk_bytes"]),
        "RLIMIT_NOFILE": (bounds["files"], bounds["files"]),
        "RLIMIT_CORE": (0, 0),
    }
    if processes:
        number = bounds["processes"] + BUILDERS
        told["RLIMIT_NPROC"] = (number, number)
    for name, pair in told.items():
        resource.setrlimit(getattr(resource, name), pair)
