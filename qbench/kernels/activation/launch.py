"""How activation programs are started: what they take, and how many warps a token gets."""

from __future__ import annotations

from functools import cache

import torch
import triton
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.activation.rounding import INTERPRETED

_LONGEST = 1 << 15
_FEW = 132
"""Tokens that leave multiprocessors of a large GPU idle at one each."""


def require(x: Tensor, *others: Tensor) -> None:
    """Refuse what the programs cannot read.

    Raises:
        Unsupported: not (M, K), not 16 bits, not contiguous, rows too long, or not on a GPU.

    """
    if not x.is_cuda and not INTERPRETED.value:
        raise Unsupported(
            f"Programs for activations do not run on {x.device}.",
            hint="Use the references: qbench.kernels.activation.reference.",
        )
    fits = x.ndim == 2 and x.shape[1] <= _LONGEST
    if not fits or any(not t.is_contiguous() or t.element_size() != 2 for t in (x, *others)):
        raise Unsupported(
            f"Activations of shape {tuple(x.shape)} and type {x.dtype} cannot be read.",
            hint=f"Give contiguous (tokens, columns up to {_LONGEST}) in bfloat16 or float16.",
        )


def padded(columns: int) -> int:
    """Return the power of two that a program's row has."""
    return max(int(triton.next_power_of_2(columns)), 128)


def warps(tokens: int, columns: int) -> int:
    """Return how many warps work on a token of ``columns``.

    With many tokens, 32 values a thread keep enough loads in flight and leave room for several
    tokens on a multiprocessor; with few, a token alone is waited for, so it gets more.
    """
    values, most = (32, 8) if tokens > _FEW else (8, 16)
    return min(max(padded(columns) // (32 * values), 1), most)


def rows(columns: int) -> int:
    """Return how many rows of 128 columns a rotating program holds; matrix units want 16."""
    return max(padded(columns) // 128, 16)


def rotation_warps(columns: int) -> int:
    """Return how many warps rotate a token: two where matrix units would not fill more."""
    many = rows(columns) // 8
    return min(max(many if many > 4 else many // 2, 1), 16)


def programs(x: Tensor) -> int:
    """Return how many rotating programs share the tokens, so that each loads ahead."""
    return min(len(x), 4 * _processors(x.device))


def stages(x: Tensor) -> int:
    """Return how many tokens a rotating program has in shared memory: three where they fit."""
    token = 2 * 128 * rows(x.shape[1])
    return max(min((_shared(x.device) - 16384) // token, 3), 1)


@cache
def _processors(device: torch.device) -> int:
    if device.type == "cpu":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


@cache
def _shared(device: torch.device) -> int:
    if device.type == "cpu":
        return 1 << 16
    properties = torch.cuda.get_device_properties(device)
    return int(properties.shared_memory_per_block_optin)  # type: ignore[attr-defined] # in C
