"""CUDA graphs of the embedded engine say what its eager path says."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.cache import Slots
from qbench.workers.embedded.graphs import steps_of
from qbench.workers.embedded.loading import Loaded, load
from qbench.workers.embedded.scores import Scores
from tests.generations import finished, prompts, submit
from tests.quantized_model import save_quantized
from tests.single_tokens import distance
from tests.tiny_model import save_tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


def batcher_of(loaded: Loaded, *, graphs: bool) -> Batcher:
    config: Any = loaded.model.config
    slots = Slots(config, 12, 1024, dtype=loaded.cache_dtype, device=loaded.device)
    steps = steps_of(loaded, slots, 8) if graphs else None
    assert (steps is not None) == graphs
    made = Batcher(loaded.model, slots, concurrency=8, steps=steps)
    made.start()
    return made


@pytest.mark.parametrize("name", ["fp32", "w4a16", "fp8"])
def test_greedy_answers_are_those_of_the_eager_path(folder: Path, name: str) -> None:
    """In float32 to the token; where numbers are rounded, as far as the first near tie."""
    loaded = load(folder, name, device="cuda")
    assert loaded.path == "native"
    said = []
    for graphs in (False, True):
        batcher = batcher_of(loaded, graphs=graphs)
        made = [submit(batcher, tokens, most=24) for tokens in prompts(11, 30)]
        said.append([finished(one) for one in made])
        batcher.close()
    if name == "fp32":
        assert said[0] == said[1]
    else:
        firsts = [one[0] == other[0] for one, other in zip(*said, strict=True)]
        assert sum(firsts) >= 9


def test_log_probabilities_are_close(folder: Path) -> None:
    loaded = load(folder, "bf16", device="cuda")
    told = []
    for graphs in (False, True):
        batcher = batcher_of(loaded, graphs=graphs)
        (tokens,) = prompts(1, 40)
        made = submit(batcher, tokens, most=1, scores=Scores(top=5, of_prompt=False))
        finished(made)
        assert made[0].scores is not None
        told.append(made[0].scores.generated[0])
        batcher.close()
    assert told[0].logprob == pytest.approx(told[1].logprob, abs=0.1)


def test_emulation_stays_where_it_is_asked_for(folder: Path) -> None:
    loaded = load(folder, "w4a16", device="cuda", emulate=True)
    assert loaded.path == "emulated"
    assert loaded.kernel.startswith("dequantize")


@pytest.mark.parametrize("name", ["w4a16", "w8a16", "fp8", "w8a8", "mxfp4a16", "mxfp4-mr"])
def test_the_codes_of_a_checkpoint_reach_the_programs(
    folder: Path, tmp_path: Path, name: str
) -> None:
    stored = save_quantized(folder, tmp_path / name, name)
    config = json.loads((stored / "config.json").read_text())
    (stored / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    loaded = load(stored, name, device="cuda")
    emulated = load(stored, name, device="cuda", emulate=True)
    assert loaded.kernel.startswith(f"qbench triton {name}")
    assert (loaded.effective, emulated.path) == (emulated.effective, "emulated")
    draw = torch.Generator().manual_seed(3)
    for layer, columns in (("self_attn.k_proj", 64), ("mlp.up_proj", 64), ("mlp.down_proj", 128)):
        values = torch.randn(1, 5, columns, generator=draw).to("cuda", loaded.cache_dtype)
        made = [
            one.model.get_submodule(f"model.layers.1.{layer}")(values) for one in (loaded, emulated)
        ]
        assert distance(*made) < 1e-2
