"""What vLLM's parameters hold, as ordinary tensors on their device. Imports no vLLM."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

AT_ONCE = 2048
"""Rows whose codes are unpacked at once: 64 bits for each code for a moment."""


def plain(value: Any) -> Tensor:
    """Return a parameter of vLLM's as an ordinary tensor."""
    tensor: Tensor = value.detach().as_subclass(Tensor)
    return tensor


def unpacked(words: Tensor, bits: int, columns: int) -> Tensor:
    """Return int8 codes (N, columns) of ``packing.pack_bits``, on the device of ``words``."""
    starts = torch.arange(columns, device=words.device) * bits
    word, shift = starts // 32, starts % 32
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    made = torch.empty(len(words), columns, dtype=torch.int8, device=words.device)
    for at in range(0, len(words), AT_ONCE):
        wide = pad(words[at : at + AT_ONCE].long() & 0xFFFFFFFF, (0, 1))
        both = wide[:, word] | (wide[:, word + 1] << 32)
        made[at : at + AT_ONCE] = (both >> shift & mask) - half
    return made
