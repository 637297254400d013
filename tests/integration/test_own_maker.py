"""Our own maker on a tiny model: what it writes is what it measured, and recipes pay."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.checkpoints.packing import layout_of, unpack
from qbench.kernels.formats import FORMATS, fitted, get_format
from qbench.kernels.reference import dequantize
from qbench.kernels.rotation import hadamard
from qbench.workers.quantize import own, own_files
from qbench.workers.quantize.jobs import Job, Told
from qbench.workers.quantize.own_plan import check_fused, families
from tests.tiny_model import save_tiny_model

Q = "model.layers.0.self_attn.q_proj"
CALIBRATED = {"calibration": "tokens.jsonl", "probe": "probe.jsonl"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices are tiny here: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny model and token files."""
    folder = tmp_path_factory.mktemp("own")
    save_tiny_model(folder / "tiny")
    draw = torch.Generator().manual_seed(3)
    rows = [torch.randint(3, 250, (size,), generator=draw).tolist() for size in [40, 64] * 6]
    (folder / "tokens.jsonl").write_text("\n".join(json.dumps(row) for row in rows[:10]))
    (folder / "probe.jsonl").write_text("\n".join(json.dumps(row) for row in rows[10:]))
    return folder


def job_of(home: Path, out: Path, format_name: str, recipe: str, **more: Any) -> Job:
    out.mkdir()
    for key in ("calibration", "probe"):
        if key in more:
            more[key] = str(home / more[key])
    return Job(
        checkpoint=str(home / "tiny"), out=str(out), format=format_name, recipe=recipe, **more
    )


def made(
    home: Path, out: Path, format_name: str, recipe: str, **more: Any
) -> tuple[dict[str, torch.Tensor], dict[str, Any], own.Maker]:
    """Make a checkpoint; return its tensors, its configuration and what the maker knows."""
    job = job_of(home, out, format_name, recipe, **(CALIBRATED | more))
    maker = own.make(job)
    config = json.loads((out / "config.json").read_text())
    return load_file(out / "model.safetensors"), config, maker


def below(tensors: dict[str, torch.Tensor], layer: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(f"{layer}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{layer}.")
    }


@pytest.mark.parametrize(
    ("format_name", "recipe"),
    [("w4a16", "gptq"), ("nvfp4-mr", "gptq"), ("nf4", "rtn"), ("w4a16-awq", "mse"), ("fp8", "rtn")],
)
def test_what_is_stored_is_what_was_multiplied(
    format_name: str, recipe: str, home: Path, tmp_path: Path
) -> None:
    tensors, config, maker = made(home, tmp_path / "out", format_name, recipe)
    assert len(maker.made) == 3 * 7
    for name, layer in maker.made.items():
        assert layer.fmt.weights is not None
        back = unpack(below(tensors, name), layer.fmt.weights, layout_of(layer.fmt))
        assert torch.equal(dequantize(back, torch.bfloat16), layer.multiplied)
    assert config["dtype"] == "bfloat16"
    assert "lm_head" in str(config["quantization_config"])
    source = load_file(home / "tiny" / "model.safetensors")
    kept = "model.embed_tokens.weight"
    assert torch.equal(tensors[kept], source[kept].bfloat16())
    assert (tmp_path / "out" / "tokenizer.json").exists()


def mean(maker: own.Maker) -> float:
    errors = [error for error in maker.errors.values() if error is not None]
    assert len(errors) == 3
    return sum(errors) / len(errors)


def test_calibration_earns_its_time(home: Path, tmp_path: Path) -> None:
    """On text that calibration has not seen; the low-rank correction on top."""
    _, _, rounded = made(home, tmp_path / "rtn", "w3a16", "rtn")
    _, _, searched = made(home, tmp_path / "mse", "w3a16", "mse")
    options = {"observer": "mse", "act_order": "static"}
    _, _, fitting = made(home, tmp_path / "gptq", "w3a16", "gptq", options=options)
    _, _, corrected = made(home, tmp_path / "low", "w3a16", "gptq", options=options, low_rank=8)
    assert mean(searched) < mean(rounded)
    assert mean(fitting) < 0.9 * mean(rounded)
    assert mean(corrected) < mean(fitting)
    for name, layer in fitting.made.items():
        assert layer.error is not None
        assert layer.error < (rounded.made[name].error or 0)


def test_the_same_job_gives_the_same_bytes(home: Path, tmp_path: Path) -> None:
    made(home, tmp_path / "one", "mxfp4-mr", "gptq")
    made(home, tmp_path / "two", "mxfp4-mr", "gptq")
    files = [(tmp_path / at / "model.safetensors").read_bytes() for at in ("one", "two")]
    assert files[0] == files[1]


def test_layers_that_run_as_one_share_their_global_scale(home: Path, tmp_path: Path) -> None:
    tensors, _, _ = made(home, tmp_path / "out", "nvfp4-mr", "rtn")
    for family in (("self_attn", "q_proj k_proj v_proj"), ("mlp", "gate_proj up_proj")):
        names = [f"model.layers.1.{family[0]}.{end}" for end in family[1].split()]
        for part in ("weight_global_scale", "input_global_scale"):
            assert len({float(tensors[f"{name}.{part}"]) for name in names}) == 1
    downs = tensors["model.layers.1.mlp.down_proj.weight_global_scale"]
    assert float(downs) != float(tensors["model.layers.1.mlp.up_proj.weight_global_scale"])


def test_the_rotation_is_stored_for_readers_that_multiply_by_it(home: Path, tmp_path: Path) -> None:
    tensors, config, _ = made(home, tmp_path / "out", "int4-mr", "rtn")
    sizes = {64: Q, 128: "model.layers.0.mlp.down_proj"}
    for block, layer in sizes.items():
        stored = tensors[f"{layer}.hadamard_{block}_input.weight"]
        assert torch.equal(stored.double() / block**0.5, hadamard(block))
    told = config["quantization_config"]["transform_config"]["config_groups"]
    assert {group["head_dim"] for group in told.values()} == set(sizes)


def test_layers_may_have_another_format(home: Path, tmp_path: Path) -> None:
    layers = {r"layers\.0\.": "bf16", "down_proj": "w8a16"}
    tensors, config, maker = made(home, tmp_path / "out", "w4a16", "rtn", layers=layers)
    assert f"{Q}.weight" in tensors
    bits = {fmt.fmt.name for name, fmt in maker.made.items() if name.endswith("down_proj")}
    assert bits == {"w8a16"}
    assert not any(name.startswith("model.layers.0.") for name in maker.made)
    told = config["quantization_config"]
    assert Q in told["ignore"]
    assert {group["weights"]["num_bits"] for group in told["config_groups"].values()} == {4, 8}


def test_without_data_nothing_is_run(home: Path, tmp_path: Path) -> None:
    job = job_of(home, tmp_path / "out", "w4a16", "rtn")
    maker = own.make(job)
    assert maker.errors == {}
    assert all(layer.error is None for layer in maker.made.values())


@pytest.mark.parametrize(
    ("format_name", "recipe", "more", "said"),
    [
        ("w4a16", "gptq", {}, "GPTQ needs calibration data, and model.layers.0"),
        ("w4a16", "awq", {}, "awq is llm-compressor's"),
        ("w4a16", "rtn", {"layers": {"q_proj": "w8a16"}}, "q_proj and .*k_proj.* need one format"),
        ("w4a16", "rtn", {"layers": {"layers": "bf16"}}, "No layer is left"),
        ("w4a16", "rtn", {"low_rank": 99}, "rank 99 does not fit"),
        ("nf4", "rtn", {"layers": {"down": "w8a16"}}, "nf4 cannot stand beside"),
    ],
)
def test_what_cannot_be_made_is_refused(
    format_name: str, recipe: str, more: dict[str, Any], said: str, home: Path, tmp_path: Path
) -> None:
    with pytest.raises((Unsupported, ConfigError), match=said):
        own.make(job_of(home, tmp_path / "out", format_name, recipe, **more))


def test_damaged_weights_and_token_files_are_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text('{"no": "list"}')
    job = job_of(home, tmp_path / "out", "w4a16", "gptq")
    with pytest.raises(ConfigError, match=r"no file of token lists.*one JSON list"):
        own.make(msgspec.structs.replace(job, calibration=str(tmp_path / "tokens")))
    with pytest.raises(ConfigError, match=r"NaN or infinity in x.*again"):
        own_files.finite("x", torch.tensor([1.0, torch.inf]))


def test_the_program_tells_its_progress_and_its_reason(home: Path, tmp_path: Path) -> None:
    job = job_of(home, tmp_path / "out", "w8a16", "rtn", probe="probe.jsonl")
    file = tmp_path / "job.json"
    command = [sys.executable, "-m", "qbench.workers.quantize.own", str(file)]
    file.write_bytes(msgspec.json.encode(job))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = [msgspec.json.decode(line, type=Told) for line in done.stdout.splitlines()]
    assert [one.what for one in told[1:4]] == [f"model.layers.{at}" for at in range(3)]
    assert set(told[-1].errors) == {f"model.layers.{at}" for at in range(3)}
    assert all(0 < (error or 0) < 0.1 for error in told[-1].errors.values())
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(job, format="w5a16")))
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "no format named 'w5a16'" in failed.stderr.splitlines()[-1]


def test_families_keep_their_order() -> None:
    names = ["a.q_proj", "a.k_proj", "a.v_proj", "a.o_proj", "m.gate_proj", "m.up_proj"]
    assert families(names) == [names[:3], names[3:4], names[4:]]
    check_fused(dict.fromkeys(names, "w4a16"))
    assert fitted(get_format("w4a16"), 64).weights != FORMATS["w4a16"].weights
