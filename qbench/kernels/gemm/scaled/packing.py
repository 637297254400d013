"""Weights for products with 8-bit inputs: bytes in rows, int4 codes two groups to a byte.

``e4m3`` and ``int8``: codes (rows, columns) as they are, columns filled up to whole chunks with
zeros. Scales float32: (rows,) of channels (one of a tensor is repeated), or (row blocks, blocks).

``int4``, symmetric: a byte holds codes of two neighbouring groups, both moved up by 8: byte
``i * group + j`` of a row is column j of group ``2 i`` in its lower half, and column j of group
``2 i + 1`` in its upper half. So each half of a tile of bytes is a tile of one group. Columns are
filled up to whole pairs of groups. Scales: (groups, rows) as stored, of a filling group zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.gemm.packed import CHUNK, PackedWeight
from qbench.kernels.reference import Quantized
from qbench.kernels.schemes import Scheme

ZERO = 8
"""What int4 codes are moved up by, to be positive."""
GROUPS = (32, 64, 128)
"""Columns that may share a scale."""


def pack_bytes(quantized: Quantized, activations: Scheme) -> PackedWeight:
    """Return a weight (rows, columns) whose ``activations`` come in 8 bits, ready for a product.

    Raises:
        Unsupported: no program reads these weights with these inputs.

    """
    _check(quantized.scheme, activations)
    rows, columns = quantized.codes.shape
    if quantized.scheme.element == "int4":
        codes, scale = _nibbles(quantized)
    else:
        codes, scale = _filled(quantized.codes, CHUNK), _scales(quantized)
    return PackedWeight(
        scheme=quantized.scheme,
        activations=activations,
        rows=rows,
        columns=columns,
        codes=codes,
        scale=scale,
    )


def unpacked_bytes(weight: PackedWeight) -> Tensor:
    """Return the numbers that a weight of ``pack_bytes`` stands for: (rows, columns) float32."""
    if weight.scheme.element == "int4":
        return _from_nibbles(weight)
    numbers = weight.codes[:, : weight.columns].float()
    if weight.scheme.strategy != "block":
        return numbers * weight.scale[:, None]
    scheme = weight.scheme
    spread = weight.scale.repeat_interleave(scheme.rows or 1, 0)
    spread = spread.repeat_interleave(scheme.group or 1, 1)
    return numbers * spread[: weight.rows, : weight.columns]


def _check(weights: Scheme, activations: Scheme) -> None:
    """Refuse what the programs cannot read."""
    blocks = weights.strategy == "block"
    whole = weights.strategy in ("tensor", "channel")
    fits = {
        "e4m3": whole or (blocks and weights.group in GROUPS and weights.rows in GROUPS),
        "int8": whole,
        "int4": weights.strategy == "group" and weights.group in GROUPS,
    }.get(weights.element, False)
    inputs = "int8" if weights.element == "int8" else "e4m3"
    grouped = activations.strategy == "group" and activations.group == weights.group
    shared = grouped if blocks else activations.strategy in ("tensor", "token")
    if not (fits and shared and weights.symmetric and activations.element == inputs):
        raise Unsupported(
            f"No program multiplies {weights.element} by {weights.strategy} with "
            f"{activations.element} by {activations.strategy}.",
            hint="These are there: fp8, fp8-block, w8a8, w4a8 with groups of 32, 64 or 128.",
        )


def _filled(codes: Tensor, multiple: int) -> Tensor:
    """Return ``codes`` with columns filled up to a multiple with zeros."""
    missing = -codes.shape[1] % multiple
    if not missing:
        return codes.contiguous()
    filled = codes.new_zeros(codes.shape[0], codes.shape[1] + missing)
    filled[:, : codes.shape[1]] = codes
    return filled


def _scales(quantized: Quantized) -> Tensor:
    """Return scales of rows (rows,) or of blocks, float32."""
    step = quantized.step.float()
    if quantized.scheme.strategy == "block":
        return step.contiguous()
    return step.reshape(-1).expand(quantized.codes.shape[0]).contiguous()


def _nibbles(quantized: Quantized) -> tuple[Tensor, Tensor]:
    """Return bytes (rows, columns / 2) and scales (groups, rows) of int4 codes."""
    group = quantized.scheme.group or 128
    codes = _filled(quantized.codes, 2 * group).add(ZERO).to(torch.uint8)
    pairs = codes.reshape(codes.shape[0], -1, 2, group)
    packed = pairs[:, :, 0] | (pairs[:, :, 1] << 4)
    scale = _filled(quantized.scale, 2)
    return packed.reshape(codes.shape[0], -1), scale.t().contiguous()


def _from_nibbles(weight: PackedWeight) -> Tensor:
    """Return the numbers that int4 codes stand for."""
    group = weight.scheme.group or 128
    packed = weight.codes.reshape(weight.rows, -1, 1, group)
    halves = torch.cat((packed & 0x0F, packed >> 4), dim=2).float() - ZERO
    scaled = halves * weight.scale.t().float().reshape(weight.rows, -1, 2, 1)
    return scaled.reshape(weight.rows, -1)[:, : weight.columns]
