"""The same checkpoint served by the real vLLM and by the embedded engine: how far they agree.

With ``-s`` it prints the rows of the table in docs/engines.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from qbench.benchmarks.chat import ChatRequest, Message, Sampling
from qbench.service.domain import Endpoint, System
from qbench.workers.checkpoints import resolve
from qbench.workers.engines import load_engine
from qbench.workers.engines.vllm_environment import find_vllm
from tests.quantized_model import save_quantized

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TOKENS = 32
PROMPTS = (
    "What is the capital of France?",
    "Name three colours.",
    "Write a haiku about rain.",
    "What is 7 times 8?",
    "Explain photosynthesis in one sentence.",
    "Who wrote Romeo and Juliet?",
    "List the days of the week.",
    "Translate 'good morning' to Spanish.",
    "What is the largest planet?",
    "Give a synonym for happy.",
    "Why is the sky blue?",
    "Tell me a fact about cats.",
    "How many legs does a spider have?",
    "What is the opposite of hot?",
    "Finish the sentence: Once upon a time",
    "What do bees make?",
    "Name a mammal that can fly.",
    "What is water made of?",
    "Write a short greeting.",
    "What comes after Tuesday?",
    "Which ocean is the deepest?",
    "Describe a tree in five words.",
    "What is the square root of 81?",
    "Give me advice for a job interview.",
)

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(
        not (os.environ.get("QBENCH_VLLM") and find_vllm()),
        reason="QBENCH_VLLM does not name a vLLM executable or environment",
    ),
]


async def texts(system: System) -> tuple[list[str], Endpoint]:
    """Return greedy answers to all prompts, one at a time, so that no batch has a say."""
    engine = load_engine(system.engine)
    assert engine.refuse(system) == ""
    async with engine.serve(system, concurrency=1, say=print) as serving:
        said = [(await serving.chat.reply(request(prompt))).message.content for prompt in PROMPTS]
    return said, serving.endpoint


def request(prompt: str) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="user", content=prompt),),
        sampling=Sampling(max_tokens=TOKENS, seed=0),
        timeout_s=600.0,
    )


def first_difference(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def row(format_name: str, ours: Sequence[str], theirs: Sequence[str], endpoint: Endpoint) -> str:
    """Return format, kernel, path, share of equal answers, where the others part (characters)."""
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=True) if one != other]
    parted = sorted(first_difference(one, other) for one, other in pairs)
    where = f"{parted[0]}, {parted[len(parted) // 2]}" if parted else "–"
    equal = f"{len(ours) - len(pairs)} of {len(ours)}"
    kernel = endpoint.kernel or "(not told)"
    return f"| {format_name} | {kernel} | {endpoint.path} | {equal} | {where} |"


@pytest.mark.parametrize(
    "format_name", ["bf16", "fp8", "w8a8", "w4a16", "nvfp4", "mxfp8", "mxfp4-mr"]
)
async def test_both_engines_answer_most_prompts_alike(format_name: str, tmp_path: Path) -> None:
    checkpoint = {}
    if format_name != "bf16":
        source = await asyncio.to_thread(resolve, MODEL, print)
        folder = save_quantized(Path(source.path), tmp_path / format_name, format_name)
        checkpoint = {"checkpoint": {format_name: str(folder)}}
    vllm = {"max_model_len": 1024, "preflight": False, "device": "cpu", **checkpoint}
    ours, _ = await texts(
        System(model=MODEL, format=format_name, engine="embedded", options=checkpoint)
    )
    theirs, endpoint = await texts(
        System(model=MODEL, format=format_name, engine="vllm", options=vllm)
    )
    print(row(format_name, ours, theirs, endpoint))  # noqa: T201 - measured, not assumed
    equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
    assert 2 * equal > len(PROMPTS)
