"""The kernels that qbench lends to GPUs inside the real vLLM, run by Triton's interpreter.

Needs a vLLM whose environment also has Triton. The platform is a CPU's, and so is the registry;
what is registered, chosen, loaded and multiplied is what a GPU gets. Inputs are float16, since the
interpreter has no arithmetic for bfloat16.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qbench.kernels.checkpoints.packing import layout_of, pack
from qbench.kernels.formats import FORMATS, Format
from qbench.kernels.linears.linear import Inputs, prepare
from qbench.kernels.reference import Quantized, dequantize, quantize
from qbench.workers.engines.vllm_environment import VllmEnvironment, find_vllm
from qbench.workers.engines.vllm_lent import lending

ROWS, COLUMNS, TOKENS = 128, 256, 5
GLOBAL_SCALE = 448.0 * 6 / 9

INSIDE = """
import os, sys
import torch
from safetensors.torch import load_file, save_file
from vllm.model_executor.kernels import linear
from vllm.model_executor.layers.quantization.compressed_tensors.schemes import (
    compressed_tensors_w4a4_nvfp4 as nvfp4)
from vllm.platforms import current_platform
from vllm.plugins import load_general_plugins
from vllm.scalar_type import scalar_types

folder, rows, columns, name = sys.argv[1:]
rows, columns = int(rows), int(columns)
load_general_plugins()
torch.set_default_dtype(torch.float16)
TYPES = {2: scalar_types.uint2b2, 3: scalar_types.uint3b4, 4: scalar_types.uint4b8,
         8: scalar_types.uint8b128}


def integers(groups):
    named = linear.MPLinearLayerConfig.__dataclass_fields__
    config = linear.MPLinearLayerConfig(
        full_weight_shape=(columns, rows), partition_weight_shape=(columns, rows),
        weight_type=TYPES[int(name.lstrip("wint")[0])], act_type=torch.float16,
        group_size=-1 if groups == 1 else columns // groups, zero_points=False,
        **({"has_g_idx": False} if "has_g_idx" in named else {}))
    kind = linear.choose_mp_linear_kernel(config, compute_capability=90)
    return kind(config, "weight_packed", "weight_scale")


class Turned:
    "As vLLM's HadamardTransform tells of itself."
    class Told:
        class scheme:
            type, head_dim = "hadamard", 128
    transforms = {0: Told}


class Method:
    input_transform = Turned()


given = load_file(f"{folder}/{name}.safetensors")
x = given.pop("x")
layer = torch.nn.Module()
for part, tensor in given.items():
    layer.register_parameter(part, torch.nn.Parameter(tensor, requires_grad=False))
if name.endswith("-mr"):
    layer.quant_method = Method()
if name.startswith("nvfp4"):
    kernel = nvfp4.CompressedTensorsW4A4Fp4(use_a16=name.endswith("a16"))
elif "fp4" in name:
    layer.weight = layer.weight_packed
    kernel = linear.init_mxfp4_linear_kernel()
else:
    kernel = integers(layer.weight_scale.shape[1])
kernel.process_weights_after_loading(layer)
y = kernel.apply_weights(layer, x, None)
apply = torch.compile(lambda x: kernel.apply_weights(layer, x, None), backend="eager",
                      fullgraph=True)
assert torch.equal(apply(x), y)
if name.endswith("-mr"):
    assert layer.quant_method.input_transform is None
print("KERNEL", type(getattr(kernel, "kernel", kernel)).__name__)
save_file({"y": y}, f"{folder}/{name}.out.safetensors")
"""

KERNELS = {
    "w3a16": "QbenchTritonIntegerLinearKernel",
    "w2a16": "QbenchTritonIntegerLinearKernel",
    "w8a16": "QbenchTritonIntegerLinearKernel",
    "w4a16": "QbenchTritonIntegerLinearKernel",
    "int4-mr": "QbenchRoundingIntegerLinearKernel",
    "mxfp4a16": "QbenchTritonMxFp4LinearKernel",
    "mxfp4": "QbenchRoundingMxFp4LinearKernel",
    "mxfp4-mr": "QbenchRoundingMxFp4LinearKernel",
    "w4a8-fp4": "QbenchRoundingMxFp4LinearKernel",
    "nvfp4a16": "QbenchTritonNvFp4LinearKernel",
    "nvfp4": "QbenchRoundingNvFp4LinearKernel",
    "nvfp4-mr": "QbenchRoundingNvFp4LinearKernel",
}
SUMS, NEIGHBOURS = 0.004, 0.02
"""Norm of the difference over the norm: 16-bit results of sums in another order; and where a
rotated input is its 16-bit neighbour and so may get the next code."""


def has_triton() -> bool:
    """Whether vLLM's environment has Triton."""
    found = find_vllm()
    return bool(found) and VllmEnvironment(found).has("triton/backends/nvidia")


pytestmark = pytest.mark.skipif(
    not (os.environ.get("QBENCH_VLLM") and has_triton()),
    reason="QBENCH_VLLM does not name a vLLM with Triton beside it",
)


def layer_of(format_name: str) -> tuple[Format, Quantized, Tensor]:
    """Return a format, a quantized layer of it, and inputs."""
    torch.manual_seed(3)
    weight = torch.randn(ROWS, COLUMNS).to(torch.bfloat16)
    x = torch.randn(TOKENS, COLUMNS).to(torch.float16) * 3
    fmt = FORMATS[format_name]
    assert fmt.weights is not None
    return fmt, quantize(weight, fmt.weights), x


def run_inside(folder: Path, name: str) -> str:
    """Serve one layer in vLLM's own python; return the kernel that was chosen."""
    environment = VllmEnvironment(find_vllm())
    python = Path(environment.program[0]).parent / "python"
    with lending(environment, kernels=True) as lent:
        told = {
            **os.environ,
            "QBENCH_KERNELS": name,
            "TRITON_INTERPRET": "1",
            "VLLM_TARGET_DEVICE": "cpu",
            "PYTHONPATH": os.pathsep.join(map(str, [*lent.folders, *environment.told_path])),
        }
        command = [str(python), "-c", INSIDE, str(folder), str(ROWS), str(COLUMNS), name]
        done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("KERNEL"))


@pytest.mark.parametrize("format_name", KERNELS)
def test_a_kernel_lent_to_gpus_computes_what_the_reference_says(
    format_name: str, tmp_path: Path
) -> None:
    fmt, made, x = layer_of(format_name)
    tensors = {part: tensor.contiguous() for part, tensor in pack(made, layout_of(fmt)).items()}
    tensors.pop("weight_shape", None)
    calibrated = GLOBAL_SCALE if format_name == "nvfp4" else None
    if format_name.startswith("nvfp4") and fmt.activations:
        tensors["input_global_scale"] = torch.tensor([calibrated or 2688.0 / float(x.abs().max())])
    save_file({**tensors, "x": x}, tmp_path / f"{format_name}.safetensors")
    assert run_inside(tmp_path, format_name) == KERNELS[format_name]
    given = float(tensors["input_global_scale"]) if "input_global_scale" in tensors else None
    inputs = Inputs(scheme=fmt.activations, rotation=fmt.rotation, global_scale=given)
    wanted = prepare(x, inputs).double() @ dequantize(made, torch.float32).double().t()
    found = load_file(tmp_path / f"{format_name}.out.safetensors")["y"].double()
    error = float((found - wanted).norm() / wanted.norm())
    assert error < (NEIGHBOURS if fmt.rotation else SUMS)
