"""Products of 4-bit inputs with packed weights: how the program is laid out, and its launch.

The layout follows from the shape; nothing was measured: see ``product``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qbench.errors import ConfigError
from qbench.kernels.gemm.four_bits.packing import STEP
from qbench.kernels.gemm.four_bits.product import four_bits
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.workspace import COUNTERS, PARTS, workspace

ROWS = 128
"""Rows of the weight that a program holds: what a matrix unit of sm_100 takes."""
MOST = 128
"""Tokens that a program holds, at most: two of them fit in tensor memory."""


def multiply_packed(
    codes: Tensor,
    scale: Tensor,
    factor: Tensor | None,
    weight: PackedWeight,
    dtype: torch.dtype,
    split: int | None = None,
) -> Tensor:
    """Return tokens in E2M1 times the weight (N, K) transposed: (M, N) of ``dtype``.

    ``codes``, ``scale`` and ``factor`` as ``rotate_pack`` gives them. ``split``: programs that
    share the columns of a tile; by default as many as keep the GPU busy.

    Raises:
        ConfigError: shapes or types that do not belong together.

    """
    _check(codes, scale, factor, weight)
    tokens, steps = len(codes), 2 * weight.codes.shape[1] // STEP
    out = torch.empty(tokens, weight.rows, dtype=dtype, device=codes.device)
    if not tokens:
        return out
    block = held(tokens, weight.scheme.group or 1)
    tiles = -(-weight.rows // ROWS) * -(-tokens // block)
    split = split or divided(tiles, steps, _multiprocessors(codes.device))
    if tiles > COUNTERS or tiles * split * ROWS * block > PARTS:
        split = 1
    room = workspace(codes.device)
    four_bits[tiles, split](
        codes,
        scale.view(torch.uint8),
        factor,
        weight.codes,
        weight.scale,
        out,
        room.parts.view(torch.float32),
        room.arrivals,
        weight.factor,
        tokens,
        weight.rows,
        weight.columns,
        steps,
        GROUP=weight.scheme.group,
        BLOCK_M=block,
        BLOCK_N=ROWS,
        STEP=STEP,
        SPLIT=split,
        EVEN=weight.columns % STEP == 0,
        STAGES=stages(block),
        num_warps=4,
    )
    return out


def held(tokens: int, group: int) -> int:
    """Return the tokens of a program: a power of two, and so many that scales are copied ahead.

    A thread copies four bytes of scales or more, or waits for them at each step.
    """
    return min(max(1 << (tokens - 1).bit_length(), 2 * group), MOST)


def stages(block: int) -> int:
    """Return how many steps are in flight: with 128 tokens 70 KB, which sm_120 has room for too."""
    return 3 if block == MOST else 4


def divided(tiles: int, steps: int, processors: int) -> int:
    """Return how many programs share a tile: a power of two, each with two steps or more."""
    wanted = max(min(processors // tiles, steps // 2, 8), 1)
    return 1 << (wanted.bit_length() - 1)


def _multiprocessors(device: torch.device) -> int:
    """Return those of a GPU; a few where Triton interprets."""
    if device.type != "cuda":
        return 4
    return torch.cuda.get_device_properties(device).multi_processor_count


def _check(codes: Tensor, scale: Tensor, factor: Tensor | None, weight: PackedWeight) -> None:
    scheme, tokens = weight.scheme, len(codes)
    shapes = [tuple(codes.shape), tuple(scale.shape), None if factor is None else factor.numel()]
    wanted = [
        (tokens, weight.columns // 2),
        (tokens, weight.columns // (scheme.group or 1)),
        tokens if scheme.two_level else None,
    ]
    kept = torch.float8_e4m3fn if scheme.two_level else torch.uint8
    flat = all(t.is_contiguous() for t in (codes, scale, factor) if t is not None)
    if (
        weight.activations is None
        or shapes != wanted
        or (codes.dtype, scale.dtype) != (torch.uint8, kept)
        or not flat
    ):
        raise ConfigError(
            f"Inputs {shapes} of {codes.dtype} and {scale.dtype} do not go with a weight "
            f"{(weight.rows, weight.columns)} of {scheme.element} and {scheme.scale_dtype}.",
            hint=f"Pack them with rotate_pack, as the weight wants: {weight.activations}.",
        )
