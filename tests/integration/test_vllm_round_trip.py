"""The same weights served by the real vLLM and by the embedded engine: how far they agree.

vLLM loads a checkpoint whose codes are those that the embedded engine makes while loading. With
``-s`` it prints the rows of the table in docs/engines.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.analysis.fidelity import Distributions, divergence
from qbench.benchmarks.chat import ChatRequest, Message, Sampling
from qbench.benchmarks.probe import probe_text
from qbench.kernels.formats import get_format
from qbench.service.domain import Endpoint, System
from qbench.workers.checkpoints import resolve
from qbench.workers.engines import load_engine
from qbench.workers.engines.vllm_environment import find_vllm
from qbench.workers.probing import measure
from tests.quantized_model import save_quantized

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TOKENS = 32
BEGINNING = 32
"""Characters: greedy answers part sooner or later, since sums run in another order."""
SAME_NUMBERS, SAME_ROUNDING = 0.005, 0.08
"""Nats per token by which the engines may differ: in the order of sums alone; and where each
rounds activations, which turns a difference in the last bit into one of a whole step."""
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
    "Finish the sentence: Once upon a time",
    "What do bees make?",
    "Name a mammal that can fly.",
    "What is water made of?",
    "Write a short greeting.",
    "What comes after Tuesday?",
)

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(
        not (os.environ.get("QBENCH_VLLM") and find_vllm()),
        reason="QBENCH_VLLM does not name a vLLM executable or environment",
    ),
]


async def texts(system: System) -> tuple[list[str], Distributions, Endpoint]:
    """Return greedy answers to all prompts, one at a time, and next-token distributions."""
    engine = load_engine(system.engine)
    assert engine.refuse(system) == ""
    async with engine.serve(system, concurrency=1, say=print) as serving:
        said = [(await serving.chat.reply(request(prompt))).message.content for prompt in PROMPTS]
        told = await measure(serving.endpoint, probe_text(), at_once=False)
    return said, told, serving.endpoint


def request(prompt: str) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="user", content=prompt),),
        sampling=Sampling(max_tokens=TOKENS, seed=0),
        timeout_s=600.0,
    )


def first_difference(one: str, other: str) -> int | None:
    """Return the first character that differs; None where none does."""
    pairs = zip(one, other, strict=False)
    shorter = None if one == other else min(len(one), len(other))
    return next((at for at, (a, b) in enumerate(pairs) if a != b), shorter)


def row(format_name: str, parted: Sequence[int | None], endpoint: Endpoint) -> str:
    """Return format, kernel, path, equal answers, equal beginnings, where the others part."""
    places = sorted(place for place in parted if place is not None)
    where = f"{places[len(places) // 2]} ({places[0]} to {places[-1]})" if places else "–"
    return (
        f"| `{format_name}` | {endpoint.kernel or '(not told)'} | {endpoint.path} | "
        f"{len(parted) - len(places)} of {len(parted)} | {beginnings(parted)} of {len(parted)} | "
        f"{where} |"
    )


def beginnings(parted: Sequence[int | None]) -> int:
    return sum(place is None or place >= BEGINNING for place in parted)


@pytest.mark.parametrize(
    "format_name", ["fp32", "bf16", "fp8", "w8a8", "w4a16", "mxfp8", "mxfp4-mr"]
)
async def test_both_engines_serve_the_same_distributions_and_begin_alike(
    format_name: str, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"max_model_len": 1024, "preflight": False, "device": "cpu"}
    if format_name not in ("fp32", "bf16"):
        source = await asyncio.to_thread(resolve, MODEL, print)
        folder = save_quantized(Path(source.path), tmp_path / format_name, format_name)
        told["checkpoint"] = {format_name: str(folder)}
    embedded = System(model=MODEL, format=format_name, engine="embedded", options={"recipe": "rtn"})
    ours, expected, _ = await texts(embedded)
    theirs, found, endpoint = await texts(
        System(model=MODEL, format=format_name, engine="vllm", options=told)
    )
    parted = [first_difference(one, other) for one, other in zip(ours, theirs, strict=True)]
    apart = divergence(found, expected).value
    print(row(format_name, parted, endpoint), f"KL {apart:.4f}")  # noqa: T201 - measured
    if get_format(format_name).activations is None:
        assert apart < SAME_NUMBERS
        assert 2 * beginnings(parted) > len(PROMPTS)
    else:
        assert apart < SAME_ROUNDING
    if format_name == "fp32":
        assert 2 * parted.count(None) > len(PROMPTS)
