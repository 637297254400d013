"""Products of 8-bit inputs on a GPU: against float64, one-hot inputs, graphs and many streams."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")
if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

from qbench.kernels.formats import FORMATS, Format, fitted
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.scaled.launch import choose, multiply_scaled, run
from qbench.kernels.gemm.scaled.packing import pack_bytes, unpacked_bytes
from qbench.kernels.reference import Quantized, dequantize, quantize

pytestmark = pytest.mark.gpu

NAMES = ["fp8", "fp8-block", "w8a8", "w4a8"]
SHAPES = [
    (1, 4096, 4096),  # one stream
    (7, 576, 1536),  # SmolLM2, down
    (17, 192, 576),  # SmolLM2, keys: groups of 64
    (33, 1536, 576),  # SmolLM2, up
    (257, 1000, 2048),  # rows that no tile divides
    (1000, 4096, 1024),
    (8192, 512, 512),  # prefill
]
TOLERANCE = {"fp8": 5e-3, "fp8-block": 5e-4, "w8a8": 1e-6, "w4a8": 5e-4}
"""Of the norm. E4M3 sums stay in the matrix unit, which keeps 14 bits, where M is large."""


def _weight(name: str, n: int, k: int) -> tuple[Format, PackedWeight]:
    form = fitted(FORMATS[name], k)
    assert form.weights is not None
    assert form.activations is not None
    values = torch.randn(n, k, device="cuda")
    return form, pack_bytes(quantize(values, form.weights), form.activations)


def _inputs(form: Format, m: int, k: int) -> Quantized:
    assert form.activations is not None
    values = torch.randn(m, k, device="cuda") * torch.rand(m, 1, device="cuda").exp()
    return quantize(values, form.activations)


def _float64(inputs: Quantized, weight: PackedWeight) -> Tensor:
    return dequantize(inputs, torch.float64) @ unpacked_bytes(weight).double().t()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_products_are_those_of_float64(name: str, m: int, n: int, k: int) -> None:
    form, weight = _weight(name, n, k)
    inputs = _inputs(form, m, k)
    out = torch.full((m, n), float("nan"), device="cuda")
    run(inputs.codes, inputs.step, weight, out, choose(weight, m))
    wanted = _float64(inputs, weight)
    assert float((out - wanted).norm()) <= TOLERANCE[name] * float(wanted.norm())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("m", [16, 64, 512, 4096])
def test_one_hot_inputs_give_the_weight_exactly(name: str, m: int) -> None:
    form, weight = _weight(name, 576, 4096)
    columns = torch.randint(4096, (m,), device="cuda")
    values = torch.zeros(m, 4096, device="cuda")
    values[torch.arange(m, device="cuda"), columns] = 1.0
    kind = torch.int8 if name == "w8a8" else torch.float8_e4m3fn
    groups = 4096 // 128 if form.name == "fp8-block" else 1
    scale = torch.ones(m, groups, device="cuda")
    made = multiply_scaled(values.to(kind), scale, weight, torch.float32)
    assert torch.equal(made, unpacked_bytes(weight)[:, columns].t())


@pytest.mark.parametrize("name", NAMES)
def test_results_do_not_depend_on_who_was_last(name: str) -> None:
    form, weight = _weight(name, 4096, 4096)
    inputs = _inputs(form, 16, 4096)
    first = multiply_scaled(inputs.codes, inputs.step, weight)
    for _ in range(50):
        assert torch.equal(multiply_scaled(inputs.codes, inputs.step, weight), first)


def test_a_graph_replays_what_ran_and_streams_keep_apart() -> None:
    form, weight = _weight("fp8", 4096, 4096)
    inputs = _inputs(form, 16, 4096)
    wanted = multiply_scaled(inputs.codes, inputs.step, weight)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = multiply_scaled(inputs.codes, inputs.step, weight)
    others = [torch.cuda.Stream() for _ in range(3)]
    for _ in range(20):
        graph.replay()
        for stream in others:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                beside = multiply_scaled(inputs.codes, inputs.step, weight)
            torch.cuda.current_stream().wait_stream(stream)
            assert torch.equal(beside, wanted)
        assert torch.equal(made, wanted)
