"""How activation programs are started: what they take, and how many warps a token gets."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.activation.rounding import INTERPRETED
from qbench.kernels.schemes import Element

CODES: dict[Element, torch.dtype] = {"int8": torch.int8, "e4m3": torch.float8_e4m3fn}
"""Types of codes with one scale per token."""
_LONGEST = 1 << 15


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
    values = 32 if tokens > 132 else 8
    return min(max(padded(columns) // (32 * values), 1), 16)
