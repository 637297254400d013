"""Which weights the embedded engine serves: rounded while loading, named, or made and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from qbench.benchmarks.chat import ChatRequest, Message, Sampling
from qbench.errors import ConfigError, Unsupported
from qbench.kernels.linears.linear import EmulatedLinear
from qbench.service.domain import System
from qbench.workers.embedded.loading import Loaded, load
from qbench.workers.engines import embedded_weights
from qbench.workers.engines.embedded import EmbeddedEngine
from qbench.workers.engines.embedded_weights import EmbeddedOptions, find_weights, refuse_weights
from qbench.workers.quantize import Made, Wish, ensure
from qbench.workers.quantize.calibration import Calibration
from tests.tiny_model import save_tiny_model

LAYER = "model.layers.0.mlp.down_proj"


def quiet(_line: str) -> None:
    """Hear nothing."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def rotated(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """MR-GPTQ on eight short samples, by our own maker."""
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text("Some words to calibrate on, again and again.\n" * 200)
    wish = Wish(calibration=Calibration(source=str(text), samples=8, length=64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return ensure(str(tiny), "mxfp4-mr", recipe="gptq", say=quiet, wish=wish)


def weight_files(made: Made) -> int:
    """Return the bytes of a folder's weight files."""
    return sum(file.stat().st_size for file in Path(made.path).glob("*.safetensors"))


def system(model: Path, name: str, **options: Any) -> System:
    return System(model=str(model), format=name, engine="embedded", options=options)


def test_a_made_checkpoint_is_served_rotated_and_says_how_it_was_made(
    tiny: Path, rotated: Made
) -> None:
    asked = system(tiny, "mxfp4-mr", checkpoint={"mxfp4-mr": rotated.path})
    found = find_weights(asked, EmbeddedOptions.of(asked), quiet)
    assert found.checkpoint.path == rotated.path
    assert found.made.startswith("gptq, 8 ")
    loaded = load(Path(rotated.path), "mxfp4-mr", device="cpu")
    layer = loaded.model.get_submodule(LAYER)
    assert isinstance(layer, EmulatedLinear)
    assert layer.inputs.rotation == 128
    assert layer.inputs.scheme is not None
    assert layer.inputs.scheme.element == "e2m1"
    assert loaded.effective.endswith("activations 4, rotated by 64 and 128")
    plain, rounded = load(tiny, "fp32", device="cpu"), load(tiny, "mxfp4-mr", device="cpu")
    assert _distance(loaded, plain) < 1.5 * _distance(rounded, plain)  # random inputs: not GPTQ's
    assert 4 < loaded.bits_per_weight < 4.5


@torch.no_grad()
def _distance(one: Loaded, other: Loaded) -> float:
    """Return how far the outputs of a layer lie apart."""
    inputs = torch.randn(64, 128, generator=torch.Generator().manual_seed(4)).bfloat16()
    made = one.model.get_submodule(LAYER)(inputs).float()
    return float((made - other.model.get_submodule(LAYER)(inputs.float())).norm())


async def test_the_row_of_a_served_checkpoint_says_what_it_is(tiny: Path, rotated: Made) -> None:
    asked = system(tiny, "mxfp4-mr", checkpoint={"mxfp4-mr": rotated.path}, threads=1, device="cpu")
    assert not EmbeddedEngine().refuse(asked)
    async with EmbeddedEngine().serve(asked, concurrency=2, say=quiet) as served:
        endpoint = served.endpoint
        request = ChatRequest(
            messages=(Message(role="user", content="Hello"),), sampling=Sampling(max_tokens=4)
        )
        turn = await served.chat.reply(request)
    assert turn.usage is not None
    assert endpoint.path == "emulated"
    assert endpoint.format_requested == "mxfp4-mr"
    assert endpoint.format_effective.startswith("compressed-tensors float4 group 32, activations 4")
    assert "rotated by 64 and 128, gptq, 8 of" in endpoint.format_effective
    assert endpoint.format_effective.split(", gptq")[0] in endpoint.checkpoint
    stored = weight_files(rotated)
    assert 0.9 * stored < endpoint.details["weight_bytes"] < stored


def test_what_a_folder_holds_is_what_it_can_be_asked_for(tiny: Path, rotated: Made) -> None:
    for name in ("mxfp4", "w4a16", "bf16"):
        asked = system(tiny, name, checkpoint={name: rotated.path})
        with pytest.raises(Unsupported, match=f"which is not {name}"):
            find_weights(asked, EmbeddedOptions.of(asked), quiet)
    itself = system(Path(rotated.path), "mxfp4-mr")
    assert not refuse_weights(itself, EmbeddedOptions.of(itself))
    assert find_weights(itself, EmbeddedOptions.of(itself), quiet).checkpoint.path == rotated.path


def test_a_recipe_other_than_rounding_is_made_once_and_kept(
    tiny: Path, rotated: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    wished: list[tuple[str, str, str]] = []

    def made(model: str, name: str, *, recipe: str, say: Any) -> Made:
        say("made")
        wished.append((model, name, recipe))
        return rotated

    monkeypatch.setattr(embedded_weights, "ensure", made)
    by_default = system(tiny, "mxfp4-mr")
    found = find_weights(by_default, EmbeddedOptions.of(by_default), quiet)
    assert wished == [(str(tiny), "mxfp4-mr", "gptq")]
    assert found.checkpoint.revision == rotated.fingerprint
    for options in ({"recipe": "rtn"}, {"recipe": {"mxfp4-mr": "rtn"}}):
        asked = system(tiny, "mxfp4-mr", **options)
        found = find_weights(asked, EmbeddedOptions.of(asked), quiet)
        assert found.checkpoint.path == str(tiny)
    assert len(wished) == 1


def test_a_checkpoint_that_lacks_parameters_is_refused(tiny: Path, tmp_path: Path) -> None:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(ConfigError, match=r"lacks parameters.*layers\.3"):
        load(tmp_path, "bf16", device="cpu")


def test_a_kind_that_nobody_knows_is_never_guessed(tiny: Path, tmp_path: Path) -> None:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "of-tomorrow"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    asked = system(tmp_path, "w4a16")
    with pytest.raises(Unsupported, match="nobody can tell"):
        find_weights(asked, EmbeddedOptions.of(asked), quiet)
    with pytest.raises(Unsupported, match="nobody can tell"):
        load(tmp_path, "w4a16", device="cpu")
