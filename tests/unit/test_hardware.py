from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qbench.workers import hardware
from qbench.workers.engines.process import own_gpus, visible_gpus
from qbench.workers.hardware import Gpu, this_machine, visible
from qbench.workers.needs import devices_here, gpu_numbers

GPUS = (
    Gpu("0", "GPU-aaa", "NVIDIA A100", "8.0"),
    Gpu("1", "GPU-bbb", "NVIDIA H100 80GB HBM3", "9.0"),
    Gpu("2", "GPU-bbc", "NVIDIA H100 80GB HBM3", "9.0"),
)
DRIVER = "\n".join(f"{g.index}, {g.uuid}, {g.name}, {g.capability}" for g in GPUS)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a driver's program on PATH that lists three GPUs."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{DRIVER}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    forget()
    yield
    forget()


def forget() -> None:
    hardware._gpus.cache_clear()
    this_machine.cache_clear()


@pytest.mark.parametrize(
    ("told", "numbers"),
    [
        (None, "012"),
        ("2,0", "20"),
        ("GPU-bbc", "2"),
        ("GPU-bb, 0", "10"),
        ("1,7,2", "1"),
        ("", ""),
        ("-1", ""),
    ],
)
def test_gpus_are_chosen_as_cuda_chooses_them(told: str | None, numbers: str) -> None:
    assert "".join(one.index for one in visible(GPUS, told)) == numbers


@pytest.mark.usefixtures("driver")
def test_a_machine_is_its_first_gpu_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = this_machine()
    assert (everything.name, everything.architecture) == ("nvidia-a100", "sm_80")
    assert everything.gpus == 3
    assert this_machine(only=("2",)).architecture == "sm_90"
    assert this_machine(gpu=False).gpus == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    forget()
    assert this_machine().numbers == ("1", "2")
    assert this_machine().name == "nvidia-h100-80gb-hbm3"
    assert own_gpus() == ("1", "2")


@pytest.mark.usefixtures("driver")
def test_a_worker_offers_only_the_gpus_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    forget()
    devices = devices_here("node")
    assert devices == ("node/gpu1", "node/gpu2", "node/cpu0")
    assert gpu_numbers(devices[1:2]) == "2"


def test_an_engine_knows_the_gpus_that_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert own_gpus() is None
    with visible_gpus("2,3"):
        assert own_gpus() == ("2", "3")
        with visible_gpus(""):
            assert own_gpus() is None
    assert own_gpus() is None
