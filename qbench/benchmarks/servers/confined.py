"""Runs a server that can write one folder and read little else: a launcher.

Run as ``python -S -E -I confined.py PID_FILE WRITABLE... -- READABLE... -- COMMAND...``: standard
library only, so that it starts in a few milliseconds. It notes its process id, takes the
kernel's Landlock rules upon itself and becomes the command, which cannot shed them: files
outside are neither read nor written, and no TCP connection is made. Where the kernel knows no
Landlock (before Linux 5.13, other systems) the command runs as it is.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from itertools import groupby
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same numbers on every architecture
_NO_NEW_PRIVILEGES = 38
_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH
_READ = 0b1101  # execute, read a file, read a folder
_FILE_ONLY = 0b100_0000_0000_0111  # execute, write, read, truncate: what a rule on a file may say
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1}  # by version of Landlock; from 3 on truncate too
_TCP = 0b11  # bind and connect


def version() -> int:
    """Return the version of Landlock that the kernel speaks; 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_system_call(_CREATE, None, 0, 1)))


def _system_call(number: int, *arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))


def confine(writable: list[str], readable: list[str]) -> None:
    """Give up everything but the folders named. Raises OSError."""
    spoken = version()
    if not spoken:
        return
    files = _HANDLED.get(spoken, (1 << 15) - 1)
    rules = struct.pack("QQ", files, _TCP if spoken >= 4 else 0)
    ruleset = _checked(_system_call(_CREATE, rules, len(rules) if spoken >= 4 else 8, 0))
    for path in writable:
        _allow(ruleset, path, files)
    for path in readable:
        _allow(ruleset, path, _READ)
    _allow(ruleset, "/dev/null", files & _FILE_ONLY)
    _checked(ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(_system_call(_RESTRICT, ruleset, 0))


def _allow(ruleset: int, path: str, access: int) -> None:
    if not Path(path).exists():
        return
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not Path(path).is_dir():
        access &= _FILE_ONLY
    rule = struct.pack("=Qi", access, beneath)
    _checked(_system_call(_ADD, ruleset, _BENEATH, rule, 0))
    os.close(beneath)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def main() -> None:
    """Note the process id, confine this process, become the command."""
    parts = groupby(sys.argv[1:], lambda word: word == "--")
    (pid_file, *writable), readable, *commands = [list(group) for dash, group in parts if not dash]
    command = [word for part in commands for word in (*part, "--")][:-1]
    Path(pid_file).write_text(str(os.getpid()))
    confine(writable, readable)
    os.execvp(command[0], command)  # noqa: S606 - this is what a launcher does


if __name__ == "__main__":
    main()
