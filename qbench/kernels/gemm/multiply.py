"""Products with packed weights: which program runs is decided here, by scheme, shape and device."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.packing import Layout, layout_of
from qbench.kernels.gemm.scaled_workspace import COUNTERS, PARTS, workspace
from qbench.kernels.gemm.tuning import Config, Program, configured

HAVE_TRITON = importlib.util.find_spec("triton") is not None
if HAVE_TRITON:
    from qbench.kernels.gemm.narrow import narrow
    from qbench.kernels.gemm.scaled import multiply_scaled
    from qbench.kernels.gemm.unpack import unpack
    from qbench.kernels.gemm.wide import wide

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether programs run in Triton's interpreter, on tensors of the CPU."""

BAND = 8
UNPACKED = 1 << 26
"""Numbers that are unpacked at a time: 128 MiB."""


def multiply(x: Tensor, weight: PackedWeight, *, config: Config | None = None) -> Tensor:
    """Return ``x`` (M, K) of 16 bits times the weight (N, K) transposed: (M, N) in x's type.

    Args:
        x: contiguous; bfloat16 or float16.
        weight: of a weight-only format.
        config: of the program; by default the tuned one.

    Raises:
        ConfigError: shapes or types that do not fit.
        Unsupported: the weight's format quantizes activations, or nothing here runs on the device.

    """
    _refuse(x, weight)
    out = torch.empty(len(x), weight.rows, dtype=x.dtype, device=x.device)
    if len(x):
        chosen = config or config_of(weight, len(x), x.device)
        PROGRAMS[chosen.program](x, weight, chosen, out)
    return out


def config_of(weight: PackedWeight, tokens: int, device: torch.device) -> Config:
    """Return the tuned configuration of a product with ``tokens`` rows of inputs."""
    return configured(gpu_of(device), kernel_of(weight), weight.rows, weight.columns, tokens)


def kernel_of(weight: PackedWeight) -> str:
    """Return the name of a weight's kernel in tables: kind and group."""
    scheme = weight.scheme
    kind = layout_of(scheme).kind
    return f"{kind}{'' if scheme.symmetric else 'z'}/{scheme.group or 'channel'}"


@functools.cache
def gpu_of(device: torch.device) -> str:
    """Return a device's name as tables have it: ``h100``."""
    if device.type != "cuda":
        return device.type
    return torch.cuda.get_device_name(device).lower().removeprefix("nvidia ").split(" ")[0]


@functools.cache
def starts_early(device: torch.device) -> bool:
    """Whether a device has programmatic dependent launch."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 9


def _refuse(x: Tensor, weight: PackedWeight) -> None:
    if weight.activations is not None:
        raise Unsupported(
            "This weight wants quantized inputs.", hint="Call multiply_quantized with their codes."
        )
    if x.ndim != 2 or x.shape[1] != weight.columns or x.dtype not in _TYPES:
        raise ConfigError(
            f"{tuple(x.shape)} of {x.dtype} does not fit a weight of {weight.columns} columns.",
            hint="Give bfloat16 or float16 of shape (tokens, columns).",
        )
    _refuse_device(x)


def _refuse_device(x: Tensor) -> None:
    if not HAVE_TRITON or not (x.is_cuda or INTERPRETED):
        raise Unsupported(
            f"No program runs on {x.device}.", hint="Use the emulation: qbench.kernels.linear."
        )


_TYPES = (torch.bfloat16, torch.float16)


def _narrow(x: Tensor, weight: PackedWeight, config: Config, out: Tensor) -> None:
    layout, chunks = layout_of(weight.scheme), weight.codes.shape[0]
    tokens, shares = len(x), math.gcd(config.shares, chunks)
    block = min(config.tokens, max(8, _power(tokens)))
    tall = max(config.tall, 64) if shares == 1 else config.tall
    tiles, blocks = weight.codes.shape[1] // tall, -(-tokens // block)
    split = min(config.split, chunks // shares)
    if split * tokens * weight.rows > PARTS or tiles * blocks > COUNTERS:
        split = 1
    meet = workspace(x.device) if split > 1 else None
    early = starts_early(x.device)
    narrow[(tiles, split, blocks)](
        x,
        weight.codes,
        weight.high,
        weight.scale,
        weight.zero,
        out,
        meet.parts.view(torch.float32) if meet else out,
        meet.arrivals if meet else out,
        weight.factor,
        tokens,
        weight.rows,
        weight.columns,
        weight.codes.shape[1],
        chunks,
        **_constants(layout, weight),
        TALL=tall,
        BLOCK_M=block,
        SHARES=shares,
        SPLIT=split,
        STAGES=config.stages,
        AHEAD=config.ahead if early else 0,
        EARLY=early,
        EVEN=weight.columns % layout.columns == 0,
        num_warps=config.warps,
        num_stages=config.stages,
        **({"launch_pdl": True} if early else {}),
    )


def _wide(x: Tensor, weight: PackedWeight, config: Config, out: Tensor) -> None:
    layout = layout_of(weight.scheme)
    tokens, rows = len(x), weight.rows
    tiles = -(-rows // config.tall) * -(-tokens // config.tokens)
    wide[(tiles,)](
        x,
        weight.codes,
        weight.high,
        weight.scale,
        weight.zero,
        out,
        weight.factor,
        tokens,
        rows,
        weight.columns,
        weight.codes.shape[1],
        weight.codes.shape[0],
        **_constants(layout, weight),
        BLOCK_N=config.tall,
        BLOCK_M=config.tokens,
        BAND=BAND,
        PARTS=config.parts,
        STAGES=config.stages,
        FOLD=config.fold,
        EVEN=weight.columns % layout.columns == 0,
        num_warps=config.warps,
        num_stages=config.stages,
    )


def _unpacked(x: Tensor, weight: PackedWeight, config: Config, out: Tensor) -> None:
    """Multiply by pieces of the weight that were turned back to 16 bits, with the vendor's GEMM."""
    del config
    each = max(ROWS_AT_ONCE, UNPACKED // weight.columns // ROWS_AT_ONCE * ROWS_AT_ONCE)
    for first in range(0, weight.rows, each):
        last = min(first + each, weight.rows)
        piece = dequantized(weight, x.dtype, first, last)
        if each >= weight.rows:
            torch.mm(x, piece.t(), out=out)
        else:
            out[:, first:last] = linear(x, piece)


ROWS_AT_ONCE = 32


def dequantized(
    weight: PackedWeight, dtype: torch.dtype, first: int = 0, last: int | None = None
) -> Tensor:
    """Return rows ``first`` up to ``last`` of a packed weight in 16 bits: (rows, columns)."""
    layout, end = layout_of(weight.scheme), weight.rows if last is None else last
    piece = torch.empty(end - first, weight.columns, dtype=dtype, device=weight.codes.device)
    unpack[(weight.codes.shape[0], -(-(end - first) // ROWS_AT_ONCE))](
        weight.codes,
        weight.high,
        weight.scale,
        weight.zero,
        piece,
        weight.factor,
        first,
        end,
        weight.columns,
        weight.codes.shape[1],
        **_constants(layout, weight),
        BLOCK_N=ROWS_AT_ONCE,
        num_warps=4,
    )
    return piece


PROGRAMS: dict[Program, Callable[[Tensor, PackedWeight, Config, Tensor], None]] = {
    "narrow": _narrow,
    "wide": _wide,
    "unpack": _unpacked,
}


def _constants(layout: Layout, weight: PackedWeight) -> dict[str, Any]:
    kind = f"{layout.kind} with zeros" if weight.zero is not None else layout.kind
    return {
        "KIND": kind,
        "WORDS": layout.words,
        "SLICES": layout.slices,
        "GROUPS": layout.groups,
    }


def _power(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()


def multiply_quantized(
    codes: Tensor, scale: Tensor, weight: PackedWeight, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Return 8-bit ``codes`` (M, K) times the weight (N, K) transposed, scaled: (M, N).

    ``scale``: float32 (M, 1), or (M, K / 128) where the weight comes in blocks of 128.

    Raises:
        Unsupported: nothing here runs on the device.

    """
    _refuse_device(codes)
    return multiply_scaled(codes, scale, weight, dtype)
