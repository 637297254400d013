"""Keys and values of all sequences, and the attention that reads them.

A step is one flat row of T tokens from several sequences: every matrix product sees all T at once
and nothing is padded; only attention goes sequence by sequence. A slot keeps the keys of its last
sequence until it is needed, so that a prompt that begins alike is not computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from msgspec import Struct
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION = "qbench_slots"


class Piece(Struct, frozen=True):
    """A slot's part of a step: ``count`` tokens behind ``past`` earlier ones."""

    slot: int
    past: int
    count: int


class Slots:
    """Key and value memory: per layer (slots, key-value heads, length, head size).

    It is reserved at once and touched only where tokens are written.
    """

    def __init__(
        self, config: PretrainedConfig, slots: int, length: int, *, dtype: torch.dtype, device: str
    ) -> None:
        heads = config.num_key_value_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (config.num_hidden_layers, slots, heads, length, size)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.length = length

    def copy(self, source: int, target: int, count: int) -> None:
        """Give ``target`` the first ``count`` tokens of ``source``."""
        for memory in (self.keys, self.values):
            memory[:, target, :, :count] = memory[:, source, :, :count]


class Step:
    """Which tokens of a flat step belong to which slot."""

    def __init__(self, slots: Slots, pieces: Sequence[Piece]) -> None:
        self.slots = slots
        self.pieces = pieces
        self.positions = torch.cat([torch.arange(p.past, p.past + p.count) for p in pieces])

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Write keys and values, and attend causally within each sequence.

        Args:
            layer: index of the layer.
            query: (heads, T, size).
            key: (key-value heads, T, size).
            value: as ``key``.
            scale: factor of the scores.

        Returns:
            (T, heads, size).

        """
        keys, values = self.slots.keys[layer], self.slots.values[layer]
        query = query.to(keys.dtype)
        out = torch.empty(
            (query.shape[1], query.shape[0], query.shape[2]), dtype=query.dtype, device=query.device
        )
        start = 0
        for piece in self.pieces:
            stop, end = start + piece.count, piece.past + piece.count
            keys[piece.slot, :, piece.past : end] = key[:, start:stop]
            values[piece.slot, :, piece.past : end] = value[:, start:stop]
            found = F.scaled_dot_product_attention(
                query[None, :, start:stop],
                keys[None, piece.slot, :, :end],
                values[None, piece.slot, :, :end],
                attn_mask=_mask(piece, query.device),
                scale=scale,
                enable_gqa=True,
            )
            out[start:stop] = found[0].transpose(0, 1)
            start = stop
        return out


def _mask(piece: Piece, device: torch.device) -> Tensor | None:
    """Return which keys each token may see; None for a single token, which sees all."""
    if piece.count == 1:
        return None
    reach = torch.arange(piece.past + piece.count, device=device)
    own = torch.arange(piece.past, piece.past + piece.count, device=device)
    return reach[None, :] <= own[:, None]


def attention(  # noqa: PLR0913, PLR0917 - the signature is transformers'
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - each sequence has its own
    scaling: float | None = None,
    dropout: float = 0.0,  # noqa: ARG001 - none when serving
    *,
    step: Step,
    **_: Any,
) -> tuple[Tensor, None]:
    """Serve as the attention of a transformers model; ``step`` comes from the model call."""
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    layer: int = module.layer_idx  # type: ignore[assignment] # set by every attention module
    found = step.attend(layer, query[0], key[0], value[0], scale)
    return found[None].to(query.dtype), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attention)
