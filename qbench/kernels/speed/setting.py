"""Where rows are timed: the GPU and the versions of everything that takes part."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from datetime import UTC, datetime

import torch

from qbench import __version__
from qbench.kernels.speed.ceilings import measured_ceilings
from qbench.kernels.speed.rows import Setting

DRIVER = ("--query-gpu=driver_version", "--format=csv,noheader")


def this_setting(device: torch.device, seed: int) -> Setting:
    """Describe this process and measure the GPU's ceilings: seconds."""
    return Setting(
        gpu=torch.cuda.get_device_name(device),
        driver=_driver(),
        torch=str(torch.__version__),
        cuda=torch.version.cuda or "",
        triton=version_of("triton"),
        vllm=version_of("vllm"),
        qbench=__version__,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        ceilings=measured_ceilings(device, seed),
    )


def version_of(package: str) -> str:
    """Return the version of an installed package; empty where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _driver() -> str:
    """Return the driver's version; empty where its program is not there."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        said = subprocess.run(  # noqa: S603 - a fixed command
            (program, *DRIVER), capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.split("\n", 1)[0].strip()
