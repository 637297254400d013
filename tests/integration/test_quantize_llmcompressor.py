"""Checkpoints made by the real llm-compressor of a tiny model; skipped where there is none."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qbench.errors import QuantizationFailed
from qbench.workers.checkpoints import digest
from qbench.workers.engines.schemes import find_config, read_scheme
from qbench.workers.quantize import Calibration, Wish
from qbench.workers.quantize.cache import Entry
from qbench.workers.quantize.environment import find_tool
from qbench.workers.quantize.making import Watch, ensure_entry
from tests.tiny_model import save_tiny_model

pytestmark = pytest.mark.skipif(find_tool() is None, reason="no llm-compressor: doctor --fix")
WISH = Wish(calibration=Calibration(source="mcp", samples=6, length=128))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def make(model: Path, name: str, recipe: str = "", wish: Wish = WISH) -> Entry:
    return ensure_entry(str(model), name, recipe=recipe, wish=wish, watch=Watch(lambda _: None))


def config(entry: Entry) -> dict[str, dict[str, dict[str, object]]]:
    whole = json.loads((Path(entry.path) / "config.json").read_text())
    groups: dict[str, dict[str, dict[str, object]]] = whole["quantization_config"]["config_groups"]
    return groups


def test_gptq_is_better_than_rounding_and_gives_the_same_bytes_again(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rounded, best = make(tiny, "w4a16"), make(tiny, "w4a16", "gptq")
    assert best.manifest.mean_error is not None
    assert rounded.manifest.mean_error is not None
    assert best.manifest.mean_error < 0.8 * rounded.manifest.mean_error
    assert best.manifest.size == rounded.manifest.size
    assert best.manifest.size.quantized == 21
    config_file = find_config(best.path)
    assert config_file is not None
    scheme = read_scheme(config_file)
    assert scheme is not None
    assert (scheme.kind, scheme.bits) == ("int", 4)
    monkeypatch.setenv("QBENCH_CACHE", str(tmp_path))
    again = make(tiny, "w4a16", "gptq")
    assert again.path != best.path
    assert again.manifest.fingerprint == best.manifest.fingerprint
    for name in ("model.safetensors", "config.json"):
        assert digest(Path(again.path) / name) == digest(Path(best.path) / name)


def test_layers_keep_their_format_and_groups_are_fitted_by_columns(tiny: Path) -> None:
    wish = Wish(calibration=WISH.calibration, layers={r"layers\.0\.": "bf16", "down_proj": "w8a16"})
    entry = make(tiny, "w4a16", wish=wish)
    stored = load_file(Path(entry.path) / "model.safetensors")
    assert "model.layers.0.mlp.up_proj.weight" in stored
    assert "model.layers.1.mlp.up_proj.weight_packed" in stored
    groups = {str(group["weights"]["num_bits"]): group for group in config(entry).values()}
    assert set(groups) == {"4", "8"}
    assert groups["4"]["weights"]["group_size"] == 64
    assert entry.manifest.size.quantized == 14


def test_what_vllm_multiplies_as_one_must_agree(tiny: Path) -> None:
    wish = Wish(calibration=WISH.calibration, layers={"q_proj": "bf16"})
    with pytest.raises(QuantizationFailed, match="multiplied as one and need one format"):
        make(tiny, "w4a16", wish=wish)


def test_fused_layers_share_nvfp4s_global_scale_and_inputs_are_calibrated(tiny: Path) -> None:
    stored = load_file(Path(make(tiny, "nvfp4").path) / "model.safetensors")
    for family in (
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        ("mlp.gate_proj", "mlp.up_proj"),
    ):
        scales = [stored[f"model.layers.1.{one}.weight_global_scale"] for one in family]
        assert all(torch.equal(scales[0], scale) for scale in scales)
        assert f"model.layers.1.{family[0]}.input_global_scale" in stored


def test_awq_runs_on_a_cpu_and_keeps_zero_points(tiny: Path) -> None:
    entry = make(tiny, "w4a16-awq")
    assert entry.manifest.recipe == "awq"
    stored = load_file(Path(entry.path) / "model.safetensors")
    assert "model.layers.0.mlp.down_proj.weight_zero_point" in stored


def test_not_a_number_in_the_source_is_named(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "broken")
    stored = load_file(folder / "model.safetensors")
    stored["model.layers.1.mlp.up_proj.weight"][3, 5] = float("nan")
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(QuantizationFailed, match=r"NaN or infinity in model.layers.1.mlp.up_proj"):
        make(folder, "fp8")
