"""Engines of one run on GPUs of their own: a stand-in for vLLM, a driver that lists two GPUs."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from qbench.cli.serving import this_worker
from qbench.service.access import LOCAL
from qbench.service.desk import Desk, Submission
from qbench.service.domain import Controls
from qbench.service.order import Order
from qbench.service.pricebook import read_prices
from qbench.service.store import Store
from qbench.workers import hardware
from qbench.workers.hardware import this_machine
from qbench.workers.host import Host, Hosted
from qbench.workers.hosting import engine_step
from qbench.workers.planning import plan_step

PROGRAM = """\
    #!{python}
    import os, sys
    from qbench.workers.mock_endpoint import main

    told = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    gpus = os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]
    dtype = told["--dtype"]
    print(f"LLM engine (v0.26.0) with config: dtype=torch.{{dtype}}, quantization=None")
    print("Using", *gpus, flush=True)
    sys.exit(main(["--port", told["--port"], "--model", told["--served-model-name"]]))
"""


class Nobody:
    """Wakes nobody: the test takes the steps itself."""

    def wake(self, queue: str, number: int = 1) -> None:
        del queue, number


@pytest.fixture(autouse=True)
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a driver's program and a stand-in for vLLM on PATH."""
    driver = "#!/bin/sh\necho '0, GPU-a, NVIDIA H100, 9.0'\necho '1, GPU-b, NVIDIA H100, 9.0'\n"
    vllm = textwrap.dedent(PROGRAM).format(python=sys.executable)
    for name, text in (("nvidia-smi", driver), ("vllm", vllm)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    for name in ("QBENCH_VLLM", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    _forget()
    yield
    _forget()


def _forget() -> None:
    hardware._gpus.cache_clear()
    this_machine.cache_clear()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    with Store.open(f"sqlite:///{tmp_path / 'db'}") as store:
        made = Host(store, read_prices({}), Nobody(), this_worker(2, 1))
        async with made.open():
            yield made


def submit(host: Host, **options: object) -> None:
    order = Order(
        suite="sums",
        engine="vllm",
        models=("org/llama-3.2-1b",),
        formats=("bf16", "fp16"),
        samples=4,
        options={"preflight": False, **options},
    )
    Desk(host.store, Nobody()).submit(Submission(order=order, controls=Controls()), LOCAL)


async def up(host: Host) -> list[Hosted]:
    """Take the steps and return the engines when all that started are up."""
    await plan_step(host)
    await engine_step(host)
    engines = list(host.engines.values())
    async with asyncio.timeout(60):
        while not all(engine.endpoint for engine in engines):
            await asyncio.sleep(0.05)
    return engines


async def test_two_formats_are_served_side_by_side_on_a_gpu_each(host: Host) -> None:
    submit(host)
    engines = await up(host)
    told = {
        engine.systems[0].format: engine.endpoint.details["gpus"]
        for engine in engines
        if engine.endpoint
    }
    assert sorted(told) == ["bf16", "fp16"]
    assert sorted(told.values()) == [["0"], ["1"]]
    assert all(engine.endpoint and engine.endpoint.architecture == "sm_90" for engine in engines)


async def test_an_engine_that_takes_both_leaves_none_for_the_next(host: Host) -> None:
    submit(host, tensor_parallel=2)
    (engine,) = await up(host)
    assert engine.endpoint is not None
    assert engine.endpoint.details["gpus"] == ["0", "1"]
    assert engine.endpoint.devices == 2
