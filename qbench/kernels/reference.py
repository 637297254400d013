"""Exact quantization by definition, in torch: the reference that kernels are held against.

Symmetric, as compressed-tensors does it: ``scale = absmax / top`` with ``top`` 127.5 and 7.5 for
integers and the largest finite element for floats; elements are rounded to nearest, ties to even,
and saturate. The scale is rounded to the storage type first, so that what is stored is what was
used.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import ConfigError
from qbench.kernels.formats import Element, Scheme

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Magnitudes by code: one exponent bias, one mantissa bit (OCP MX v1.0, section 5.3.3)."""

E4M3_MAX = 448.0
"""Largest finite E4M3 number (OCP FP8 v1.0, table 1): S.1111.110."""

TOPS: dict[Element, float] = {"int4": 7.5, "int8": 127.5, "e4m3": E4M3_MAX, "e2m1": E2M1[-1]}
INTEGERS: dict[Element, tuple[int, int]] = {"int4": (-8, 7), "int8": (-128, 127)}


class Quantized(Struct, frozen=True, kw_only=True):
    """A quantized matrix."""

    codes: Tensor
    """(rows, columns): integers as int8, float elements as float32 values on their grid."""
    scales: Tensor
    """(rows, groups) in the storage type; one group per row unless the scheme has groups."""
    scheme: Scheme


def quantize(matrix: Tensor, scheme: Scheme) -> Quantized:
    """Quantize a (rows, columns) matrix; a row is an output channel or a token.

    Raises:
        ConfigError: NaN or infinity, or columns that are no multiple of the group.

    """
    groups = _grouped(matrix, scheme)
    top = groups.abs().amax(-1, keepdim=True)
    if not bool(torch.isfinite(top).all()):
        raise ConfigError(
            "A matrix with NaN or infinity cannot be quantized.", hint="Check the checkpoint."
        )
    scales = (top / TOPS[scheme.element]).to(matrix.dtype)
    codes = to_grid(groups / divisor(scales), scheme.element)
    return Quantized(codes=codes.reshape(matrix.shape), scales=scales[..., 0], scheme=scheme)


def dequantize(quantized: Quantized, dtype: torch.dtype) -> Tensor:
    """Return (rows, columns) of ``dtype``: codes times scales, multiplied in float32."""
    rows, columns = quantized.codes.shape
    parts = quantized.codes.reshape(rows, quantized.scales.shape[-1], -1).float()
    return (parts * quantized.scales[..., None].float()).reshape(rows, columns).to(dtype)


def fake_quantize(values: Tensor, scheme: Scheme) -> Tensor:
    """Quantize and dequantize activations (..., features), one scale for each token.

    Raises nothing for NaN or infinity: they stay visible in the result.
    """
    wide = values.float()
    scales = (wide.abs().amax(-1, keepdim=True) / TOPS[scheme.element]).to(values.dtype)
    return (to_grid(wide / divisor(scales), scheme.element).float() * scales.float()).to(
        values.dtype
    )


def divisor(scales: Tensor) -> Tensor:
    """Return the scales in float32, with 1 where a group is all zeros (or underflowed)."""
    wide = scales.float()
    return torch.where(wide == 0, torch.ones_like(wide), wide)


def to_grid(values: Tensor, element: Element) -> Tensor:
    """Round float32 values to the nearest element, ties to even, saturating.

    Returns int8 for integers, float32 values on the grid for floats.
    """
    if element in INTEGERS:
        low, high = INTEGERS[element]
        return values.round().clamp(low, high).to(torch.int8)
    if element == "e4m3":
        return values.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn).float()
    return _to_e2m1(values)


def _to_e2m1(values: Tensor) -> Tensor:
    """Round to E2M1: the spacing is 0.5 below 2, 1 below 4, then 2."""
    size = values.abs().clamp(max=E2M1[-1])
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return torch.copysign((size / step).round() * step, values)


def _grouped(matrix: Tensor, scheme: Scheme) -> Tensor:
    """Return (rows, groups, columns of a group) in float32."""
    rows, columns = matrix.shape
    group = scheme.group or columns
    if columns % group:
        raise ConfigError(
            f"Groups of {group} do not divide {columns} columns.",
            hint="Fit the format to the matrix first (`fitted`).",
        )
    return matrix.float().reshape(rows, columns // group, group)
