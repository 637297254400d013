"""Layers as qbench serves them inside vLLM on a GPU, without vLLM, under Triton's interpreter.

Inputs are float16: the interpreter has no arithmetic for bfloat16.
"""

from __future__ import annotations

import os

import pytest

os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

import torch
from torch import Tensor, nn

from qbench.kernels.checkpoints.packing import pack_bits
from qbench.kernels.formats import FORMATS
from qbench.kernels.lent.gpu_layers import Inputs, Prepared, Served, integers, rotation_taken
from qbench.kernels.linears import linear
from qbench.kernels.reference import dequantize, fake_quantize, quantize
from qbench.kernels.schemes import Scheme

ROWS, COLUMNS = 128, 256
NAMES = ("w3a16", "w8a16", "mxfp4a16", "mxfp4-mr", "nvfp4", "int4-mr", "w4a8-fp4")


def scheme_of(name: str) -> Scheme:
    found = FORMATS[name].weights
    assert found is not None
    return found


def off(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("name", NAMES)
def test_a_served_layer_multiplies_what_the_format_says(name: str) -> None:
    fmt = FORMATS[name]
    made = quantize(torch.randn(ROWS, COLUMNS).bfloat16(), scheme_of(name))
    layer = nn.Linear(COLUMNS, ROWS).requires_grad_(requires_grad=False)
    inputs = Inputs(scheme=fmt.activations, rotation=fmt.rotation)
    served = Served(layer, made, inputs)
    x, bias = torch.randn(2, 3, COLUMNS).half(), torch.randn(ROWS).half()
    given = linear.prepare(x, linear.Inputs(scheme=fmt.activations, rotation=fmt.rotation))
    wanted = given.double() @ dequantize(made, torch.float32).double().t()
    assert off(served(layer, x, None), wanted) < 0.02
    assert off(served(layer, x, bias), wanted + bias.double()) < 0.02
    kept = {part for part, _ in layer.named_parameters()}
    assert "weight" not in kept
    assert {"qbench_codes", "qbench_scale", "bias"} <= kept


def test_operators_stay_whole_where_a_model_is_compiled() -> None:
    made = quantize(torch.randn(ROWS, COLUMNS).bfloat16(), scheme_of("mxfp4-mr"))
    layer = nn.Module()
    served = Served(layer, made, Inputs(scheme=FORMATS["mxfp4"].activations, rotation=64))
    graphs: list[str] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph.code)
        return graph.forward

    x = torch.randn(3, COLUMNS).half()
    whole = torch.compile(lambda x: served(layer, x, None), backend=keep, fullgraph=True)
    assert torch.equal(whole(x), served(layer, x, None))
    assert [graphs[0].count(n) for n in ("qbench_vllm.inputs", "qbench.weight_only")] == [1, 1]


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4", "int4-mr", "mxfp8", "w4a8-fp4", "w8a8"])
def test_inputs_are_rounded_as_the_reference_says(name: str) -> None:
    x = torch.randn(5, COLUMNS).half()
    scheme = FORMATS[name].activations
    assert scheme is not None
    assert torch.equal(Prepared(Inputs(scheme=scheme))(x), fake_quantize(x, scheme))
    assert Prepared(Inputs())(x) is x


def test_packed_integers_are_read_from_a_layer_of_vllms() -> None:
    made = quantize(torch.randn(ROWS, COLUMNS).bfloat16(), scheme_of("w3a16"))
    layer = nn.Module()
    layer.words = nn.Parameter(pack_bits(made.codes, 3), requires_grad=False)
    layer.steps = nn.Parameter(made.scale, requires_grad=False)
    found = integers(layer, made.scheme, ("words", "steps"), COLUMNS)
    assert torch.equal(found.codes, made.codes)
    assert torch.equal(found.scale, made.scale)


class Told:
    """Of a transform: its kind and block."""

    def __init__(self, kind: str, block: int | None) -> None:
        self.scheme = self
        self.type, self.head_dim = kind, block


class Method:
    """Of a layer whose inputs vLLM would transform."""

    def __init__(self, kind: str, block: int | None) -> None:
        self.input_transform: object = self
        self.transforms = {0: Told(kind, block)}


@pytest.mark.parametrize(
    ("kind", "block", "taken"),
    [("hadamard", 128, 128), ("hadamard", 32, 32), ("hadamard", None, None), ("random", 64, None)],
)
def test_rotations_are_taken_over_where_a_program_makes_them(
    kind: str, block: int | None, taken: int | None
) -> None:
    layer = nn.Module()
    assert rotation_taken(layer) is None
    method = Method(kind, block)
    layer.quant_method = method  # type: ignore[assignment]
    assert rotation_taken(layer) == taken
    assert (method.input_transform is None) == (taken is not None)
