"""Packed weights back to numbers in plain torch: what tests and machines without a GPU read."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from qbench.kernels.floats import E2M1, decode
from qbench.kernels.gemm.four_bits.packing import unpacked_four_bits
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.scaled.packing import unpacked_bytes
from qbench.kernels.gemm.weight_only.packing import SMALLEST, Layout, layout_of


def unpacked(weight: PackedWeight) -> Tensor:
    """Return the numbers that ``weight`` stands for: (rows, columns) float32, exact."""
    if weight.activations is not None and weight.activations.element == "e2m1":
        return unpacked_four_bits(weight)
    if weight.activations is not None:
        return unpacked_bytes(weight)
    layout = layout_of(weight.scheme)
    numbers = _numbers(_codes(weight, layout), weight, layout)
    scales = _scales(weight, layout)
    each = numbers.shape[1] // scales.shape[1]
    made = numbers * scales.repeat_interleave(each, dim=1) * weight.factor
    return made[: weight.rows, : weight.columns]


def _codes(weight: PackedWeight, layout: Layout) -> Tensor:
    """Return what lies in the words: int32 (rows, columns), both filled."""
    parts = [_gathered(weight.codes, layout.places(i)) for i in range(layout.slices)]
    if weight.high is not None:
        third = weight.high.int()
        parts = [p | (_pair(third, i, 8 + i, 1) << 2) for i, p in enumerate(parts)]
    apart = torch.stack(parts, dim=2)  # chunks, rows, slices, words, 2
    return apart.transpose(0, 1).reshape(apart.shape[1], -1)


def _gathered(words: Tensor, places: tuple[int, ...]) -> Tensor:
    """Return the codes whose bits lie at ``places`` of the halves of ``words``: (..., 2)."""
    bits = [_pair(words, at, at + 16, 1) << bit for bit, at in enumerate(places)]
    return functools.reduce(torch.bitwise_or, bits)


def _pair(words: Tensor, low: int, high: int, mask: int) -> Tensor:
    return torch.stack([(words >> low) & mask, (words >> high) & mask], dim=-1)


def _numbers(codes: Tensor, weight: PackedWeight, layout: Layout) -> Tensor:
    """Return float32 numbers before scales."""
    if weight.scheme.element == "e2m1":
        return decode(codes, E2M1)
    if weight.scheme.element == "int8":
        return codes.to(torch.uint8).view(torch.int8).float()
    if weight.zero is None:
        return codes.float() - (1 << (weight.scheme.element_bits - 1))
    zero = _bytes(weight.zero[:, :, None], layout.groups)
    return codes.float() - zero.repeat_interleave(codes.shape[1] // zero.shape[1], dim=1)


def _scales(weight: PackedWeight, layout: Layout) -> Tensor:
    """Return float32 (rows, scales of a row), both filled; the factor apart."""
    if not layout.groups:
        return weight.scale[:, None]
    if layout.kind == "mxfp4":
        return torch.exp2(_bytes(weight.scale, layout.slices).double() - 253).float()
    if layout.kind == "nvfp4":
        bits = (_bytes(weight.scale, layout.slices) + SMALLEST) << 4
        return bits.to(torch.int16).view(torch.bfloat16).float() / 256
    halves = _pair(weight.scale, 0, 16, 0xFFFF)[..., : min(layout.groups, 2)]
    bits = halves.flatten(2).transpose(0, 1).reshape(weight.scale.shape[1], -1)
    return bits.to(torch.int16).view(torch.bfloat16).float()


def _bytes(words: Tensor, count: int) -> Tensor:
    """Return (rows, bytes): byte i of a chunk's words before byte i + 1 of any."""
    apart = torch.stack([(words >> (8 * i)) & 0xFF for i in range(count)], dim=2)
    return apart.transpose(0, 1).reshape(words.shape[1], -1)
