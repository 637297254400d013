"""The same walls by bubblewrap, where this user may not make namespaces but it may."""

from __future__ import annotations

import os

from qbench.benchmarks.sandbox.launcher import filter as calls
from qbench.benchmarks.sandbox.launcher.walls import HOME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qbench.benchmarks.sandbox.launcher.orders import Order

_STAGE = """
import os, resource, sys
limits, environment, command = eval(sys.argv[1])
for name, value in limits.items():
    resource.setrlimit(getattr(resource, name), (value, value))
os.execve(command[0], command, environment)
"""
"""Limits are set inside: outside they would count what else this user runs."""


def execute(order: Order, ends: Mapping[str, int]) -> None:
    """Become bubblewrap, which becomes the program's ancestor."""
    tool = order["bubblewrap"]
    for number, end in enumerate((_held(order["stdin"].encode()), ends["stdout"], ends["stderr"])):
        os.dup2(end, number)
    command = [tool, *_arguments(order), "--", *_staged(order)]
    os.execve(tool, command, {"PATH": "/usr/bin:/bin"})


def _held(content: bytes) -> int:
    """Return a file in memory that a child may inherit."""
    found = os.memfd_create("sandbox", 0)
    os.write(found, content)
    os.lseek(found, 0, os.SEEK_SET)
    return found


def _arguments(order: Order) -> Iterable[str]:
    yield from ("--unshare-all", "--die-with-parent", "--new-session", "--clearenv")
    yield from ("--uid", "65534", "--gid", "65534", "--cap-drop", "ALL")
    for path in ("/dev/null", "/dev/zero", "/dev/urandom"):
        yield from ("--dev-bind", path, path)
    for path in order["visible"]:
        yield from ("--ro-bind", path, path)
    for path in order["covered"]:
        yield from ("--tmpfs", path, "--remount-ro", path)
    yield from ("--size", str(order["bounds"]["disk_bytes"]), "--tmpfs", HOME, "--chdir", HOME)
    for name, text in order["files"].items():
        yield from ("--file", str(_held(text.encode())), f"{HOME}/{name}")
    yield from ("--remount-ro", "/")
    if calls.supported():
        yield from ("--seccomp", str(_held(calls.program())))


def _staged(order: Order) -> list[str]:
    """Return the command that sets limits inside and then becomes the program."""
    bounds = order["bounds"]
    memory = "RLIMIT_AS" if bounds["address_space"] else "RLIMIT_DATA"
    limits = {
        "RLIMIT_CPU": int(bounds["cpu_s"]) + 1,
        memory: bounds["memory_bytes"],
        "RLIMIT_FSIZE": bounds["disk_bytes"],
        "RLIMIT_NOFILE": bounds["files"],
        "RLIMIT_NPROC": bounds["processes"] + 3,
        "RLIMIT_CORE": 0,
    }
    told = repr((limits, order["environment"], order["command"]))
    return [order["stage"], "-S", "-P", "-c", _STAGE, told]
