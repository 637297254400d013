"""Products in plain torch that do what a kernel should, and may be spoiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qbench.kernels.checking.exact import numbers_of, quantized_weight
from qbench.kernels.formats import Format
from qbench.kernels.reference import dequantize
from qbench.kernels.speed.contestant import Product
from qbench.kernels.speed.work import rounds_inputs

Spoil = Callable[[Tensor], Tensor]


def multiplied(fmt: Format, weight: Tensor, spoil: Spoil = lambda made: made) -> Product | None:
    """Return a product by plain torch in float32, rounded once: what a kernel should do."""
    made = quantized_weight(fmt, weight)
    if made is None:
        return None
    wide = dequantize(made, torch.float32)

    def product(given: Any) -> Tensor:
        if rounds_inputs(fmt):
            codes, scale, dtype = given
            assert fmt.activations is not None
            x = numbers_of(codes, scale, fmt.activations).float()
        else:
            x, dtype = given.float(), given.dtype
        out = torch.empty(len(x), len(wide), dtype=dtype)
        return spoil(out.copy_(x @ wide.T))

    return product
