"""The codes of a checkpoint reach packed weights as they are stored."""

import json
from pathlib import Path

import pytest
import torch

from qbench.kernels.formats import get_format
from qbench.kernels.linears.fused import Part
from qbench.kernels.linears.quant_linear import QuantLinear, packed
from qbench.kernels.reference import Quantized
from qbench.workers.embedded.loading import _from_codes, load
from qbench.workers.embedded.stored import Restored, restore
from qbench.workers.embedded.stored_layers import reader_of
from tests.quantized_model import save_quantized
from tests.tiny_model import save_tiny_model

MIXER = "model.layers.1.self_attn"


def restored_of(folder: Path, name: str, *, keep_codes: bool = True) -> Restored:
    stored = save_quantized(folder, folder / name, name)
    told = json.loads((stored / "config.json").read_text())["quantization_config"]
    return restore(stored, reader_of(told), torch.bfloat16, keep_codes=keep_codes)


@pytest.mark.parametrize("name", ["w4a16", "w8a16", "fp8", "w8a8", "mxfp4a16", "mxfp4-mr"])
def test_stored_codes_are_packed_and_siblings_are_one_product(tmp_path: Path, name: str) -> None:
    folder = save_tiny_model(tmp_path)
    restored = restored_of(folder, name)
    model = load(folder, "bf16", device="cpu").model
    ran = _from_codes(model, restored, get_format(name))
    assert ran is not None
    assert ran.kernel.startswith(f"qbench triton {name}")
    alone = model.get_submodule(f"{MIXER}.o_proj")
    assert isinstance(alone, QuantLinear)
    own = f"{MIXER}.o_proj"
    expected = packed(restored.coded[own], restored.inputs[own])
    assert torch.equal(bits(alone.weight.codes), bits(expected.codes))
    parts = [model.get_submodule(f"{MIXER}.{part}_proj") for part in "qkv"]
    assert all(isinstance(part, Part) for part in parts)
    assert len({part.whole for part in parts if isinstance(part, Part)}) == 1


def bits(codes: torch.Tensor) -> torch.Tensor:
    return codes.contiguous().view(torch.uint8)


def test_codes_are_kept_only_where_they_are_wanted(tmp_path: Path) -> None:
    restored = restored_of(save_tiny_model(tmp_path), "w4a16", keep_codes=False)
    assert not restored.coded
    assert _from_codes(torch.nn.Linear(1, 1), restored, get_format("w4a16")) is None


def test_what_no_program_reads_is_left_to_the_emulation(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    restored = restored_of(folder, "mxfp8")
    model = load(folder, "bf16", device="cpu").model
    before = type(model.get_submodule(f"{MIXER}.o_proj"))
    assert _from_codes(model, restored, get_format("mxfp8")) is None
    assert type(model.get_submodule(f"{MIXER}.o_proj")) is before
    assert all(isinstance(codes, Quantized) for codes in restored.coded.values())
