"""Samples what an engine on this machine consumes: memory and power, several times a second."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from qbench.benchmarks.analysis.efficiency.resources import time_average
from qbench.service.profiles import Consumption

EVERY_S = 0.2
PROC = Path("/proc")
RAPL = Path("/sys/class/powercap")
"""Where Linux tells what a CPU package has used, mostly to root alone."""
GPU = ("nvidia-smi", "--query-gpu=memory.used,memory.total,power.draw")
MIB = 1024**2

Reading = tuple[float, float | None, float | None, float | None]
"""Seconds, bytes in use, bytes in all, watts."""
Read = Callable[[], Reading]


@contextmanager
def sampled(gpus: Collection[str], roots: Collection[int]) -> Iterator[Callable[[], Consumption]]:
    """Sample until the block ends; what is yielded then tells what was found.

    Args:
        gpus: the driver's numbers of those that serve; empty: the engine runs on the CPU.
        roots: the engine's processes, which are children of this one; their own are counted too.

    """
    read = (lambda: _gpus(gpus)) if gpus else _Cpu(roots).read
    rows: list[Reading] = []
    done = threading.Event()
    thread = threading.Thread(target=_sample, args=(read, rows, done), daemon=True)
    thread.start()
    try:
        yield lambda: consumption(rows, on_gpu=bool(gpus))
    finally:
        done.set()
        thread.join()


def _sample(read: Read, rows: list[Reading], done: threading.Event) -> None:
    while not done.is_set():
        rows.append(read())
        done.wait(EVERY_S)


def consumption(rows: list[Reading], *, on_gpu: bool) -> Consumption:
    """Put samples together; what no sample knew is None, with the reason."""
    memory = [(at, used) for at, used, _, _ in rows if used is not None]
    totals = [total for _, _, total, _ in rows if total is not None]
    watts = [(at, drawn) for at, _, _, drawn in rows if drawn is not None]
    unknown = {}
    if not memory:
        unknown["memory"] = "nvidia-smi did not answer" if on_gpu else "this system has no /proc"
    if not watts:
        unknown["power"] = (
            "nvidia-smi told no power" if on_gpu else "the CPU's energy counter cannot be read"
        )
    return Consumption(
        memory_mean=_average(memory),
        memory_peak=max((used for _, used in memory), default=None),
        memory_total=totals[-1] if totals else None,
        watts=_average(watts),
        samples=len(rows),
        unknown=unknown,
    )


def _average(samples: list[tuple[float, float]]) -> float | None:
    if not samples:
        return None
    at, values = np.array(samples).T
    return time_average(values, at)


class _Cpu:
    """Resident memory of processes with their descendants, and the packages' energy counters."""

    def __init__(self, roots: Collection[int]) -> None:
        self._roots = roots
        self._last: tuple[float, float] | None = None

    def read(self) -> Reading:
        now = time.monotonic()
        return now, _resident(self._roots), _total(), self._watts(now)

    def _watts(self, now: float) -> float | None:
        energy = _microjoules()
        before, self._last = self._last, None if energy is None else (now, energy)
        if energy is None or before is None or energy < before[1] or now == before[0]:
            return None  # unreadable, the first sample, or the counter began anew
        return (energy - before[1]) / 1e6 / (now - before[0])


def children() -> frozenset[int]:
    """Return the children of this process; empty where nobody tells."""
    return frozenset(_families().get(os.getpid(), ()))


def _families() -> dict[int, list[int]]:
    """Return the children of every process."""
    found: dict[int, list[int]] = {}
    for entry in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(entry.parent.name))
    return found


def _resident(roots: Collection[int]) -> float | None:
    """Return the bytes that processes and their descendants hold; None where nobody tells."""
    families = _families()
    if not families or not roots:
        return None
    found, waiting = 0.0, list(roots)
    while waiting:
        one = waiting.pop()
        waiting += families.get(one, [])
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = int((PROC / str(one) / "statm").read_text().split()[1])
            found += pages * os.sysconf("SC_PAGE_SIZE")
    return found


def _total() -> float | None:
    with contextlib.suppress(OSError, ValueError):
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return None


def _microjoules() -> float | None:
    try:
        counters = [float(one.read_text()) for one in RAPL.glob("intel-rapl:[0-9]/energy_uj")]
    except (OSError, ValueError):
        return None
    return sum(counters) if counters else None


def _gpus(numbers: Collection[str]) -> Reading:
    command = (*GPU, "--format=csv,noheader,nounits", f"--id={','.join(numbers)}")
    try:
        said = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return time.monotonic(), None, None, None
    rows = [[_number(part) for part in line.split(",")] for line in said.splitlines()]
    used, total, watts = ([row[place] for row in rows if len(row) == 3] for place in range(3))
    now = time.monotonic()
    return now, _summed(used, MIB), _summed(total, MIB), _summed(watts, 1)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # "[N/A]"
        return None


def _summed(parts: list[float | None], unit: float) -> float | None:
    known = [part for part in parts if part is not None]
    return unit * sum(known) if known and len(known) == len(parts) else None
