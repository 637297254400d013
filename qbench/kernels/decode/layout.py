"""What attention of single tokens works on: shapes of the heads, angles, scratch memory."""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import Unsupported

SPLITS = 32
"""Most parts in which one sequence's keys are read at the same time."""
LOGITS = 512
"""Most parts of a vocabulary among which the largest logit is found."""
SMALLEST, LARGEST = 16, 256
"""Head sizes; powers of two."""


class Heads(Struct, frozen=True, kw_only=True):
    """The heads of an attention layer."""

    queries: int
    """Query heads."""
    shared: int
    """Key-value heads; each serves ``queries / shared`` query heads."""
    size: int
    scale: float
    """Factor of the scores."""
    epsilon: float = 0.0
    """Of the norms of queries and keys, where a model has them (Qwen3)."""

    def __post_init__(self) -> None:
        """Refuse sizes that no program here has."""
        power = self.size & (self.size - 1) == 0
        if not power or not SMALLEST <= self.size <= LARGEST:
            raise Unsupported(
                f"Heads of {self.size} have no program here.",
                hint=f"Sizes are powers of two from {SMALLEST} to {LARGEST}; use the eager path.",
            )

    @property
    def group(self) -> int:
        """Query heads that share keys."""
        return self.queries // self.shared

    @property
    def width(self) -> int:
        """Columns of queries, keys and values side by side."""
        return (self.queries + 2 * self.shared) * self.size


class Angles(Struct, frozen=True):
    """Rotary embedding of every position, (length, head size), as the model casts it."""

    cosine: Tensor
    sine: Tensor


class Norms(Struct, frozen=True):
    """Gains (head size,) with which queries and keys are normed before they are turned."""

    query: Tensor
    key: Tensor


class Scratch(Struct, frozen=True):
    """Memory that programs of one stream share, one after the other."""

    partial: Tensor
    """float32: sums of each part of a sequence."""
    stats: Tensor
    """float32: the largest score of each part, and the sum of exponentials below it."""
    tickets: Tensor
    """int32 zeros; every program leaves them zero."""

    def rows(self, count: int) -> tuple[Tensor, Tensor]:
        """Return ``count`` float32 and ``count`` int32 numbers of it, for something else."""
        if min(self.partial.numel(), self.stats.numel()) < count:
            raise Unsupported(
                f"Scratch memory has no {count} numbers.", hint="Reserve it for a larger batch."
            )
        return self.partial[:count], self.stats[:count].view(torch.int32)


def scratch(batch: int, heads: Heads, device: torch.device | str) -> Scratch:
    """Reserve memory for up to ``batch`` sequences."""
    rows = batch * heads.queries * SPLITS
    return Scratch(
        partial=torch.empty(rows * heads.size, dtype=torch.float32, device=device),
        stats=torch.empty(max(rows * 2, batch * LOGITS), dtype=torch.float32, device=device),
        tickets=torch.zeros(batch * heads.shared, dtype=torch.int32, device=device),
    )
