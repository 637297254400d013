"""Weights for products with 4-bit inputs: E2M1 codes in rows, as FP4 matrix units read them.

``codes``: uint8 (rows, columns / 2), even columns in the low half, columns filled up to whole steps
of a program with zeros. ``scale``: bytes (rows, columns / group): exponents moved up by 127 (E8M0)
of MXFP4, E4M3 of NVFP4, whose float32 global scale is in ``factor``. ``rotate_pack`` writes tokens
in the same layout, without filling.

Which GPUs: compute capability 10.0 and later. None was there to run it on: see ``product``.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from qbench.errors import Unsupported
from qbench.kernels.floats import E2M1, decode
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.reference import Quantized
from qbench.kernels.schemes import Scheme

STEP = 256
"""Columns that a program multiplies at a time."""
SINCE = (10, 0)
"""The least compute capability that multiplies FP4: Blackwell."""
_KINDS = (("e8m0", 32), ("e4m3", 16))
"""Scales that the units take, and columns of each."""


@cache
def multiplies_four_bits(device: torch.device) -> bool:
    """Tell whether a device has matrix units for FP4."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= SINCE


def reads(weights: Scheme, activations: Scheme) -> bool:
    """Tell whether the program multiplies codes of these two: MXFP4 or NVFP4 on both sides."""
    return weights.scale_dtype == activations.scale_dtype and all(
        scheme.element == "e2m1" and (scheme.scale_dtype, scheme.group) in _KINDS
        for scheme in (weights, activations)
    )


def pack_four_bits(quantized: Quantized, activations: Scheme) -> PackedWeight:
    """Return a weight (rows, columns) whose ``activations`` come in 4 bits, ready for a product.

    Raises:
        Unsupported: other schemes than MXFP4 twice or NVFP4 twice.

    """
    scheme, (rows, columns) = quantized.scheme, quantized.codes.shape
    if not reads(scheme, activations):
        raise Unsupported(
            f"No FP4 unit multiplies {scheme.element} by {scheme.scale_dtype} with "
            f"{activations.element} by {activations.scale_dtype}.",
            hint="Use mxfp4 or nvfp4 on both sides, or round inputs and multiply in 16 bits.",
        )
    missing, group = -columns % STEP, scheme.group or 1
    codes = pad(quantized.codes, (0, missing))
    scale = pad(_scale_bytes(quantized), (0, (columns + missing) // group - columns // group))
    return PackedWeight(
        scheme=scheme,
        activations=activations,
        rows=rows,
        columns=columns,
        codes=codes[:, 0::2] | (codes[:, 1::2] << 4),
        scale=scale.contiguous(),
        factor=1.0 if quantized.global_scale is None else 1.0 / float(quantized.global_scale),
    )


def _scale_bytes(quantized: Quantized) -> Tensor:
    """Return scales as they are stored, uint8 (rows, groups)."""
    if quantized.scheme.two_level:
        return quantized.scale.to(torch.float8_e4m3fn).view(torch.uint8)
    exponents: Tensor = torch.frexp(quantized.scale.float())[1]
    return (exponents + 126).to(torch.uint8)


def unpacked_four_bits(weight: PackedWeight) -> Tensor:
    """Return what a weight of ``pack_four_bits`` stands for: (rows, columns) float32."""
    numbers = numbers_of_codes(weight.codes, weight.scale, weight.scheme)
    return numbers[:, : weight.columns].float() * weight.factor


def numbers_of_codes(codes: Tensor, scale: Tensor, scheme: Scheme) -> Tensor:
    """Return float64 numbers of packed codes (M, K / 2) with scales (M, K / group); no factor."""
    apart = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(-2)
    if scheme.two_level:
        steps = scale.view(torch.float8_e4m3fn).double()
    else:
        steps = torch.exp2(scale.double() - 127)
    return decode(apart, E2M1).double() * steps.repeat_interleave(scheme.group or 1, dim=1)
