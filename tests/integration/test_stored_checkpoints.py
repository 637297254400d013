"""Checkpoints that llm-compressor wrote, as compressed-tensors itself reads them: to the last bit.

Its environment is named by ``QBENCH_LLMCOMPRESSOR``; nothing that it makes is kept.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from qbench.errors import Unsupported
from qbench.kernels.linears.linear import EmulatedLinear, prepare
from qbench.workers.embedded.loading import load
from qbench.workers.embedded.stored import Restored, restore
from qbench.workers.embedded.stored_layers import reader_of
from qbench.workers.engines.schemes import read_quantization, read_scheme
from tests.tiny_model import save_tiny_model

SCRIPT = Path(__file__).parents[1] / "foreign_checkpoints.py"
LAYER = "model.layers.1.mlp.down_proj"
ONLY_WEIGHTS = ("int4", "zero", "int3", "int8", "mixed", "mxfp4a16", "nvfp4a16")
LABELS = {
    "int4": ("w4a16", "int4 group 32, activations 16"),
    "zero": ("w4a16-awq", "int4 group 32 with zero points, activations 16"),
    "int3": ("w3a16", "int3 group 32, activations 16"),
    "int8": ("w8a16", "int8, activations 16"),
    "w8a8": ("w8a8", "int8, activations 8"),
    "fp8": ("fp8", "float8, activations 8"),
    "fixed": ("fp8", "float8, activations 8 by fixed scales"),
    "block": ("fp8-block", "float8 in blocks, activations 8"),
    "mixed": ("w4a16", "mixed: int8, activations 8; int4 group 32, activations 16"),
    "mxfp4": ("mxfp4", "float4 group 32, activations 4"),
    "mxfp4a16": ("mxfp4a16", "float4 group 32, activations 16"),
    "mxfp8": ("mxfp8", "float8 group 32, activations 8"),
    "nvfp4": ("nvfp4", "float4 group 16, activations 4"),
    "nvfp4a16": ("nvfp4a16", "float4 group 16, activations 16"),
    "turned": ("mxfp4-mr", "float4 group 32, activations 4, rotated by 32"),
}
"""Checkpoint -> the format it can be asked for as, and its label without who wrote it."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of checkpoints, each beside what compressed-tensors makes of it."""
    python = os.environ.get("QBENCH_LLMCOMPRESSOR", "")
    if not python:
        pytest.skip("QBENCH_LLMCOMPRESSOR names no python with llm-compressor")
    out = tmp_path_factory.mktemp("made")
    source = save_tiny_model(out / "source")
    command = [python, str(SCRIPT), str(source), str(out)]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def restored(folder: Path) -> Restored:
    told = read_quantization(folder / "config.json")
    return restore(folder, reader_of(told), torch.bfloat16)


@pytest.mark.parametrize("name", LABELS)
def test_every_layer_is_what_the_library_turns_it_back_into(name: str, made: Path) -> None:
    found = restored(made / name)
    expected = load_file(made / name / "weights.bin")
    assert set(found.inputs) == set(expected)
    for layer, weight in expected.items():
        assert torch.equal(found.state[f"{layer}.weight"], weight), layer


@pytest.mark.parametrize("name", [name for name in LABELS if name != "turned"])
def test_a_layer_answers_as_the_library_does(name: str, made: Path) -> None:
    """To the last bit with 16-bit inputs; else but for activation scales.

    The library rounds those to 16 bits, and MX ones to another power of two where the peak's
    fraction is large.
    """
    found, known = restored(made / name), load_file(made / name / "layer.bin")
    inputs = prepare(known["inputs"], found.inputs[LAYER])
    outputs = functional.linear(inputs, found.state[f"{LAYER}.weight"])
    if name in ONLY_WEIGHTS:
        assert torch.equal(outputs, known["outputs"])
        return
    assert not torch.equal(inputs, known["inputs"])
    far = (outputs - known["outputs"]).float().norm() / known["outputs"].float().norm()
    assert far < (0.06 if name == "mxfp4" else 0.03)


def test_a_rotated_layer_does_what_it_did_before(made: Path) -> None:
    """The library forgets the rotation of inputs when it loads, so the source is the measure."""
    found = restored(made / "turned")
    assert [one.rotation for one in found.inputs.values()].count(32) == 3
    known = load_file(made / "source" / "model.safetensors")[f"{LAYER}.weight"].bfloat16()
    inputs = load_file(made / "turned" / "layer.bin")["inputs"]
    outputs = functional.linear(
        prepare(inputs, found.inputs[LAYER]), found.state[f"{LAYER}.weight"]
    )
    expected = functional.linear(inputs, known)
    assert (outputs - expected).float().norm() < 0.3 * expected.float().norm()


@pytest.mark.parametrize("name", LABELS)
def test_a_checkpoint_is_named_and_served_by_what_it_holds(name: str, made: Path) -> None:
    asked, label = LABELS[name]
    scheme = read_scheme(made / name / "config.json")
    assert scheme is not None
    assert scheme.label == f"compressed-tensors {label}"
    loaded = load(made / name, asked, device="cpu")
    assert loaded.effective == scheme.label
    layer = loaded.model.get_submodule(LAYER)
    assert isinstance(layer, EmulatedLinear)
    assert layer.inputs == restored(made / name).inputs[LAYER]
    least = min(part.bits for part in scheme.parts or (scheme,))
    assert least < loaded.bits_per_weight < least + 5
    with pytest.raises(Unsupported, match="which is not w2a16"):
        load(made / name, "w2a16", device="cpu")
