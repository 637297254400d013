"""Keys and values of all sequences, and the attention that reads them.

A step is one flat row of T tokens from several sequences: every matrix product sees all T at once
and nothing is padded; only attention goes sequence by sequence. On a GPU, where each such call
costs a launch, all sequences with a single new token are attended together over padded slots. A
slot keeps the keys of its last sequence until it is needed, so that a prompt that begins alike is
not computed again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from msgspec import Struct
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right
from transformers import PretrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION = "qbench_slots"

BLOCK = 64
"""Padded attention reaches over whole blocks of keys: fast kernels want aligned lengths."""


class Piece(Struct, frozen=True):
    """A slot's part of a step: ``count`` tokens behind ``past`` earlier ones."""

    slot: int
    past: int
    count: int


class Slots:
    """Key and value memory: per layer (slots, key-value heads, length, head size).

    It is reserved at once and, on a CPU, touched only where tokens are written. On a GPU it begins
    as zeros: padded attention multiplies what nobody wrote by zero, which must not be NaN.
    """

    def __init__(
        self, config: PretrainedConfig, slots: int, length: int, *, dtype: torch.dtype, device: str
    ) -> None:
        heads = config.num_key_value_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (config.num_hidden_layers, slots, heads, length, size)
        reserve = torch.empty if device == "cpu" else torch.zeros
        self.keys = reserve(shape, dtype=dtype, device=device)
        self.values = reserve(shape, dtype=dtype, device=device)
        self.length = length

    def copy(self, source: int, target: int, count: int) -> None:
        """Give ``target`` the first ``count`` tokens of ``source``."""
        for memory in (self.keys, self.values):
            memory[:, target, :, :count] = memory[:, source, :, :count]


class Singles(Struct, frozen=True):
    """The pieces of a step with one token each, attended together: n of them, on the device."""

    rows: Tensor
    """(n,): their places in the step."""
    slots: Tensor
    """(n,): their slots."""
    pasts: Tensor
    """(n,): where their keys are written."""
    reach: int
    """The longest of them, its new token included, rounded up to whole blocks."""
    mask: Tensor
    """(slots, 1, 1, reach): which keys each slot's token sees; the first for slots without one."""

    @classmethod
    def of(cls, pieces: Sequence[Piece], rows: Sequence[int], memory: Tensor) -> Singles:
        """Lay out ``pieces``, which stand at ``rows`` of the step, over ``memory``'s slots."""
        device = memory.device
        longest = max(piece.past for piece in pieces) + 1
        reach = min(-(-longest // BLOCK) * BLOCK, memory.shape[3])
        ends = torch.ones(memory.shape[1], dtype=torch.long)
        for piece in pieces:
            ends[piece.slot] = piece.past + 1
        mask = torch.arange(reach, device=device) < ends.to(device)[:, None]
        return cls(
            rows=torch.tensor(rows, device=device),
            slots=torch.tensor([piece.slot for piece in pieces], device=device),
            pasts=torch.tensor([piece.past for piece in pieces], device=device),
            reach=reach,
            mask=mask[:, None, None],
        )


class Step:
    """Which tokens of a flat step belong to which slot."""

    def __init__(
        self, slots: Slots, pieces: Sequence[Piece], *, together: bool | None = None
    ) -> None:
        """``together``: attend single tokens in one call; where left out, on a GPU only."""
        self.slots = slots
        self.pieces = pieces
        self.positions = torch.cat([torch.arange(p.past, p.past + p.count) for p in pieces])
        starts = itertools.accumulate((piece.count for piece in pieces), initial=0)
        placed = list(zip(starts, pieces, strict=False))
        if together is None:
            together = slots.keys.device.type != "cpu"
        alone = [(at, piece) for at, piece in placed if together and piece.count == 1]
        self.singles: Singles | None = None
        if len(alone) > 1:
            rows, single = zip(*alone, strict=True)
            self.singles = Singles.of(single, rows, slots.keys)
            placed = [(at, piece) for at, piece in placed if piece.count > 1]
        self._placed = placed
        self._masks: dict[Piece, Tensor | None] = {}

    def places(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return slots and positions of all tokens, int32."""
        slots = [piece.slot for piece in self.pieces for _ in range(piece.count)]
        return (
            torch.tensor(slots, dtype=torch.int32, device=device),
            self.positions.to(device, torch.int32),
        )

    @property
    def alone(self) -> Tensor | None:
        """Places of single tokens that are attended together, on the device."""
        return None if self.singles is None else self.singles.rows

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
        if self.singles is not None:
            self._attend_together(self.singles, (keys, values), (query, key, value), scale, out)
        for start, piece in self._placed:
            stop, end = start + piece.count, piece.past + piece.count
            keys[piece.slot, :, piece.past : end] = key[:, start:stop]
            values[piece.slot, :, piece.past : end] = value[:, start:stop]
        self.attend_pieces(layer, query, scale, out)
        return out

    def attend_pieces(self, layer: int, query: Tensor, scale: float, out: Tensor) -> None:
        """Attend ``query`` (heads, T, size) to what is written, piece by piece, into ``out``."""
        keys, values = self.slots.keys[layer], self.slots.values[layer]
        for start, piece in self._placed:
            stop, end = start + piece.count, piece.past + piece.count
            found = F.scaled_dot_product_attention(
                query[None, :, start:stop],
                keys[None, piece.slot, :, :end],
                values[None, piece.slot, :, :end],
                attn_mask=self._mask(piece, query),
                is_causal=_from_the_start(piece, query),
                scale=scale,
                enable_gqa=True,
            )
            out[start:stop] = found[0].transpose(0, 1)

    def _mask(self, piece: Piece, query: Tensor) -> Tensor | None:
        """Return the piece's mask, made once for all layers."""
        if piece not in self._masks:
            self._masks[piece] = _mask(piece, query)
        return self._masks[piece]

    def _attend_together(
        self,
        singles: Singles,
        memory: tuple[Tensor, Tensor],
        given: tuple[Tensor, Tensor, Tensor],
        scale: float,
        out: Tensor,
    ) -> None:
        """Attend single tokens over all slots, queries that share keys side by side."""
        (keys, values), (query, key, value) = memory, given
        rows, slots = singles.rows, singles.slots
        keys[slots, :, singles.pasts] = key[:, rows].transpose(0, 1).to(keys.dtype)
        values[slots, :, singles.pasts] = value[:, rows].transpose(0, 1).to(values.dtype)
        heads, size = keys.shape[1], query.shape[2]
        spread = query.new_zeros(keys.shape[0], heads, query.shape[0] // heads, size)
        spread[slots] = query[:, rows].transpose(0, 1).reshape(len(slots), heads, -1, size)
        found = F.scaled_dot_product_attention(
            spread,
            keys[:, :, : singles.reach],
            values[:, :, : singles.reach],
            attn_mask=singles.mask,
            scale=scale,
        )
        out[rows] = found[slots].reshape(len(slots), -1, size)


def _mask(piece: Piece, query: Tensor) -> Tensor | None:
    """Return which keys each token may see; None for a single token, which sees all.

    GPUs have kernels for 16-bit numbers that need no matrix for that.
    """
    if piece.count == 1 or _from_the_start(piece, query):
        return None
    end = piece.past + piece.count
    if _unmasked(query):
        return causal_lower_right(piece.count, end)
    reach = torch.arange(end, device=query.device)
    own = torch.arange(piece.past, end, device=query.device)
    return reach[None, :] <= own[:, None]


def _from_the_start(piece: Piece, query: Tensor) -> bool:
    """Whether a prompt begins here and a kernel knows what its tokens see."""
    return piece.count > 1 and not piece.past and _unmasked(query)


def _unmasked(query: Tensor) -> bool:
    return query.is_cuda and query.element_size() == 2


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
