"""The process between qbench and a program: builds the sandbox, watches, and tells the end.

``python -S -c "...main()"`` with an order on stdin, an answer on stdout, both marshalled by the
same interpreter (importing json would take longer than all the rest). It ends everything it
started before it answers; when it is killed itself, the kernel ends the rest.

    this process (outside, watches)
      └─ builder: leaves the namespaces
           └─ first process inside: builds the walls, reaps orphans; its end kills all inside
                └─ the program
"""

from __future__ import annotations

import marshal
import os
import resource
import select
import sys
import time

from qbench.benchmarks.sandbox.launcher import entering, kernel, walls
from qbench.benchmarks.sandbox.launcher.watch import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qbench.benchmarks.sandbox.launcher.orders import Answer, Ending, Order

_LOOK_S = 0.01
_CHUNK = 1 << 16
_KILL = 9


def main() -> None:
    """Run one order."""
    order: Order = marshal.load(sys.stdin.buffer)  # noqa: S302 - from qbench itself
    kernel.die_with_parent()
    kernel.adopt_orphans()
    try:
        answer = _Run(order).answer()
    except OSError as error:
        answer = _refusal(str(error))
    marshal.dump(dict(answer), sys.stdout.buffer)


def _refusal(why: str) -> Answer:
    ending: Ending = {"code": 0, "cpu_s": 0.0, "peak_bytes": 0}
    return {
        "refused": why,
        "stopped": "",
        "ending": ending,
        "stdout": "",
        "stderr": "",
        "wall_s": 0.0,
    }


class _Run:
    """One program from its start to the end of its last process."""

    def __init__(self, order: Order) -> None:
        self._order, self._bounds = order, order["bounds"]
        self._told = {"stdout": bytearray(), "stderr": bytearray(), "report": bytearray()}
        self._pipes = {name: os.pipe() for name in self._told}
        self._stopped = ""
        self._started = time.monotonic()

    def answer(self) -> Answer:
        """Start it, watch it, end it."""
        top = self._start()
        tree = Tree(top, sandboxed=self._order["kind"] != "none")
        self._watch(top, tree)
        ended = time.monotonic() - self._started
        self._kill(tree)
        status, used = _wait(top)
        _reap()
        self._drain()
        told = bytes(self._told["report"])
        report: Any = marshal.loads(told) if told else {}  # noqa: S302 - from a fork of this process
        if "refused" in report:
            return _refusal(report["refused"])
        ending = report or _ending(status, used)
        ending["cpu_s"] = max(ending["cpu_s"], tree.cpu_s)
        ending["peak_bytes"] = max(ending["peak_bytes"], tree.peak_bytes)
        return {
            "refused": "",
            "stopped": self._stopped,
            "ending": ending,
            "stdout": self._told["stdout"].decode("utf-8", "replace"),
            "stderr": self._told["stderr"].decode("utf-8", "replace"),
            "wall_s": ended,
        }

    def _start(self) -> int:
        """Fork the builder; return its number once its users are mapped."""
        ready, go = os.pipe(), os.pipe()
        top = os.fork()
        if not top:
            ends = {name: write for name, (_, write) in self._pipes.items()}
            entering.enter(self._order, ends, ready[1], go[0])
        for end in (ready[1], go[0], *(write for _, write in self._pipes.values())):
            os.close(end)
        if os.read(ready[0], 1) and self._order["kind"] == "namespaces":
            walls.map_users(top)
        os.write(go[1], b"g")
        os.close(ready[0])
        os.close(go[1])
        return top

    def _watch(self, top: int, tree: Tree) -> None:
        """Read what it says and look at what it uses, until it ends or must be ended."""
        poll = select.poll()
        handle = os.pidfd_open(top)
        poll.register(handle, select.POLLIN)
        for name in self._told:
            os.set_blocking(self._pipes[name][0], False)
            poll.register(self._pipes[name][0], select.POLLIN)
        looked = 0.0
        while not self._stopped:
            ready = {number for number, _ in poll.poll(_LOOK_S * 1000)}
            for number in self._read(ready - {handle}):
                poll.unregister(number)
            if handle in ready:
                break
            if time.monotonic() - looked >= _LOOK_S:
                tree.look()
                looked = time.monotonic()
            self._stopped = self._stopped or self._excess(tree)
        os.close(handle)

    def _read(self, ready: set[int]) -> list[int]:
        """Take what is there; return the pipes that are at their end."""
        ended = []
        for name, (end, _) in self._pipes.items():
            if end not in ready:
                continue
            try:
                chunk = os.read(end, _CHUNK)
            except BlockingIOError:
                continue
            if not chunk:
                ended.append(end)
            self._keep(name, chunk)
        return ended

    def _keep(self, name: str, chunk: bytes) -> None:
        room = self._bounds["output_bytes"] - len(self._told["stdout"]) - len(self._told["stderr"])
        if name == "report":
            room = _CHUNK
        self._told[name] += chunk[: max(room, 0)]
        if len(chunk) > room:
            self._stopped = self._stopped or "output"

    def _excess(self, tree: Tree) -> str:
        """Say which limit is passed."""
        bounds = self._bounds
        if time.monotonic() - self._started > bounds["wall_s"] or tree.cpu_s > bounds["cpu_s"]:
            return "timeout"
        if tree.memory_bytes > bounds["memory_bytes"]:
            return "memory"
        return "processes" if tree.processes > bounds["processes"] + 2 else ""

    def _kill(self, tree: Tree) -> None:
        """End all processes, however they multiply meanwhile."""
        for _ in range(1000):
            found = [*kernel.children(os.getpid()), *tree.members()]
            alive = [one for one in found if not _is_zombie(one)]
            if not alive:
                return
            for one in alive:
                try:
                    os.kill(one, _KILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.001)

    def _drain(self) -> None:
        """Read what the pipes still hold: nobody writes any more."""
        ends = {end for end, _ in self._pipes.values()}
        while ends and self._stopped != "output":
            ends -= set(self._read(ends))


def _is_zombie(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def _wait(process: int) -> tuple[int, resource.struct_rusage]:
    _, status, used = os.wait4(process, 0)
    return status, used


def _ending(status: int, used: resource.struct_rusage) -> Ending:
    code = os.waitstatus_to_exitcode(status)
    cpu_s = used.ru_utime + used.ru_stime
    return {"code": code, "cpu_s": cpu_s, "peak_bytes": used.ru_maxrss * 1024}


def _reap() -> None:
    """Collect the orphans that came to this process."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return
