"""What an engine occupies while it is up, and what this machine has for it."""

from __future__ import annotations

from qbench.service.domain import Controls, System
from qbench.service.queue import Needs
from qbench.workers.hardware import this_machine

NOTHING = Needs("nothing", 0)
"""Every shard reaches the model by itself: an API, or a URL that nobody bills by the second."""

REMOTE = Needs("remote", 0)
"""Somebody else's machine that is billed by the second: one session serves all shards."""

IN_MEMORY = "cpu"
ON_GPU = "gpu"


def needs_of(system: System, controls: Controls) -> Needs:
    """Return what the engine of ``system`` needs."""
    if system.engine == "embedded":
        return Needs(ON_GPU if _wants_gpu(system) else IN_MEMORY)
    if system.engine == "vllm":
        count = int(system.options.get("tensor_parallel", 1))
        return Needs(IN_MEMORY) if system.options.get("device") == "cpu" else Needs(ON_GPU, count)
    billed = controls.hardware or system.options.get("hardware", "")
    return REMOTE if billed and system.engine != "api" else NOTHING


def _wants_gpu(system: System) -> bool:
    return str(system.options.get("device", "")).startswith("cuda")


def devices_here(node: str, *, engines: int = 1) -> tuple[str, ...]:
    """Name the slots for engines of this machine: its GPUs, and ``engines`` in main memory."""
    slots = [f"{ON_GPU}{number}" for number in this_machine().numbers]
    slots += [f"{IN_MEMORY}{number}" for number in range(engines)]
    return tuple(f"{node}/{slot}" for slot in slots)


def slots_of(devices: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Return the devices of ``kind``."""
    return tuple(one for one in devices if one.rpartition("/")[2].rstrip("0123456789") == kind)


def gpu_numbers(devices: tuple[str, ...]) -> str:
    """Return ``CUDA_VISIBLE_DEVICES`` for the devices; empty when none is a GPU."""
    return ",".join(
        one.rpartition(ON_GPU)[2] for one in devices if one in slots_of(devices, ON_GPU)
    )
