"""What quantization means, exactly: the arithmetic every faster path is tested against.

Conventions of compressed-tensors, symmetric and rounded to nearest even:

======= =========================== ======================
element scale                       codes
======= =========================== ======================
int b   absmax / ((2^b - 1) / 2)    -2^(b-1) .. 2^(b-1)-1
e4m3    absmax / 448                E4M3, saturating
e2m1    absmax / 6                  E2M1, saturating
======= =========================== ======================

Two choices of ours, both towards what GPU kernels do:

- Quotients and products are computed in float32 and rounded once. (compressed-tensors divides in
  the weight's own type; in bfloat16 that rounds int8 twice.)
- A scale is rounded to ``Scheme.scale_dtype`` *before* codes are made, so codes fit the scale that
  is kept. Weight scales are bfloat16, the type in which checkpoints hold the weights. Activation
  scales are float32: they are never stored, and kernels keep them so.

Scales have a floor (the smallest number of their type that divides safely), so rows of zeros give
zeros.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import EngineError, Unsupported
from qbench.kernels.floats import E2M1, E4M3, decode, encode, round_to
from qbench.kernels.formats import ELEMENT_BITS, Element, FloatName, Scheme

FLOATS: dict[FloatName, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
}
_DIVISORS: dict[Element, float] = {
    "int8": 127.5,
    "int4": 7.5,
    "e4m3": E4M3.largest,
    "e2m1": E2M1.largest,
}
_FLOORS: dict[FloatName, float] = {"bfloat16": 2**-126, "float16": 2**-24, "float32": 2**-126}


class Quantized(Struct, frozen=True, kw_only=True):
    """A quantized tensor of shape (..., columns)."""

    codes: Tensor
    """Shape of the tensor. int8 for int8 and int4, float8_e4m3fn for e4m3, uint8 for e2m1."""
    scale: Tensor
    """In the scheme's scale type. (..., 1) by channel or token, (..., groups), or all ones."""
    scheme: Scheme


def quantize(values: Tensor, scheme: Scheme, *, scale: Tensor | None = None) -> Quantized:
    """Return codes and scales of ``values`` (out, in) or (..., columns), found from their peaks.

    A given ``scale`` is used instead. Needs one float32 copy of ``values``.

    Raises:
        EngineError: NaN, infinity, or a peak so large that its dequantized value may overflow.
        Unsupported: groups that do not divide the columns.

    """
    if scale is None:
        scale = _scales(values, scheme).to(FLOATS[scheme.scale_dtype])
    quotient = _grouped(values.to(torch.float32, copy=True), scheme)
    quotient.div_(_spread(scale.float(), scheme))
    codes = _codes(quotient, scheme.element).reshape(values.shape)
    return Quantized(codes=codes, scale=scale, scheme=scheme)


def dequantize(quantized: Quantized, dtype: torch.dtype) -> Tensor:
    """Return code x scale, rounded once to ``dtype``, in the shape of the codes."""
    scheme = quantized.scheme
    codes = quantized.codes
    wide = decode(codes, E2M1) if scheme.element == "e2m1" else codes.to(torch.float32)
    product = _grouped(wide, scheme).mul_(_spread(quantized.scale.float(), scheme))
    return product.to(dtype).reshape(codes.shape)


def fake_quantize(values: Tensor, scheme: Scheme) -> Tensor:
    """Return what ``dequantize(quantize(values, scheme), values.dtype)`` does, without codes.

    For activations, (..., columns), each token scaled by its own peak. Raises as ``quantize``.
    """
    if values.numel() == 0:
        return values
    scale = _spread(_scales(values, scheme), scheme)
    wide = _grouped(values.to(torch.float32, copy=True), scheme)
    rounded = _rounded(wide.div_(scale), scheme.element)
    return rounded.mul_(scale).to(values.dtype).reshape(values.shape)


def _scales(values: Tensor, scheme: Scheme) -> Tensor:
    """Return float32 scales that the scheme's scale type holds exactly."""
    grouped = _grouped(values, scheme)
    if scheme.strategy == "tensor":
        peaks = grouped.abs().amax().view((1,) * values.ndim)
    else:
        peaks = grouped.abs().amax(dim=-1, keepdim=scheme.group is None)
    _refuse_overflow(peaks)
    scale = peaks.float().div_(_DIVISORS[scheme.element])
    if scheme.scale_dtype != "float32":
        scale = scale.to(FLOATS[scheme.scale_dtype]).float()
    return scale.clamp_min_(_FLOORS[scheme.scale_dtype])


def _refuse_overflow(peaks: Tensor) -> None:
    """Refuse NaN, infinity, and peaks whose code times scale could pass the type's largest."""
    largest = torch.finfo(peaks.dtype).max
    peak = float(peaks.max())
    if not peak <= 0.9 * largest:
        raise EngineError(
            f"Values to be quantized peak at {peak}, and {peaks.dtype} ends at {largest:.3g}.",
            hint="The checkpoint is damaged, or needs a wider type: compare with --formats fp32.",
        )


def _grouped(values: Tensor, scheme: Scheme) -> Tensor:
    """Return ``values`` with their columns split into (groups, group), where the scheme has any."""
    if scheme.group is None:
        return values
    columns = values.shape[-1]
    if columns % scheme.group:
        raise Unsupported(
            f"Groups of {scheme.group} do not divide {columns} columns.",
            hint="Fit the format to the layer first: qbench.kernels.formats.fitted.",
        )
    return values.reshape(*values.shape[:-1], -1, scheme.group)


def _spread(scale: Tensor, scheme: Scheme) -> Tensor:
    """Return ``scale`` shaped to multiply grouped values."""
    return scale if scheme.group is None else scale.unsqueeze(-1)


def _rounded(quotient: Tensor, element: Element) -> Tensor:
    """Round to the element's values and saturate; overwrites ``quotient`` where it can."""
    if element == "e4m3":
        return _e4m3(quotient).to(torch.float32)
    if element == "e2m1":
        return round_to(quotient, E2M1)
    return _integers(quotient, element)


def _codes(quotient: Tensor, element: Element) -> Tensor:
    """Return the codes of ``quotient``, which is overwritten."""
    if element == "e4m3":
        return _e4m3(quotient)
    if element == "e2m1":
        return encode(quotient, E2M1)
    return _integers(quotient, element).to(torch.int8)


def _e4m3(quotient: Tensor) -> Tensor:
    """Torch's conversion does not saturate, so clamp first; it then equals ``floats.encode``."""
    largest = _DIVISORS["e4m3"]
    return quotient.clamp_(-largest, largest).to(torch.float8_e4m3fn)


def _integers(quotient: Tensor, element: Element) -> Tensor:
    """Round in place to integers of two's complement."""
    half = 1 << (ELEMENT_BITS[element] - 1)
    return quotient.round_().clamp_(-half, half - 1)
