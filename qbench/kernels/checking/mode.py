"""On what kernels are checked here: a CUDA GPU, else a CPU by Triton's interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import torch

from qbench.errors import NotFound, Unsupported
from qbench.kernels.checking.kernels import known_kernels
from qbench.kernels.checking.values import Checked, Checks, Choice, sizes_of
from qbench.kernels.formats import get_format
from qbench.kernels.schemes import FloatName

INTERPRET = "TRITON_INTERPRET"
DTYPES: dict[str, FloatName] = {"bf16": "bfloat16", "fp16": "float16"}
_RUNNING = "qbench.kernels.checking.running"
"""Imported once it is settled how Triton runs programs, for it asks when they are defined."""


def settled() -> tuple[torch.device, str]:
    """Settle where programs run and say it. Raises Unsupported without Triton."""
    if find_spec("triton") is None:
        raise Unsupported(
            "Kernels are Triton programs, and there is no Triton here.",
            hint="pip install triton (Linux); without a GPU it interprets them on the CPU.",
        )
    if torch.cuda.is_available() and os.environ.get(INTERPRET, "0") != "1":
        device = torch.device("cuda", torch.cuda.current_device())
        return device, torch.cuda.get_device_name(device)
    os.environ[INTERPRET] = "1"
    return torch.device("cpu"), "Triton's interpreter on the CPU"


def check(choice: Choice, say: Callable[[str], None], show: Callable[[Checked], None]) -> Checks:
    """Check what is chosen; ``show`` is told of each as it is done.

    Raises:
        NotFound: a kernel, format or type of no such name.
        ConfigError: a size that cannot be read.
        Unsupported: no Triton.
        EngineError: a process that checked has ended.

    """
    kernels = known_kernels(choice.kernels)
    formats = tuple(get_format(name).name for name in choice.formats)
    dtypes = tuple(_dtype(name) for name in choice.dtypes)
    device, where = settled()
    sizes = sizes_of(choice.sizes or (("tiny", "real") if device.type == "cuda" else ("tiny",)))
    say(f"checking on {where}, seed {choice.seed}")
    running = import_module(_RUNNING)
    asked = running.Asked(
        kernels=kernels, formats=formats, dtypes=dtypes, sizes=sizes, seed=choice.seed
    )
    found: list[Checked] = []
    if choice.jobs > 1:
        checks = running.in_processes(asked, device, choice.jobs)
    else:
        checks = running.checked(asked, device)
    for one in checks:
        show(one)
        found.append(one)
    return Checks(where=where, seed=choice.seed, checks=tuple(found))


def _dtype(name: str) -> FloatName:
    if name not in DTYPES:
        raise NotFound.among("type of inputs", name, DTYPES)
    return DTYPES[name]
