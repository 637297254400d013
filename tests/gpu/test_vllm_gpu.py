"""Layers as qbench serves them inside vLLM on a GPU, in bfloat16, against float64."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytest.importorskip("triton")

import torch
from torch import Tensor, nn

from qbench.kernels.checkpoints.packing import layout_of, pack
from qbench.kernels.formats import FORMATS, Format
from qbench.kernels.lent.gpu_layers import Inputs, Served
from qbench.kernels.linears import linear
from qbench.kernels.reference import Quantized, dequantize, quantize

pytestmark = pytest.mark.gpu

N, K = 640, 1024
NAMES = (
    *("w4a16", "w3a16", "w2a16", "w8a16", "mxfp4a16", "nvfp4a16"),
    *("mxfp4", "nvfp4", "w4a8-fp4", "mxfp4-mr", "nvfp4-mr", "int4-mr"),
)
SUMS = 0.004
"""Norm of the difference over the norm: results in 16 bits, and codes of inputs that lay between
two."""


def made_of(fmt: Format) -> Quantized:
    assert fmt.weights is not None
    return quantize(torch.randn(N, K, device="cuda").bfloat16(), fmt.weights)


def wanted_of(fmt: Format, made: Quantized, x: Tensor, shared: float | None = None) -> Tensor:
    how = linear.Inputs(scheme=fmt.activations, rotation=fmt.rotation, global_scale=shared)
    return linear.prepare(x, how).double() @ dequantize(made, torch.float32).double().t()


def off(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("m", [1, 17, 300, 2048])
@pytest.mark.parametrize("name", NAMES)
def test_a_served_layer_is_what_the_format_says(name: str, m: int) -> None:
    torch.manual_seed(m)
    fmt = FORMATS[name]
    made, layer = made_of(fmt), nn.Module()
    served = Served(layer, made, Inputs(scheme=fmt.activations, rotation=fmt.rotation))
    x = torch.randn(m, K, device="cuda").bfloat16()
    assert off(served(layer, x, None), wanted_of(fmt, made, x)) < SUMS


def test_a_calibrated_global_scale_is_used() -> None:
    torch.manual_seed(2)
    fmt = FORMATS["nvfp4"]
    made, layer, x = made_of(fmt), nn.Module(), torch.randn(17, K, device="cuda").bfloat16()
    shared = torch.tensor(2688.0 / 30, device="cuda")
    served = Served(layer, made, Inputs(scheme=fmt.activations, shared=shared))
    assert off(served(layer, x, None), wanted_of(fmt, made, x, float(shared))) < SUMS


def test_a_layer_is_captured_in_a_cuda_graph() -> None:
    torch.manual_seed(3)
    fmt = FORMATS["mxfp4-mr"]
    made, layer, x = made_of(fmt), nn.Module(), torch.randn(4, K, device="cuda").bfloat16()
    served = Served(layer, made, Inputs(scheme=fmt.activations, rotation=fmt.rotation))
    served(layer, x, None)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = served(layer, x, None)
    x.copy_(torch.randn(4, K, device="cuda"))
    graph.replay()
    assert off(found, wanted_of(fmt, made, x)) < SUMS


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not in this environment")
def test_mxfp8_is_rounded_before_vllms_own_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_KERNELS", "mxfp8")
    from vllm.model_executor.kernels.linear import init_mxfp8_linear_kernel  # noqa: PLC0415

    from qbench.kernels.lent import gpu  # noqa: PLC0415

    gpu.register()
    kernel = init_mxfp8_linear_kernel()
    assert type(kernel).__name__ == "QbenchRoundingMarlinMxfp8LinearKernel"
    fmt = FORMATS["mxfp8"]
    made, x = made_of(fmt), torch.randn(17, K, device="cuda").bfloat16()
    layer = nn.Module()
    for name, tensor in pack(made, layout_of(fmt)).items():
        layer.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
    layer.output_size_per_partition, layer.input_size_per_partition = N, K  # type: ignore[assignment]
    torch.set_default_dtype(torch.bfloat16)
    kernel.process_weights_after_loading(layer)
    torch.set_default_dtype(torch.float32)
    assert off(kernel.apply_weights(layer, x), wanted_of(fmt, made, x)) < SUMS
