"""compressed-tensors itself reads what we pack: the same numbers to the last bit.

It lives in an environment of its own; ``QBENCH_LLMCOMPRESSOR`` names that environment's python.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

from qbench.kernels.checkpoints.packing import layout_of, pack
from qbench.kernels.checkpoints.packing_config import quantization_config
from qbench.kernels.formats import FORMATS, fitted
from qbench.kernels.reference import dequantize, quantize
from qbench.kernels.rotation import rotate

COLUMNS = 192
ROWS = 150  # no multiple of 128: the last block of rows is not full
FOREIGN = """
import json, sys
from pathlib import Path
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from compressed_tensors.transform import TransformConfig, TransformFactory
from safetensors.torch import load_file, save_file

folder = Path(sys.argv[1])
read = {}
for name, config in json.loads((folder / "configs.json").read_text()).items():
    scheme = QuantizationConfig.model_validate(config).config_groups["group_0"]
    compressor = BaseCompressor.get_value_from_registry(config["format"])
    stored = load_file(folder / f"{name}.safetensors")
    read[name] = compressor.decompress(stored, scheme)["weight"].contiguous()
    transforms = TransformConfig.model_validate(config.get("transform_config") or
                                                {"config_groups": {}})
    for title, transform in transforms.config_groups.items():
        layer = torch.nn.Sequential(torch.nn.Linear(192, 192, bias=False)).double()
        layer[0].weight.data = torch.eye(192, dtype=torch.float64)
        transform.precision = torch.float64
        transform.apply = [arg for arg in transform.apply if arg.location == "input"]
        TransformFactory.from_scheme(transform, name=title).apply_to_model(layer, use_tqdm=False)
        inputs = torch.arange(192, dtype=torch.float64).sqrt()[None]
        read[f"{name} turned"] = layer(inputs).detach()
save_file(read, folder / "read.safetensors")
"""
NAMES = [name for name, fmt in FORMATS.items() if fmt.weights and fmt.weights.element != "nf4"]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Return what compressed-tensors reads of each format's layer."""
    python = os.environ.get("QBENCH_LLMCOMPRESSOR", "")
    if not python:
        pytest.skip("QBENCH_LLMCOMPRESSOR names no python with llm-compressor")
    folder = tmp_path_factory.mktemp("foreign")
    configs = {}
    for name in NAMES:
        fmt = fitted(FORMATS[name], COLUMNS)
        assert fmt.weights is not None
        save_file(
            pack(quantize(weight(), fmt.weights), layout_of(fmt)), folder / f"{name}.safetensors"
        )
        configs[name] = quantization_config({"layer": fmt}, ["layer"])
    (folder / "configs.json").write_text(json.dumps(configs))
    (folder / "foreign.py").write_text(FOREIGN)
    _run([python, str(folder / "foreign.py"), str(folder)])
    return load_file(folder / "read.safetensors")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def weight() -> torch.Tensor:
    made = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(5)) * 0.05
    made[7] = 0
    made[9, 3] = 4.0
    return made.bfloat16()


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_the_numbers_that_we_mean(name: str, foreign: dict[str, torch.Tensor]) -> None:
    fmt = fitted(FORMATS[name], COLUMNS)
    assert fmt.weights is not None
    theirs = foreign[name]
    ours = dequantize(quantize(weight(), fmt.weights), theirs.dtype)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", [name for name in NAMES if FORMATS[name].rotation])
def test_it_rotates_inputs_as_we_do(name: str, foreign: dict[str, torch.Tensor]) -> None:
    inputs = torch.arange(COLUMNS, dtype=torch.float64).sqrt()[None]
    block = fitted(FORMATS[name], COLUMNS).rotation
    assert block == 64
    torch.testing.assert_close(foreign[f"{name} turned"], rotate(inputs, block), rtol=0, atol=1e-12)
