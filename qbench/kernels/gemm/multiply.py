"""Products with packed weights: which program runs is decided here, by scheme, shape and device."""

from __future__ import annotations

import torch
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.gemm.packed import PackedWeight


def multiply(x: Tensor, weight: PackedWeight) -> Tensor:
    """Return ``x`` (M, K) of 16 bits times the weight (N, K) transposed: (M, N) in x's type.

    Raises:
        Unsupported: the weight's format quantizes activations, or nothing here runs on the device.

    """
    if weight.activations is not None:
        raise Unsupported(
            "This weight wants quantized inputs.", hint="Call multiply_quantized with their codes."
        )
    raise Unsupported(f"No program for {x.device}.", hint="Use the emulation: kernels.linear.")


def multiply_quantized(
    codes: Tensor, scale: Tensor, weight: PackedWeight, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Return 8-bit ``codes`` (M, K) times the weight (N, K) transposed, scaled: (M, N).

    ``scale``: float32 (M, 1), or (M, K / 128) where the weight comes in blocks of 128.

    Raises:
        Unsupported: nothing here runs on the device.

    """
    del scale, weight, dtype
    raise Unsupported(f"No program for {codes.device}.", hint="Use the emulation: kernels.linear.")
