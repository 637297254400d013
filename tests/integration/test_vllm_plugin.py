"""qbench's kernels inside the real vLLM: the same numbers as the reference, to the last bit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from qbench.kernels.checkpoints.packing import layout_of, pack
from qbench.kernels.formats import FORMATS, Format, fitted
from qbench.kernels.linears.linear import Inputs, prepare
from qbench.kernels.reference import Quantized, dequantize, quantize
from qbench.workers.engines.vllm_environment import VllmEnvironment, find_vllm
from qbench.workers.engines.vllm_lent import lending

ROWS, COLUMNS = 64, 192
GLOBAL_SCALE = 448.0 * 6 / 9

INSIDE = """
import inspect, os, sys
import torch
from safetensors.torch import load_file, save_file
from vllm.model_executor.kernels import linear
from vllm.model_executor.layers.quantization.compressed_tensors.schemes import (
    compressed_tensors_w4a4_nvfp4 as nvfp4)
from vllm.plugins import load_general_plugins
from vllm.scalar_type import scalar_types

folder, rows, columns, *names = sys.argv[1:]
rows, columns = int(rows), int(columns)
load_general_plugins()
torch.set_default_dtype(torch.bfloat16)
TYPES = {2: scalar_types.uint2b2, 3: scalar_types.uint3b4, 4: scalar_types.uint4b8,
         8: scalar_types.uint8b128}


def integers(name, groups):
    named = linear.MPLinearLayerConfig.__dataclass_fields__
    config = linear.MPLinearLayerConfig(
        full_weight_shape=(columns, rows), partition_weight_shape=(columns, rows),
        weight_type=TYPES[int(name.lstrip("wint")[0])], act_type=torch.bfloat16,
        group_size=-1 if groups == 1 else columns // groups, zero_points=False,
        **({"has_g_idx": False} if "has_g_idx" in named else {}))
    return linear.choose_mp_linear_kernel(config)(config, "weight_packed", "weight_scale")


for name in names:
    os.environ["QBENCH_EMULATE"] = name
    given = load_file(f"{folder}/{name}.safetensors")
    x = given.pop("x")
    layer = torch.nn.Module()
    for part, tensor in given.items():
        layer.register_parameter(part, torch.nn.Parameter(tensor, requires_grad=False))
    if name.startswith("nvfp4"):
        kernel = nvfp4.CompressedTensorsW4A4Fp4(use_a16=name.endswith("a16"))
    elif name == "mxfp8":
        wanted = inspect.signature(linear.init_mxfp8_linear_kernel).parameters
        shape = {"weight_shape": (rows, columns)} if "weight_shape" in wanted else {}
        kernel = linear.init_mxfp8_linear_kernel(**shape)
    elif "fp4" in name:
        layer.weight = layer.weight_packed
        kernel = linear.init_mxfp4_linear_kernel()
    else:
        kernel = integers(name, layer.weight_scale.shape[1])
    kernel.process_weights_after_loading(layer)
    y = kernel.apply_weights(layer, x, None)
    print("KERNEL", name, type(getattr(kernel, "kernel", kernel)).__name__)
    held = layer.weight if hasattr(layer, "weight") else layer.weight_packed
    save_file({"y": y, "weight": held.data.contiguous()}, f"{folder}/{name}.out.safetensors")
"""

FORMAT_NAMES = [
    "w8a16",
    "w3a16",
    "w2a16",
    "nvfp4",
    "nvfp4a16",
    "mxfp4",
    "mxfp4a16",
    "w4a8-fp4",
    "mxfp8",
    "int4-mr",
]

pytestmark = pytest.mark.skipif(
    not (os.environ.get("QBENCH_VLLM") and find_vllm()),
    reason="QBENCH_VLLM does not name a vLLM executable or environment",
)


def layer_of(format_name: str) -> tuple[Format, Quantized, Tensor]:
    """Return a fitted format, a quantized layer of it, and inputs."""
    torch.manual_seed(3)
    weight = torch.randn(ROWS, COLUMNS).to(torch.bfloat16)
    x = torch.randn(5, COLUMNS).to(torch.bfloat16) * 3
    fmt = fitted(FORMATS[format_name], COLUMNS)
    assert fmt.weights is not None
    return fmt, quantize(weight, fmt.weights), x


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Run every kernel in vLLM's own python, found as an engine would; return which was chosen."""
    folder = tmp_path_factory.mktemp("layers")
    for name in FORMAT_NAMES:
        fmt, made, x = layer_of(name)
        tensors = {part: tensor.contiguous() for part, tensor in pack(made, layout_of(fmt)).items()}
        tensors.pop("weight_shape", None)
        if name == "nvfp4":
            tensors["input_global_scale"] = torch.tensor([GLOBAL_SCALE])
        save_file({**tensors, "x": x}, folder / f"{name}.safetensors")
    return folder, run_inside(folder)


def run_inside(folder: Path) -> dict[str, str]:
    environment = VllmEnvironment(find_vllm())
    python = Path(environment.program[0]).parent / "python"
    with lending(environment, kernels=True) as lent:
        told = {
            **os.environ,
            "QBENCH_EMULATE": "int4-mr",
            "VLLM_TARGET_DEVICE": "cpu",
            "PYTHONPATH": os.pathsep.join(map(str, lent.folders)),
        }
        sizes = [str(ROWS), str(COLUMNS)]
        command = [str(python), "-c", INSIDE, str(folder), *sizes, *FORMAT_NAMES]
        done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("KERNEL")]
    return {name: kernel for _, name, kernel in lines}


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_a_lent_kernel_computes_what_the_reference_says(
    format_name: str, inside: tuple[Path, dict[str, str]]
) -> None:
    folder, kernels = inside
    fmt, made, x = layer_of(format_name)
    found = load_file(folder / f"{format_name}.out.safetensors")
    weight = dequantize(made, torch.bfloat16)
    calibrated = GLOBAL_SCALE if format_name == "nvfp4" else None
    inputs = Inputs(scheme=fmt.activations, global_scale=calibrated)
    assert "Emulation" in kernels[format_name]
    assert torch.equal(found["weight"], weight)
    assert torch.equal(found["y"], functional.linear(prepare(x, inputs), weight))
