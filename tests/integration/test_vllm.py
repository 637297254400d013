"""The vLLM engine around the real vLLM; QBENCH_VLLM_MODEL may name another small model."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from qbench.errors import EngineStartError
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


def system(format_name: str, **options: Any) -> System:
    told = {"max_model_len": 1024, "eager": True, "preflight": False, **options}
    return System(model=MODEL, format=format_name, engine="vllm", options=told)


@pytest.mark.parametrize("format_name", ["bf16", "fp8"])
async def test_the_real_vllm_serves_the_format_that_was_asked_for(format_name: str) -> None:
    told = system(format_name)
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
    eight_bit = ("native", "weight-only fallback") if this_machine().gpus else ("emulated",)
    assert endpoint.path in (("native",) if format_name == "bf16" else eight_bit)
    assert (format_name == "bf16") == (endpoint.kernel == "")
    startup = endpoint.details["startup"]
    assert 0 < startup["process"] < startup["total"] <= seconds.load + 0.01
    assert startup["weights"] > 0
    print(endpoint)  # noqa: T201 - shown with -s: what this version's log tells


SHOTS = (
    ("What is the weather in Lima? Use get_weather.", "get_weather", {"city": "Lima"}),
    ("Use the add tool to add 4 and 9.", "add", {"a": 4, "b": 9}),
    ("How is the weather in Kyoto? Use get_weather.", "get_weather", {"city": "Kyoto"}),
)


@pytest.fixture
def template(tmp_path: Path) -> str:
    """Write a chat template with examples that even a very small model follows."""
    examples = "".join(
        f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n<tool_call>\n"
        f"{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call><|im_end|>\n"
        for asked, name, arguments in SHOTS
    )
    path = tmp_path / "template.jinja"
    path.write_text(
        "<|im_start|>system\nYou call tools.<|im_end|>\n"
        "{% if tools %}{% raw %}"
        + examples
        + "{% endraw %}{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}\n"
        "{{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
    )
    return str(path)


async def test_the_preflight_lets_the_right_parser_through(template: str) -> None:
    told = system("bf16", preflight=True, chat_template=template, tool_call_parser="hermes")
    async with VllmEngine().serve(told, concurrency=8, say=print) as serving:
        checked = serving.endpoint.details["preflight"]
    assert checked["finding"] == "sees calls"
    assert checked["visible"] >= 4
    assert checked["whole"] >= 4
    assert checked["streamed"] >= 4


async def test_the_preflight_refuses_a_parser_of_another_family(template: str) -> None:
    told = system("bf16", preflight=True, chat_template=template, tool_call_parser="pythonic")
    with pytest.raises(EngineStartError, match="parser pythonic does not see the calls") as caught:
        async with VllmEngine().serve(told, concurrency=8, say=print):
            pass
    assert "<tool_call>" in caught.value.what
