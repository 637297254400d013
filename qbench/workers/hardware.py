"""What this machine is, in the price book's words, without importing torch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from msgspec import Struct

QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name,compute_cap", "--format=csv,noheader")


class Machine(Struct, frozen=True, kw_only=True):
    """Where a local engine runs."""

    name: str
    """Price-book name or what the driver says: ``cpu-2core``, ``nvidia-h100-80gb-hbm3``."""
    architecture: str
    """``x86_64 avx512_bf16``, or a compute capability such as ``sm_90``."""
    numbers: tuple[str, ...] = ()
    """Of the GPUs, as the driver counts them: those that this process may use."""

    @property
    def gpus(self) -> int:
        """How many GPUs there are."""
        return len(self.numbers)


class Gpu(Struct, frozen=True):
    """One line of the driver's list."""

    index: str
    uuid: str
    name: str
    capability: str


@cache
def this_machine(*, gpu: bool = True, only: tuple[str, ...] | None = None) -> Machine:
    """Describe the first GPU where there is one and ``gpu`` allows it, else the CPU.

    Args:
        gpu: whether GPUs count at all.
        only: indices or UUIDs of those that count; None: what ``CUDA_VISIBLE_DEVICES`` says.

    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES") if only is None else ",".join(only)
    found = _described(visible(_gpus(), told)) if gpu else None
    return found or Machine(name=f"cpu-{cores()}core", architecture=_cpu_architecture())


def visible(gpus: tuple[Gpu, ...], told: str | None) -> tuple[Gpu, ...]:
    """Choose GPUs as CUDA does: in the order told, ending at the first that does not exist."""
    if told is None:
        return gpus
    chosen: list[Gpu] = []
    for part in (part.strip() for part in told.split(",")):
        fits = [one for one in gpus if one.index == part or (part and one.uuid.startswith(part))]
        if not fits:
            break
        chosen.append(fits[0])
    return tuple(chosen)


def _described(gpus: tuple[Gpu, ...]) -> Machine | None:
    if not gpus:
        return None
    return Machine(
        name=re.sub(r"[^a-z0-9]+", "-", gpus[0].name.lower()).strip("-"),
        architecture=f"sm_{gpus[0].capability.replace('.', '')}",
        numbers=tuple(one.index for one in gpus),
    )


def cores() -> int:
    """Return the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _gpus() -> tuple[Gpu, ...]:
    """Ask the driver for all GPUs; empty where there is none to ask."""
    program = shutil.which(QUERY[0])
    if program is None:
        return ()
    try:
        said = subprocess.run(  # noqa: S603 - a fixed command
            (program, *QUERY[1:]), capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = [[part.strip() for part in line.split(",")] for line in said.stdout.splitlines()]
    return tuple(Gpu(*line) for line in lines if len(line) == 4)


def _cpu_architecture() -> str:
    """Name the machine and the widest instruction sets that quantized arithmetic cares about."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    wanted = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")
    found = [flag for flag in wanted if flag in flags]
    return " ".join([platform.machine(), *found[:2]])
