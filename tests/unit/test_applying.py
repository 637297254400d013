"""Which layers become one product, which inputs programs make, and what a row then says."""

from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from qbench.errors import Unsupported
from qbench.kernels.formats import FORMATS, get_format
from qbench.kernels.linears.applying import Coded, _joined, ran
from qbench.kernels.linears.fused import Part, Whole, families
from qbench.kernels.linears.linear import Inputs
from qbench.kernels.linears.quant_linear import Way, packed, way_of
from qbench.kernels.reference import Quantized, dequantize, quantize
from tests.unit.test_decoder import fused, model_of

WAYS: dict[str, Way] = {
    "w4a16": "plain",
    "fp8": "tokens",
    "w8a8": "tokens",
    "w4a8": "tokens",
    "fp8-block": "groups",
    "nvfp4": "rounded",
    "mxfp4-mr": "rounded",
    "int4-mr": "rounded",
}


def inputs_of(name: str) -> Inputs:
    fmt = get_format(name)
    return Inputs(scheme=fmt.activations, rotation=fmt.rotation)


@pytest.mark.parametrize("name", WAYS)
def test_formats_say_what_is_done_with_inputs(name: str) -> None:
    assert way_of(inputs_of(name)) == WAYS[name]
    said = ran(get_format(name), [WAYS[name]])
    assert said.path == ("emulated" if WAYS[name] == "rounded" else "native")
    assert said.kernel.startswith(f"qbench triton {name}")


def test_a_row_says_that_fp4_units_multiplied() -> None:
    said = ran(get_format("mxfp4"), ["four bits"])
    assert (said.path, said.kernel) == ("native", "qbench triton mxfp4, in FP4 units")


def test_fixed_scales_are_kept_and_what_nobody_makes_is_refused() -> None:
    scheme = FORMATS["fp8"].activations
    assert scheme is not None
    fixed = msgspec.structs.replace(scheme, strategy="tensor", dynamic=False)
    assert way_of(Inputs(scheme=fixed, scale=0.5)) == "fixed"
    nvfp4 = FORMATS["nvfp4"].activations
    refused: list[dict[str, Any]] = [
        {"rotation": 128},
        {"scheme": FORMATS["mxfp8"].activations},
        {"scheme": nvfp4, "global_scale": 3.0},
        {"scheme": scheme, "scale": 0.5, "rotation": 64},
    ]
    for inputs in refused:
        with pytest.raises(Unsupported, match="emulate=true"):
            way_of(Inputs(**inputs))


def coded(name: str, rows: int, seed: int = 0) -> Coded:
    scheme = get_format(name).weights
    assert scheme is not None
    values = torch.randn(rows, 256, generator=torch.Generator().manual_seed(seed))
    return Coded(quantized=quantize(values, scheme), inputs=inputs_of(name))


def test_scales_that_programs_would_misread_are_refused() -> None:
    made = coded("w4a16", 64)
    halves = Quantized(
        codes=made.quantized.codes,
        scale=made.quantized.scale.half(),
        scheme=made.quantized.scheme,
    )
    assert packed(made.quantized, made.inputs).rows == 64
    with pytest.raises(Unsupported, match="float16"):
        packed(halves, made.inputs)


@pytest.mark.parametrize("name", ["w4a16", "w4a16-awq", "fp8", "mxfp4", "w8a8"])
def test_stored_layers_become_one_with_the_codes_they_have(name: str) -> None:
    parts = [coded(name, rows, seed) for seed, rows in enumerate((64, 32, 32))]
    joined = _joined(parts)
    assert joined is not None
    numbers = [dequantize(part.quantized, torch.float32) for part in parts]
    assert torch.equal(dequantize(joined.quantized, torch.float32), torch.cat(numbers))


def test_layers_that_share_no_scale_stay_apart() -> None:
    assert _joined([coded("nvfp4", 64, 0), coded("nvfp4", 64, 1)]) is None
    assert _joined([coded("nvfp4", 64, 0), coded("nvfp4", 64, 0)]) is not None
    assert _joined([coded("fp8-block", 64), coded("fp8-block", 128)]) is None
    assert _joined([coded("fp8-block", 128), coded("fp8-block", 64)]) is not None
    assert _joined([coded("w4a16", 64), coded("w8a16", 64)]) is None


class _Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        return torch.cat([values, 2 * values, 3 * values], dim=-1)


def test_parts_of_a_product_make_it_once() -> None:
    counted = _Counted()
    whole = Whole(counted, [4, 4, 4])
    parts = [Part(whole, index) for index in range(3)]
    first, second = torch.randn(2, 4), torch.randn(2, 4)
    for values in (first, second, first):
        assert all(torch.equal(part(values), (n + 1) * values) for n, part in enumerate(parts))
    assert counted.calls == 3
    assert whole._given is None  # nothing is kept when all was taken
    parts[0](first)
    assert torch.equal(parts[0](first), first)
    assert torch.equal(parts[2](second), 3 * second)


def test_only_layers_that_take_the_same_input_are_one() -> None:
    model = model_of("llama")
    assert len(families(model)) == 2 * 3
    assert families(nn.Sequential(nn.Linear(4, 4))) == []
    layer = model.get_submodule("model.layers.0.mlp")
    values = torch.randn(3, 64)
    before = layer(values)
    fused(model)
    torch.testing.assert_close(layer(values), before)
    assert isinstance(model.get_submodule("model.layers.0.self_attn.q_proj"), Part)
