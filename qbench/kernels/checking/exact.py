"""What a product must give, in float64: the numbers that codes stand for, multiplied and added.

The same references serve `qbench kernels check` and the errors beside timings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qbench.kernels.formats import Format
from qbench.kernels.reference import Quantized, dequantize, quantize
from qbench.kernels.rotation import rotate
from qbench.kernels.schemes import Scheme


def quantized_weight(fmt: Format, weight: Tensor) -> Quantized | None:
    """Return the codes of a weight (N, K), rotated first where the format does; None: it has none.

    Raises as ``quantize`` and ``rotate``.
    """
    if fmt.weights is None:
        return None
    wide = weight.float()
    return quantize(wide if fmt.rotation is None else rotate(wide, fmt.rotation), fmt.weights)


def exact_weight(fmt: Format, weight: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return what is multiplied for a weight (N, K), float64; some ``rows`` of it, or all.

    Codes times scales fit float32 to its last place, which is far below what a product rounds.
    """
    made = quantized_weight(fmt, weight)
    found = weight if made is None else dequantize(made, torch.float32)
    return (found if rows is None else found[rows]).double()


def exact_inputs(fmt: Format, x: Tensor) -> Tensor:
    """Return x (M, K) in float64 as it meets the weight: rotated where the format rotates."""
    wide = x.double()
    return wide if fmt.rotation is None else rotate(wide, fmt.rotation)


def numbers_of(codes: Tensor, scale: Tensor, scheme: Scheme) -> Tensor:
    """Return the float64 numbers of 8-bit ``codes`` (M, K) with a scale per token or group."""
    wide = codes.double()
    if scheme.group is None:
        return wide * scale.double()
    return wide * scale.double().repeat_interleave(scheme.group, dim=1)


def relative_error(made: Tensor, exact: Tensor) -> float:
    """Return the norm of the difference over the norm of ``exact``; NaN where ``made`` has any."""
    exact = exact.double()
    return float((made.double() - exact).norm() / exact.norm())
