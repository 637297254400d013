"""Program, SandboxLimits, Outcome: what is run, what it may use, what came of it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Language = Literal["python", "javascript"]
Kind = Literal["namespaces", "bubblewrap", "none"]
"""What stands between a program and this machine; ``none`` only where the user asked for it."""
Status = Literal["ok", "exit", "timeout", "memory", "output", "processes"]
"""``ok``: exit code 0. ``exit``: another code, or a signal. The others: stopped at that limit."""

MIB = 1 << 20


class SandboxLimits(Struct, frozen=True, kw_only=True):
    """What one program may use; past any of these it is stopped."""

    cpu_s: float = 10.0
    """Processor seconds of all its processes."""
    wall_s: float = 15.0
    memory_bytes: int = 512 * MIB
    """Resident bytes of all its processes; also the address space of each (Python) or the
    writable part of it (JavaScript, whose runtime reserves gigabytes that it never touches)."""
    disk_bytes: int = 16 * MIB
    """Its folder in memory: all files together, and each."""
    output_bytes: int = MIB
    """Standard output and error together."""
    processes: int = 16
    """Processes and threads."""
    files: int = 64
    """Open at a time."""


class Program(Struct, frozen=True, kw_only=True):
    """Source text, run as the file ``main.py`` or ``main.mjs`` in an empty folder."""

    language: Language
    source: str
    stdin: str = ""
    files: dict[str, str] = {}
    """More files beside it: names without folders."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of one program."""

    status: Status
    exit_code: int = 0
    """Negative for a signal; that of the sandbox's kill when it was stopped."""
    stdout: str = ""
    stderr: str = ""
    """Both cut where together they reached the limit."""
    cpu_s: float = 0.0
    """User and system seconds, the interpreter's start included."""
    wall_s: float = 0.0
    """From the order to the end of the program: the sandbox's set-up included."""
    peak_bytes: int = 0
    """Most resident bytes seen: of the largest process, or sampled over all."""
    sandbox: Kind = "namespaces"
