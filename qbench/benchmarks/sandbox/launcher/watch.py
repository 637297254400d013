"""Watching a tree of processes from outside: its memory, its processor time, its number."""

from __future__ import annotations

import os

from qbench.benchmarks.sandbox.launcher import kernel

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_BUILDERS = 2
"""The outermost processes are the sandbox's own."""


class Tree:
    """The processes below ``root``, looked at again and again."""

    def __init__(self, root: int, *, sandboxed: bool) -> None:
        self._root, self._builders = root, _BUILDERS if sandboxed else 0
        self.cpu_s = 0.0
        self.memory_bytes = 0
        self.peak_bytes = 0
        self.processes = 0

    def look(self) -> None:
        """Read all again. Times of processes that ended unwaited for are not in the sum."""
        found = self.members()
        self.processes = len(found)
        self.memory_bytes = sum(map(_memory, found))
        self.peak_bytes = max(self.peak_bytes, self.memory_bytes)
        self.cpu_s = max(self.cpu_s, sum(map(_cpu, found)))

    def members(self) -> list[int]:
        """Return the tested program's processes, without the sandbox's own."""
        front, depth, found = [self._root], 0, list[int]()
        while front:
            found += front if depth >= self._builders else []
            front = [child for one in front for child in kernel.children(one)]
            depth += 1
        return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _memory(process: int) -> int:
    fields = _read(f"/proc/{process}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def _cpu(process: int) -> float:
    """Return user and system seconds, of waited children too."""
    fields = _read(f"/proc/{process}/stat").rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0
