"""Starts the decode programs on a GPU, or under Triton's interpreter."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from qbench.kernels.decode.layout import SPLITS, Angles, Heads, Norms, Scratch
from qbench.kernels.decode.programs import (
    attend_program,
    likeliest_program,
    norm_program,
    silu_program,
    turn_program,
)

BLOCK = 64
"""Keys of one block."""
GATED = 512
"""Columns of one program that gates."""
CHOSEN = 2048
"""Logits of one program that looks for the largest."""
PROGRAMS = 256
"""About two for each multiprocessor of a large GPU: sequences are split to have so many."""


def attend(  # noqa: PLR0913, PLR0917 - memory, places and what the layer is
    qkv: Tensor,
    memory: tuple[Tensor, Tensor],
    places: tuple[Tensor, Tensor],
    angles: Angles,
    heads: Heads,
    norms: Norms | None,
    spare: Scratch,
) -> Tensor:
    """Turn, write and attend in one launch; see ``attention.attend``."""
    (keys, values), (slots, positions) = memory, places
    batch = qkv.shape[0]
    splits = splits_of(batch, heads)
    out = qkv.new_empty(batch, heads.queries * heads.size)
    gains = (norms.query, norms.key) if norms else (qkv, qkv)
    attend_program[batch, heads.shared, splits](
        qkv, keys, values, slots, positions, angles.cosine, angles.sine, *gains,
        spare.partial, spare.stats, spare.tickets, out,
        qkv.stride(0), keys.stride(0), keys.stride(1), heads.scale * math.log2(math.e),
        heads.epsilon, SHARED=heads.shared, GROUP=heads.group,
        ROWS=max(16, _power(heads.group)), SIZE=heads.size, JOINED=_power(heads.group), BLOCK=BLOCK,
        SPLITS=splits, NORM=norms is not None, PRECISION=_precision(keys), num_warps=4,
        num_stages=2, **dependent(qkv.device),
    )  # fmt: skip
    return out


def turn(
    qkv: Tensor,
    memory: tuple[Tensor, Tensor],
    places: tuple[Tensor, Tensor],
    angles: Angles,
    heads: Heads,
    norms: Norms | None,
) -> Tensor:
    """Turn and write in one launch; see ``attention.turn``."""
    (keys, values), (slots, positions) = memory, places
    turned = keys.new_empty(qkv.shape[0], heads.queries, heads.size)
    gains = (norms.query, norms.key) if norms else (qkv, qkv)
    turn_program[qkv.shape[0],](
        qkv, keys, values, slots, positions, angles.cosine, angles.sine, *gains, turned,
        qkv.stride(0), keys.stride(0), keys.stride(1), heads.epsilon, SHARED=heads.shared,
        QUERIES=heads.queries, ROWS=_power(heads.queries), FEW=_power(heads.shared),
        SIZE=heads.size, NORM=norms is not None, num_warps=4, **dependent(qkv.device),
    )  # fmt: skip
    return turned


def take_likeliest(logits: Tensor, ids: Tensor, positions: Tensor, spare: Scratch) -> Tensor:
    """Find and advance in one launch; see ``pointwise.take_likeliest``."""
    rows, columns = logits.shape
    parts = -(-columns // CHOSEN)
    peaks, places = spare.rows(rows * parts)
    found = torch.empty_like(ids)
    likeliest_program[rows, parts](
        logits, peaks, places, spare.tickets, found, ids, positions, columns, logits.stride(0),
        WIDTH=CHOSEN, PARTS=parts, PADDED=_power(parts), num_warps=4, **dependent(logits.device),
    )  # fmt: skip
    return found


def _power(count: int) -> int:
    return 1 << max(0, count - 1).bit_length()


def splits_of(batch: int, heads: Heads) -> int:
    """Return in how many parts each sequence is read: a power of two, by the batch alone."""
    wanted = max(1, PROGRAMS // (batch * heads.shared))
    return int(min(SPLITS, 1 << (wanted.bit_length() - 1)))


def norm(
    values: Tensor, gain: Tensor, epsilon: float, residual: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Add and norm in one launch; see ``pointwise.norm``."""
    tokens, columns = values.shape
    made, total = torch.empty_like(values), values
    if residual is not None:
        total = torch.empty_like(values)
    padded = _power(columns)
    norm_program[tokens,](
        values, gain, values if residual is None else residual, total, made, epsilon,
        COLUMNS=columns, PADDED=padded, ADDED=residual is not None,
        num_warps=min(16, max(1, padded // 512)), **dependent(values.device),
    )  # fmt: skip
    return made, total


def silu_multiply(gate_up: Tensor) -> Tensor:
    """Gate in one launch, many programs for each token; see ``pointwise.silu_multiply``."""
    tokens, both = gate_up.shape
    made = gate_up.new_empty(tokens, both // 2)
    silu_program[-(-both // (2 * GATED)), tokens](
        gate_up, made, both // 2, GATED=GATED, num_warps=2, **dependent(gate_up.device)
    )
    return made


def _precision(memory: Tensor) -> str:
    return "ieee" if memory.dtype == torch.float32 else "tf32"


@cache
def dependent(device: torch.device) -> dict[str, bool]:
    """Return the options of a launch that may begin while the one before it ends (Hopper)."""
    able = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)
    return {"PDL": True, "launch_pdl": True} if able else {"PDL": False}
