"""LayerCast: float32's numbers in bfloat16's memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from qbench.kernels.formats import get_format
from qbench.kernels.linears.layercast import CastEmbedding
from qbench.kernels.linears.linear import EmulatedLinear, apply_format
from qbench.workers.embedded.loading import load
from tests.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("layercast") / "tiny")


def read(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.eval()
    return model


def storages(model: torch.nn.Module) -> dict[int, int]:
    """Return bytes by where they lie, so that what is shared counts once."""
    kept = [parameter.untyped_storage() for parameter in model.parameters()]
    return {storage.data_ptr(): storage.nbytes() for storage in kept}


@torch.no_grad()
def test_it_is_a_float32_model_of_the_same_weights(folder: Path) -> None:
    cast, wide = read(folder), read(folder).float()
    apply_format(cast, get_format("layercast"))
    ids = torch.randint(3, 250, (2, 50), generator=torch.Generator().manual_seed(0))
    ours, theirs = cast(ids).logits, wide(ids).logits
    assert ours.dtype is torch.float32
    assert torch.equal(ours, theirs)
    narrow = read(folder)(ids).logits.float()
    assert not torch.allclose(narrow, theirs, rtol=1e-3, atol=1e-3)


def test_memory_stays_that_of_bfloat16(folder: Path) -> None:
    before = sum(storages(read(folder)).values())
    cast = read(folder)
    apply_format(cast, get_format("layercast"))
    norms = sum(parameter.numel() for name, parameter in cast.named_parameters() if "norm" in name)
    assert sum(storages(cast).values()) == before + 2 * norms
    table = cast.get_submodule("model.embed_tokens")
    head = cast.get_submodule("lm_head")
    assert isinstance(table, CastEmbedding)
    assert isinstance(head, EmulatedLinear)
    assert table.weight.data_ptr() == head.weight.data_ptr()


def test_the_engine_holds_it_narrow(folder: Path) -> None:
    loaded = load(folder, "layercast", device="cpu")
    weight = loaded.model.get_submodule("model.layers.0.mlp.up_proj").get_parameter("weight")
    assert weight.dtype is torch.bfloat16
    assert loaded.cache_dtype is torch.float32
    rotary = loaded.model.get_submodule("model.rotary_emb").get_buffer("inv_freq")
    assert rotary.dtype is torch.float32
