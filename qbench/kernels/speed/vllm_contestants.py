"""vLLM's own products as contestants: Marlin, Machete, and CUTLASS. Imports no vLLM.

================== ===================================================== ====================
contestant         formats                                               activations
================== ===================================================== ====================
marlin             w4a16, w4a16-awq, w8a16, nvfp4a16, mxfp4a16           16 bits
marlin weight-only fp8, nvfp4, mxfp4, mxfp8                              16 bits: a fallback
machete            w4a16, w4a16-awq, w8a16                               16 bits, sm_90 alone
cutlass scaled_mm  fp8, fp8-block, w8a8                                  rounded within
cutlass product    fp8, w8a8                                             rounded before
cutlass w4a8       w4a8                                                  rounded within, sm_90
================== ===================================================== ====================

Weights are those of ``qbench.kernels.reference.quantize``; each contestant lays them out by vLLM's
own functions. Where vLLM or a CUDA GPU is missing, and where a contestant has no product for a
format, a group or a shape, there is none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from qbench.kernels.formats import Format
from qbench.kernels.speed.contestant import Contestant, Product

_PRODUCTS = "qbench.kernels.speed.vllm_products"

Make = Callable[[Format, Tensor], Product | None]


def _product(name: str) -> Make:
    """Return what makes the product called ``name``, which is looked up where vLLM is."""

    def make(fmt: Format, weight: Tensor) -> Product | None:
        if not weight.is_cuda or find_spec("vllm") is None:
            return None
        found: Product | None = getattr(importlib.import_module(_PRODUCTS), name)(fmt, weight)
        return found

    return make


def _rounded(fmt: Format, x: Tensor) -> Any:
    """Round x (M, K) as vLLM does before a CUTLASS product."""
    return importlib.import_module(_PRODUCTS).rounded(fmt, x)


CONTESTANTS = (
    Contestant(name="marlin", make=_product("marlin")),
    Contestant(name="marlin weight-only", make=_product("marlin_fallback")),
    Contestant(name="machete", make=_product("machete")),
    Contestant(name="cutlass scaled_mm", make=_product("scaled_mm")),
    Contestant(
        name="cutlass product", make=_product("scaled_product"), part="product", prepare=_rounded
    ),
    Contestant(name="cutlass w4a8", make=_product("w4a8")),
)
"""In the order in which they are shown."""


def vllm_version() -> str:
    """Return the version of the vLLM that takes part; empty where there is none."""
    if not torch.cuda.is_available() or find_spec("vllm") is None:
        return ""
    return str(importlib.import_module("vllm").__version__)
