"""Products of 16-bit inputs with packed weights on a GPU: against float64, one-hot, in graphs."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")
if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

from qbench.kernels.formats import FORMATS, fitted
from qbench.kernels.gemm.multiply import multiply
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.unpacked import unpacked
from qbench.kernels.gemm.weight_only.launch import dequantized
from qbench.kernels.gemm.weight_only.packing import pack_weight
from qbench.kernels.gemm.weight_only.tuning import Config
from qbench.kernels.reference import dequantize, quantize

pytestmark = pytest.mark.gpu

NAMES = ["w4a16", "w4a16-awq", "w8a16", "mxfp4a16", "nvfp4a16", "w3a16", "w2a16"]
SHAPES = [
    (1, 4096, 4096),  # one stream
    (7, 576, 1536),  # SmolLM2, down
    (17, 192, 576),  # SmolLM2, keys
    (33, 1536, 576),  # SmolLM2, up
    (64, 4096, 14336),  # a batch: programs share the columns
    (257, 1000, 2048),  # rows that no tile divides
    (1000, 4096, 1024),
    (4096, 512, 512),  # prefill
]
CONFIGS = [
    Config("narrow", 16, 8, shares=8),
    Config("narrow", 32, 16, stages=4, shares=4),
    Config("narrow", 64, 16, split=4),
    Config("narrow", 64, 64, split=2),
    Config("wide", 128, 128, 8, parts=2, fold=True),
    Config("wide", 64, 32),
    Config("unpack"),
]


def _weight(name: str, n: int, k: int) -> tuple[PackedWeight, Tensor]:
    scheme = fitted(FORMATS[name], k).weights if k % 32 == 0 else None
    assert scheme is not None
    quantized = quantize(torch.randn(n, k, device="cuda"), scheme)
    return pack_weight(quantized), dequantize(quantized, torch.float64)


def _poison(m: int, n: int) -> None:
    """Leave NaN where the next output will lie."""
    torch.full((m, n), float("nan"), device="cuda", dtype=torch.bfloat16)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_products_are_those_of_float64(name: str, m: int, n: int, k: int) -> None:
    weight, exact = _weight(name, n, k)
    for dtype, bound in ((torch.bfloat16, 4e-3), (torch.float16, 2e-3)):
        x = torch.randn(m, k, device="cuda", dtype=dtype)
        _poison(m, n)
        wanted = x.double() @ exact.t()
        assert float((multiply(x, weight).double() - wanted).norm() / wanted.norm()) < bound


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_program_multiplies_every_kind(name: str, config: Config) -> None:
    weight, exact = _weight(name, 640, 1536)
    x = torch.randn(40, 1536, device="cuda", dtype=torch.bfloat16)
    found = multiply(x, weight, config=config)
    wanted = x.double() @ exact.t()
    assert float((found.double() - wanted).norm() / wanted.norm()) < 4e-3
    assert torch.equal(found, multiply(x, weight, config=config)), "the same bits every time"


@pytest.mark.parametrize("name", NAMES)
def test_weights_come_back_exactly(name: str) -> None:
    weight, exact = _weight(name, 200, 1536)
    assert torch.equal(dequantized(weight, torch.bfloat16), exact.bfloat16())
    torch.testing.assert_close(unpacked(weight).double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("config", CONFIGS[:4], ids=str)
def test_one_hot_inputs_give_columns(config: Config) -> None:
    weight, exact = _weight("mxfp4a16", 256, 1024)
    x = torch.zeros(8, 1024, device="cuda", dtype=torch.bfloat16)
    columns = torch.randint(1024, (8,), device="cuda")
    x[torch.arange(8), columns] = 1
    assert torch.equal(multiply(x, weight, config=config), exact[:, columns].t().bfloat16())


def test_a_graph_of_products_replays() -> None:
    weight, exact = _weight("w4a16", 4096, 4096)
    x = torch.randn(1, 4096, device="cuda", dtype=torch.bfloat16)
    multiply(x, weight)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        multiply(x, weight)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(20):
                found = multiply(x, weight)
    for _ in range(3):
        x.normal_()
        graph.replay()
        torch.cuda.synchronize()
        wanted = x.double() @ exact.t()
        assert float((found.double() - wanted).norm() / wanted.norm()) < 4e-3
