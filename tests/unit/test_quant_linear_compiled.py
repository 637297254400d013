"""``torch.compile`` keeps the operators of a layer, and computes what the layer means."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qbench.kernels.formats import fitted, get_format
from qbench.kernels.linears.applying import _rounded
from qbench.kernels.linears.linear import prepare
from qbench.kernels.linears.quant_linear import QuantLinear, packed
from qbench.kernels.reference import dequantize

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.parametrize("name", ["w4a16", "w4a16-awq", "fp8", "fp8-block", "w8a8", "mxfp4-mr"])
def test_a_layer_is_one_graph_with_its_operators(name: str) -> None:
    pytest.importorskip("triton")
    seen: list[str] = []

    def backend(graph: torch.fx.GraphModule, _inputs: Any) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes if "qbench" in str(node.target))
        return graph.forward

    fmt = fitted(get_format(name), 256)
    draw = torch.Generator().manual_seed(7)
    made = _rounded(torch.randn(128, 256, generator=draw).bfloat16(), fmt)
    layer = QuantLinear(packed(made.quantized, made.inputs), inputs=made.inputs)
    values = torch.randn(2, 3, 256, generator=draw).bfloat16()
    found = torch.compile(layer, fullgraph=True, backend=backend)(values).float()
    wanted = prepare(values, made.inputs).float() @ dequantize(made.quantized, torch.float32).t()
    assert float((found - wanted).norm() / wanted.norm()) < 6e-3
    assert any("scaled" in name or "weight_only" in name for name in seen)
