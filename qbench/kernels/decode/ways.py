"""Programs by name: Triton is imported when the first of them is started."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

PROGRAMS = {
    "attend": "qbench.kernels.decode.launch:attend",
    "turn": "qbench.kernels.decode.launch:turn",
    "take_likeliest": "qbench.kernels.decode.launch:take_likeliest",
    "norm_quantize": "qbench.kernels.activation.norms:norm_quantize",
    "silu_quantize": "qbench.kernels.activation.gating:silu_quantize",
    "norm": "qbench.kernels.decode.launch:norm",
    "silu_multiply": "qbench.kernels.decode.launch:silu_multiply",
}


@cache
def program(name: str) -> Callable[..., Any]:
    """Return what starts the program ``name``. Raises ModuleNotFoundError without Triton."""
    module, _, attribute = PROGRAMS[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found
