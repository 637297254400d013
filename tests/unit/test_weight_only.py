"""Products of 16-bit inputs with packed weights under Triton's interpreter, against float64."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("programs are compiled in this process", allow_module_level=True)

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.formats import FORMATS
from qbench.kernels.gemm.multiply import multiply, multiply_quantized
from qbench.kernels.gemm.weight_only.launch import dequantized
from qbench.kernels.gemm.weight_only.packing import layout_of, pack_weight
from qbench.kernels.gemm.weight_only.tuning import Config
from qbench.kernels.reference import Quantized, dequantize, quantize
from qbench.kernels.schemes import Scheme


def _preset(name: str) -> Scheme:
    scheme = FORMATS[name].weights
    assert scheme is not None
    return scheme


SCHEMES = {
    **{name: _preset(name) for name in ("w4a16", "w8a16", "w3a16", "w2a16")},
    **{name: _preset(name) for name in ("w4a16-awq", "mxfp4a16", "nvfp4a16")},
    "int4 of 64": Scheme(element="int4", strategy="group", group=64),
    "int4 of 32": Scheme(element="int4", strategy="group", group=32),
    "int4 of 32 with zeros": Scheme(element="int4", strategy="group", group=32, symmetric=False),
    "int4 by channel": Scheme(element="int4", strategy="channel"),
    "int8 of 128": Scheme(element="int8", strategy="group", group=128),
    "int2 of 64": Scheme(element="int2", strategy="group", group=64),
}
CONFIGS = {
    "shares": Config("narrow", 16, 8, shares=4),
    "split": Config("narrow", 64, 16, split=2),
    "tiles": Config("wide", 64, 32),
    "folded": Config("wide", 64, 32, parts=2, fold=True),
    "unpacked": Config("unpack"),
}


def _weight(scheme: Scheme, n: int, k: int) -> Quantized:
    return quantize(torch.randn(n, k), scheme)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", SCHEMES)
def test_products_are_those_of_the_dequantized_weight(name: str, config: str) -> None:
    group = SCHEMES[name].group or 128
    quantized = _weight(SCHEMES[name], 130, 5 * group if group > 16 else 80)
    exact = dequantize(quantized, torch.float32).double()
    x = torch.randn(3, exact.shape[1]).bfloat16()
    found = multiply(x, pack_weight(quantized), config=CONFIGS[config])
    wanted = x.double() @ exact.T
    assert found.dtype == torch.bfloat16
    error = (found.double() - wanted).norm() / wanted.norm()
    assert error < (0.006 if config in ("folded", "unpacked") else 0.004)


@pytest.mark.parametrize("name", ["w4a16", "w8a16", "w3a16", "mxfp4a16"])
def test_half_precision_inputs_too(name: str) -> None:
    quantized = _weight(SCHEMES[name], 64, 256)
    x = torch.randn(2, 256).half()
    wanted = x.double() @ dequantize(quantized, torch.float32).double().T
    for config in CONFIGS.values():
        found = multiply(x, pack_weight(quantized), config=config).double()
        assert (found - wanted).norm() / wanted.norm() < 2e-3


@pytest.mark.parametrize("name", SCHEMES)
def test_unpacking_gives_every_number_back(name: str) -> None:
    quantized = _weight(SCHEMES[name], 70, 384)
    found = dequantized(pack_weight(quantized), torch.float16)  # the interpreter cuts bfloat16
    assert torch.equal(found, dequantize(quantized, torch.float16))


@pytest.mark.parametrize("config", ["shares", "split", "tiles"])
def test_one_hot_inputs_give_columns(config: str) -> None:
    quantized = _weight(SCHEMES["mxfp4a16"], 64, 256)
    x = torch.zeros(2, 256, dtype=torch.bfloat16)
    x[0, 7] = x[1, 250] = 1
    found = multiply(x, pack_weight(quantized), config=CONFIGS[config])
    assert torch.equal(found, dequantize(quantized, torch.bfloat16)[:, [7, 250]].T)


def test_the_tuned_table_serves_any_shape() -> None:
    quantized = _weight(SCHEMES["w4a16"], 130, 384)
    exact = dequantize(quantized, torch.float32).double()
    packed = pack_weight(quantized)
    for tokens in (0, 1, 17, 70):
        x = torch.randn(tokens, 384).bfloat16()
        wanted = x.double() @ exact.T
        assert (multiply(x, packed).double() - wanted).norm() <= 0.006 * wanted.norm()


def test_what_does_not_fit_is_refused() -> None:
    packed = pack_weight(_weight(SCHEMES["w4a16"], 64, 256))
    with pytest.raises(ConfigError, match="does not fit"):
        multiply(torch.zeros(2, 128, dtype=torch.bfloat16), packed)
    with pytest.raises(ConfigError, match="does not fit"):
        multiply(torch.zeros(2, 256), packed)
    with pytest.raises(ConfigError, match="without gaps"):
        multiply(torch.zeros(256, 2, dtype=torch.bfloat16).t(), packed)
    with pytest.raises(ConfigError, match="not for inputs of 8 bits"):
        multiply_quantized(torch.zeros(2, 256, dtype=torch.int8), torch.ones(2, 1), packed)
    narrow = Scheme(element="int4", strategy="group", group=128, scale_dtype="float16")
    with pytest.raises(Unsupported, match="bfloat16"):
        pack_weight(_weight(narrow, 64, 256))
    with pytest.raises(Unsupported, match="No program"):
        layout_of(_preset("nf4"))


def test_decoding_costs_few_instructions() -> None:
    backend = Path(pytest.importorskip("triton.backends.nvidia.compiler").__file__)
    if not (backend.parent / "bin/nvdisasm").exists():
        pytest.skip("this Triton brings no disassembler")
    told = {**os.environ, "TRITON_DEFAULT_FP_FUSION": "1"}
    told.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "scripts/count_instructions.py"]
    ran = subprocess.run(command, env=told, capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    # left to the compilers they were 3.16, 5.07 and 5.59
    assert 1.5 < found["int4/128"] < 3
    assert 1.5 < found["mxfp4/32"] < 4
    assert 1.5 < found["nvfp4/16"] < 4.3
