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

QUERY = ("nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader")


class Machine(Struct, frozen=True, kw_only=True):
    """Where a local engine runs."""

    name: str
    """Price-book name or what the driver says: ``cpu-2core``, ``nvidia-h100-80gb-hbm3``."""
    architecture: str
    """``x86_64 avx512_bf16``, or a compute capability such as ``sm_90``."""
    gpus: int = 0


@cache
def this_machine(*, gpu: bool = True) -> Machine:
    """Describe the first GPU where there is one and ``gpu`` allows it, else the CPU."""
    return (_gpu() if gpu else None) or Machine(
        name=f"cpu-{cores()}core", architecture=_cpu_architecture()
    )


def cores() -> int:
    """Return the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpu() -> Machine | None:
    program = shutil.which(QUERY[0])
    if program is None:
        return None
    try:
        said = subprocess.run(  # noqa: S603 - a fixed command
            (program, *QUERY[1:]), capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    gpus = [line.rsplit(",", 1) for line in said.stdout.splitlines() if "," in line]
    if not gpus:
        return None
    name, capability = (part.strip() for part in gpus[0])
    return Machine(
        name=re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
        architecture=f"sm_{capability.replace('.', '')}",
        gpus=len(gpus),
    )


def _cpu_architecture() -> str:
    """Name the machine and the widest instruction sets that quantized arithmetic cares about."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    wanted = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")
    found = [flag for flag in wanted if flag in flags]
    return " ".join([platform.machine(), *found[:2]])
