"""Launches of the programs for 16-bit inputs: what each is given, and which is chosen."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.weight_only.narrow import narrow
from qbench.kernels.gemm.weight_only.packing import Layout, layout_of
from qbench.kernels.gemm.weight_only.tuning import (
    Config,
    Program,
    configured,
    gpu_of,
    kernel_of,
)
from qbench.kernels.gemm.weight_only.unpack import unpack
from qbench.kernels.gemm.weight_only.wide import wide
from qbench.kernels.gemm.workspace import COUNTERS, PARTS, workspace

BAND = 8
"""Tiles of tokens that share weights in L2."""
UNPACKED = 1 << 26
"""Numbers that are unpacked at a time: 128 MiB."""
ROWS_AT_ONCE = 32
"""Rows that a program unpacks."""


def multiply_weight_only(
    x: Tensor, weight: PackedWeight, out: Tensor, config: Config | None = None
) -> None:
    """Write the product of ``x`` (M, K) and a weight (N, K) to ``out`` (M, N); M is 1 or more."""
    chosen = config or config_of(weight, len(x), x.device)
    PROGRAMS[chosen.program](x, weight, chosen, out)


def config_of(weight: PackedWeight, tokens: int, device: torch.device) -> Config:
    """Return the tuned configuration of a product with ``tokens`` rows of inputs."""
    return configured(gpu_of(device), kernel_of(weight.scheme), weight.rows, weight.columns, tokens)


@functools.cache
def starts_early(device: torch.device) -> bool:
    """Whether a device has programmatic dependent launch."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 9


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
        torch.mm(x, dequantized(weight, x.dtype, first, last).t(), out=out[:, first:last])


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
