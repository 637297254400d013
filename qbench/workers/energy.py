"""Joules that an engine's devices used, from the counters of the hardware.

NVIDIA's driver counts a GPU's energy since it was loaded (NVML, Volta and later); Linux counts a
processor package's (RAPL). Both count the whole device, whoever uses it. Where neither can be
read nothing is measured, and the report says `estimated`.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from qbench.workers.hardware import this_machine

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"
MILLI, MICRO = 1e-3, 1e-6

MeterName = Literal["nvml", "rapl"]


class Counter(Protocol):
    """A counter that only rises, or begins again at 0 after ``wraps`` joules."""

    wraps: float | None

    def joules(self) -> float:
        """Read it. Raises OSError."""
        ...


class Meter:
    """Adds up what counters show since it was made; read it more often than they wrap."""

    def __init__(self, name: MeterName, counters: Sequence[Counter]) -> None:
        self.name = name
        self._counters = tuple(counters)
        self._lock = threading.Lock()
        self._last = [one.joules() for one in self._counters]
        self._total = 0.0

    def joules(self) -> float:
        """Return the joules since the start. Raises OSError."""
        with self._lock:
            for place, counter in enumerate(self._counters):
                now, last = counter.joules(), self._last[place]
                self._total += now - last if now >= last else now - last + (counter.wraps or last)
                self._last[place] = now
            return self._total


def meter_of(architecture: str, devices: int, gpus: tuple[str, ...] | None) -> Meter | None:
    """Return the meter of an engine's devices; None where they cannot be read.

    Args:
        architecture: as the engine reports it: ``sm_90``, or a processor's.
        devices: how many of them it uses.
        gpus: the numbers that it may use; None: all there are.

    """
    try:
        if architecture.startswith("sm_"):
            chosen = this_machine(only=gpus).numbers[:devices]
            return Meter("nvml", [GpuCounter(int(number)) for number in chosen]) if chosen else None
        packages = _packages(POWERCAP)
        return Meter("rapl", packages) if packages else None
    except (OSError, ValueError, AttributeError):  # no library, no counter, no such function
        return None


class PackageCounter:
    """One processor package of RAPL."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self.wraps: float | None = MICRO * int((folder / "max_energy_range_uj").read_text())

    def joules(self) -> float:
        """Read it; most systems let only root do so."""
        return MICRO * int(self._file.read_text())


def _packages(powercap: Path) -> list[PackageCounter]:
    """Return the packages; parts of them (cores, memory) and the whole platform are left out."""
    folders = sorted(powercap.glob("*-rapl:[0-9]*"))
    return [
        PackageCounter(folder)
        for folder in folders
        if folder.name.count(":") == 1 and (folder / "name").read_text().startswith("package")
    ]


class GpuCounter:
    """One GPU of NVIDIA's driver."""

    wraps: float | None = None

    def __init__(self, index: int) -> None:
        self._handle = ctypes.c_void_p()
        _called("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(self._handle))

    def joules(self) -> float:
        """Read it; GPUs before Volta have none."""
        found = ctypes.c_ulonglong()
        _called("nvmlDeviceGetTotalEnergyConsumption", self._handle, ctypes.byref(found))
        return MILLI * found.value


@cache
def _nvml() -> Any:
    library = ctypes.CDLL(NVML)
    if library.nvmlInit_v2():
        raise OSError("NVML does not start")
    return library


def _called(name: str, *arguments: Any) -> None:
    code = getattr(_nvml(), name)(*arguments)
    if code:
        raise OSError(f"{name} failed with code {code}")
