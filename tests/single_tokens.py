"""A step of single tokens with random numbers, in memory where the rest is NaN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from msgspec import Struct
from torch import Tensor

from qbench.kernels.decode.layout import Angles, Heads, Norms

LENGTH = 4096


class Case(Struct, frozen=True, kw_only=True):
    """What attention of single tokens takes."""

    heads: Heads
    qkv: Tensor
    memory: tuple[Tensor, Tensor]
    places: tuple[Tensor, Tensor]
    angles: Angles
    norms: Norms | None

    def copy(self) -> Case:
        """Return the same with memory of its own."""
        keys, values = self.memory
        return Case(
            heads=self.heads,
            qkv=self.qkv,
            memory=(keys.clone(), values.clone()),
            places=self.places,
            angles=self.angles,
            norms=self.norms,
        )


def case_of(
    heads: Heads,
    positions: Sequence[int],
    *,
    dtype: torch.dtype,
    device: str,
    normed: bool,
    length: int = LENGTH,
) -> Case:
    """Draw a step whose sequences stand at ``positions``, in slots out of order."""
    draw = torch.Generator().manual_seed(len(positions))
    count = len(positions) + 1
    slots = torch.randperm(count, generator=draw)[: len(positions)]
    shape = (count, heads.shared, length, heads.size)
    keys = torch.full(shape, torch.nan, dtype=dtype, device=device)
    values = keys.clone()
    for slot, position in zip(slots.tolist(), positions, strict=True):
        for memory in (keys, values):
            known = torch.randn(heads.shared, max(position, 0), heads.size, generator=draw)
            memory[slot, :, : max(position, 0)] = known.to(dtype).to(device)
    turn = torch.rand(length, heads.size // 2, generator=draw).mul(6.3).repeat(1, 2)
    gains = torch.rand(2, heads.size, generator=draw).add(0.5).to(dtype).to(device)
    return Case(
        heads=heads,
        qkv=torch.randn(len(positions), heads.width, generator=draw).to(dtype).to(device),
        memory=(keys, values),
        places=(
            slots.to(torch.int32).to(device),
            torch.tensor(positions, dtype=torch.int32, device=device),
        ),
        angles=Angles(turn.cos().to(dtype).to(device), turn.sin().to(dtype).to(device)),
        norms=Norms(gains[0], gains[1]) if normed else None,
    )


def distance(found: Tensor, expected: Tensor) -> float:
    """Return how far two tensors lie apart, over the size of the second."""
    wide = expected.double()
    return float((found.double() - wide).norm() / wide.norm().clamp_min(1e-30))
