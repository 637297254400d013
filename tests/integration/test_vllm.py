"""The vLLM engine around the real vLLM; QBENCH_VLLM_MODEL may name another small model."""

from __future__ import annotations

import asyncio
import os

import pytest

from qbench.service.domain import System
from qbench.workers.engines.vllm import VllmEngine
from qbench.workers.engines.vllm_environment import find_vllm
from qbench.workers.hardware import this_machine
from tests.integration.endpoints import ask

MODEL = os.environ.get("QBENCH_VLLM_MODEL", "HuggingFaceTB/SmolLM2-135M-Instruct")

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(
        not (os.environ.get("QBENCH_VLLM") and find_vllm()),
        reason="QBENCH_VLLM does not name a vLLM executable or environment",
    ),
]


def system(format_name: str) -> System:
    options = {"max_model_len": 1024, "args": ["--enforce-eager"]}
    return System(model=MODEL, format=format_name, engine="vllm", options=options)


@pytest.mark.parametrize("format_name", ["bf16", "fp8"])
async def test_the_real_vllm_serves_the_format_that_was_asked_for(format_name: str) -> None:
    told = system(format_name)
    if format_name == "fp8" and not this_machine().gpus:
        pytest.skip("vLLM makes fp8 while loading on GPUs only")
    assert VllmEngine().refuse(told) == ""
    async with VllmEngine().serve(told, concurrency=8, say=print) as serving:
        turns = await asyncio.gather(*(serving.chat.reply(ask(f"Say {n}.")) for n in range(8)))
        seconds = await serving.seconds()
    endpoint = serving.endpoint
    assert all(turn.usage is not None and turn.usage.completion_tokens > 0 for turn in turns)
    assert all(turn.timing.ttft_s is not None for turn in turns)
    assert seconds.load > 1
    assert seconds.busy > 0
    assert endpoint.engine_version.startswith("vllm ")
    assert endpoint.details["max_seq_len"] == "1024"
    assert endpoint.path in (
        ("native",) if format_name == "bf16" else ("native", "weight-only fallback")
    )
    assert (format_name == "bf16") == (endpoint.kernel == "")
    print(endpoint)  # noqa: T201 - shown with -s: what this version's log tells
