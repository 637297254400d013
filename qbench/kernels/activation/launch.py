"""How activation programs are started: what they take, and how many warps a token gets."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.activation.rounding import INTERPRETED
from qbench.kernels.schemes import Element

LONGEST = 1 << 15
"""Columns of a token that a program can hold."""
_FEW = 132
"""Tokens that leave multiprocessors of a large GPU idle at one each."""


def require(x: Tensor, *beside: Tensor, longest: int = LONGEST) -> None:
    """Refuse what the programs cannot read; ``beside`` are of x's shape, or that of its rows.

    Raises:
        Unsupported: not (M, K), not 16 bits, not contiguous, rows too long, or not on a GPU.

    """
    if not x.is_cuda and not INTERPRETED.value:
        raise Unsupported(
            f"Programs for activations do not run on {x.device}.",
            hint="Use the references: qbench.kernels.activation.reference.",
        )
    fits = x.ndim == 2 and x.shape[1] <= longest and x.dtype in (torch.bfloat16, torch.float16)
    alike = all(t.dtype == x.dtype and t.shape in (x.shape, x.shape[1:]) for t in beside)
    if not fits or not alike or not all(t.is_contiguous() for t in (x, *beside)):
        raise Unsupported(
            f"Activations of shape {tuple(x.shape)} and type {x.dtype} cannot be read.",
            hint=f"Give contiguous (tokens, columns up to {longest}) in bfloat16 or float16.",
        )


def require_element(x: Tensor, element: Element) -> None:
    """Refuse codes that the GPU of ``x`` has no conversion to. Raises Unsupported."""
    if element == "e4m3" and x.is_cuda and _capability(x.device) < (8, 9):
        raise Unsupported(
            "E4M3 codes need a GPU of compute capability 8.9 or later.",
            hint="Use int8 codes (w8a8), or a format with 16-bit activations.",
        )


def padded(columns: int) -> int:
    """Return the power of two that a program's row has."""
    return max(1 << (columns - 1).bit_length(), 128)


def warps(tokens: int, columns: int) -> int:
    """Return how many warps work on a token of ``columns``.

    With many tokens, 32 values a thread keep enough loads in flight and leave room for several
    tokens on a multiprocessor; with few, a token alone is waited for, so it gets more.
    """
    values, most = (32, 8) if tokens > _FEW else (8, 16)
    return min(max(padded(columns) // (32 * values), 1), most)


def options(x: Tensor) -> dict[str, bool]:
    """Return how any program here is started.

    Products and sums are not fused but where a program says so: they would round once where the
    reference rounds twice. On Hopper and later a program is set up while the one before it ends.
    """
    return {"enable_fp_fusion": False, **({"launch_pdl": True} if early(x) else {})}


def early(x: Tensor) -> bool:
    """Whether programs may start before the one that writes ``x`` has ended, and wait for it."""
    return _capability(x.device) >= (9, 0)


def rows(columns: int) -> int:
    """Return how many rows of 128 columns a rotating program holds; matrix units want 16."""
    return max(padded(columns) // 128, 16)


def rotation_warps(columns: int, values: int = 32) -> int:
    """Return how many warps rotate a token: ``values`` a thread, but all of a matrix unit's rows.

    Up to 4096 columns a piece has 32 rows or fewer, which two warps multiply without repeating.
    """
    many = padded(columns) // (32 * values)
    return min(many, 16) if rows(columns) > 32 else 2


def programs(x: Tensor, each: int | None = None) -> int:
    """Return how many rotating programs share the tokens: ``each`` a multiprocessor.

    By default as many as are there at a time, up to 4: each loads its next tokens while it works
    on one.
    """
    fit = _shared(x.device) // (stages(x) * _token_bytes(x))
    return min(len(x), (each or min(max(fit, 1), 4)) * _processors(x.device))


def stages(x: Tensor) -> int:
    """Return how many tokens a rotating program has in shared memory: three where they fit."""
    return max(min((_shared(x.device) - 16384) // _token_bytes(x), 3), 1)


def _token_bytes(x: Tensor) -> int:
    return 2 * 128 * rows(x.shape[1])


@cache
def _capability(device: torch.device) -> tuple[int, int]:
    return (0, 0) if device.type == "cpu" else torch.cuda.get_device_capability(device)


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
