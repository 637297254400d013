"""The small real model says the same by its own forward and by the engine's decoder."""

from pathlib import Path
from typing import Any

import pytest
import torch

from qbench.errors import EngineStartError
from qbench.kernels.formats import get_format
from qbench.kernels.linears.applying import apply_kernels
from qbench.workers.checkpoints import resolve
from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.cache import Slots
from qbench.workers.embedded.decoder import Decoder
from qbench.workers.embedded.graphs import Steps
from qbench.workers.embedded.loading import Loaded, load
from tests.generations import finished, submit

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
PROMPTS = (
    "What is the capital of France?",
    "Name a mammal that can fly.",
    "Why is the sky blue?",
    "Finish the sentence: Once upon a time",
)
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here"),
        ],
    ),
]

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        return Path(resolve(MODEL, print).path)
    except EngineStartError as error:
        pytest.skip(str(error))


def said(loaded: Loaded, *, decoder: bool) -> list[list[int]]:
    """Return greedy answers, asked at the same time."""
    config: Any = loaded.model.config
    slots = Slots(config, 8, 512, dtype=loaded.cache_dtype, device=loaded.device)
    steps = Steps(Decoder(loaded.model, slots, 4), 4) if decoder else None
    batcher = Batcher(loaded.model, slots, concurrency=4, steps=steps)
    batcher.start()
    asked: list[Any] = [
        loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
        )
        for text in PROMPTS
    ]
    made = [submit(batcher, tokens, most=32) for tokens in asked]
    found = [finished(one) for one in made]
    batcher.close()
    return found


@pytest.mark.parametrize("device", DEVICES)
def test_greedy_answers_are_the_same_to_the_token(folder: Path, device: str) -> None:
    loaded = load(folder, "fp32", device=device)
    before = said(loaded, decoder=False)
    if device == "cpu":  # on a GPU it was loaded so
        apply_kernels(loaded.model, get_format("fp32"))
    assert said(loaded, decoder=True) == before
