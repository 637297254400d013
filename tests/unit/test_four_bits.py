"""Products of 4-bit floats: interpreted against float64; compiled for GPUs that are not here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from itertools import product
from pathlib import Path

import pytest
import torch

os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.activation import reference
from qbench.kernels.activation.fourbits import FourBits
from qbench.kernels.formats import FORMATS, get_format
from qbench.kernels.gemm.four_bits.launch import divided, held, multiply_packed
from qbench.kernels.gemm.four_bits.packing import (
    multiplies_four_bits,
    numbers_of_codes,
    pack_four_bits,
    reads,
    unpacked_four_bits,
)
from qbench.kernels.gemm.multiply import multiply_four_bits, refuse_without_units
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.linears.applying import _rounded
from qbench.kernels.linears.linear import prepare
from qbench.kernels.linears.quant_linear import QuantLinear, packed
from qbench.kernels.paths import OWN_FOUR_BITS, own_way
from qbench.kernels.reference import Quantized, dequantize, quantize

NAMES = ("mxfp4", "nvfp4")
SHAPES = [
    (1, 128, 512),  # one stream
    (3, 100, 288),  # nothing is a multiple of a tile
    (150, 129, 608),  # more tokens and rows than a program holds
]


def made(name: str, m: int, n: int, k: int) -> tuple[Quantized, PackedWeight, FourBits]:
    """Return a weight (n, k), plain and packed, and tokens (m, k) of very different sizes."""
    form, draw = FORMATS[name], torch.Generator().manual_seed(m + n + k)
    assert form.weights is not None
    assert form.activations is not None
    weight = quantize(torch.randn(n, k, generator=draw) * 0.02, form.weights)
    x = torch.randn(m, k, generator=draw) * torch.logspace(-3, 2, m)[:, None]
    tokens = reference.rotate_pack(x.bfloat16(), None, form.activations)
    return weight, pack_four_bits(weight, form.activations), FourBits(*tokens)


def numbers(tokens: FourBits, packed: PackedWeight) -> torch.Tensor:
    wide = numbers_of_codes(tokens.codes, tokens.scale, packed.scheme)
    return wide if tokens.factor is None else wide / tokens.factor.double()


@pytest.mark.parametrize("split", [1, 2, 3])
@pytest.mark.parametrize(("name", "shape"), [*product(NAMES, SHAPES)])
def test_products_are_those_of_float64(name: str, shape: tuple[int, int, int], split: int) -> None:
    _, packed, tokens = made(name, *shape)
    found = multiply_packed(*tokens, packed, torch.float32, split)
    wanted = numbers(tokens, packed) @ unpacked_four_bits(packed).double().t()
    for one, other in zip(found.double(), wanted, strict=True):  # tokens differ in size
        assert (one - other).norm() <= 1e-6 * other.norm()


@pytest.mark.parametrize("name", NAMES)
def test_a_packed_weight_is_the_same_numbers(name: str) -> None:
    weight, packed, _ = made(name, 1, 96, 288)
    wanted = dequantize(weight, torch.float32)
    assert torch.allclose(unpacked_four_bits(packed), wanted, rtol=2e-7, atol=0)
    assert packed.codes.shape == (96, 256)  # columns in whole steps, two a byte
    assert packed.scale.shape == (96, 512 // (weight.scheme.group or 1))


@pytest.mark.parametrize("name", NAMES)
def test_one_hot_tokens_give_columns_of_the_weight(name: str) -> None:
    weight, packed, _ = made(name, 1, 70, 256)
    group = weight.scheme.group or 1
    codes = torch.zeros(256, 128, dtype=torch.uint8)
    at = torch.arange(256)
    codes[at, at // 2] = torch.where(at % 2 == 0, 2, 2 << 4).to(torch.uint8)  # 1.0
    exponents = torch.full((256, 256 // group), 127, dtype=torch.uint8)
    ones = exponents if name == "mxfp4" else torch.ones(256, 16).to(torch.float8_e4m3fn)
    factor = None if name == "mxfp4" else torch.ones(256, 1)
    found = multiply_four_bits(codes, ones, factor, packed, torch.float32)
    assert torch.equal(found, unpacked_four_bits(packed).t())


@pytest.mark.parametrize("name", OWN_FOUR_BITS)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_layer_on_such_a_gpu_gives_what_its_emulation_gives(name: str, *, compiled: bool) -> None:
    draw = torch.Generator().manual_seed(5)
    coded = _rounded(torch.randn(64, 256, generator=draw).bfloat16(), get_format(name))
    weight = packed(coded.quantized, coded.inputs, four_bit_units=True)
    layer = QuantLinear(weight, inputs=coded.inputs)
    assert layer.way == "four bits"
    call = torch.compile(layer, fullgraph=True, backend="eager") if compiled else layer
    values = torch.randn(2, 3, 256, generator=draw).bfloat16()
    wanted = prepare(values, coded.inputs).float() @ dequantize(coded.quantized, torch.float32).t()
    assert (call(values).float() - wanted).norm() <= 6e-3 * wanted.norm()
    torch.compiler.reset()  # a process keeps eight graphs of a function


def test_other_devices_and_formats_round_inputs_as_before() -> None:
    coded = _rounded(torch.randn(64, 256), get_format("int4-mr"))
    assert packed(coded.quantized, coded.inputs, four_bit_units=True).activations is None
    coded = _rounded(torch.randn(64, 256), get_format("mxfp4-mr"))
    layer = QuantLinear(packed(coded.quantized, coded.inputs), inputs=coded.inputs)
    assert layer.way == "rounded"
    assert not multiplies_four_bits(torch.device("cpu"))


@pytest.mark.parametrize(
    ("capability", "native"), [((9, 0), False), ((10, 0), True), ((10, 3), True), ((12, 0), True)]
)
def test_the_capability_of_a_gpu_decides(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], *, native: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    multiplies_four_bits.cache_clear()
    assert multiplies_four_bits(torch.device("cuda", 0)) is native
    with nullcontext() if native else pytest.raises(Unsupported, match="no units for FP4"):
        refuse_without_units(torch.device("cuda", 0))
    multiplies_four_bits.cache_clear()


def test_what_the_embedded_engine_runs_is_told() -> None:
    for name in OWN_FOUR_BITS:
        assert own_way(get_format(name), "sm_90").path == "emulated"
        found = own_way(get_format(name), "sm_100")
        assert (found.path, found.kernel) == ("native", "qbench FP4, Triton")
        assert "never run" in found.note
    assert own_way(get_format("int4-mr"), "sm_100").path == "emulated"


def test_schemes_and_inputs_that_do_not_belong_together_are_refused() -> None:
    weight, packed, tokens = made("nvfp4", 3, 64, 256)
    other = FORMATS["mxfp4"].activations
    assert other is not None
    assert not reads(weight.scheme, other)
    with pytest.raises(Unsupported, match="No FP4 unit multiplies"):
        pack_four_bits(weight, other)
    with pytest.raises(ConfigError, match="do not go with a weight"):
        multiply_four_bits(tokens.codes, tokens.scale, None, packed)
    with pytest.raises(ConfigError, match="do not go with a weight"):
        multiply_four_bits(*made("mxfp4", 3, 64, 256)[2], packed)
    none = multiply_four_bits(tokens.codes[:0], tokens.scale[:0], torch.ones(0, 1), packed)
    assert none.shape == (0, 64)


def test_layouts_follow_from_the_shape() -> None:
    assert [held(tokens, 16) for tokens in (1, 33, 1000)] == [32, 64, 128]
    assert held(1, 32) == 64
    assert [divided(32, 16, 148), divided(32, 4, 148), divided(500, 56, 148)] == [4, 2, 1]


def test_it_compiles_to_instructions_of_fp4_units() -> None:
    backend = Path(pytest.importorskip("triton.backends.nvidia.compiler").__file__)
    if not (backend.parent / "bin/ptxas-blackwell").exists():
        pytest.skip("this Triton brings no assembler for Blackwell")
    told = {**os.environ, "TRITON_DEFAULT_FP_FUSION": "1"}
    told.pop("TRITON_INTERPRET")
    command = [sys.executable, "-m", "tests.blackwell"]
    ran = subprocess.run(command, env=told, capture_output=True, text=True, check=True)
    for case, found in json.loads(ran.stdout).items():
        (instruction,) = found["products"]
        assert "block_scale" in instruction, case
        assert "mxf4" in instruction, case
        assert (found["ahead"] > 0, found["waited"]) == (True, 0), case
