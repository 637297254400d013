"""Attention over slots: single tokens together are what they are one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig

from qbench.workers.embedded.cache import Piece, Slots, Step

HEADS, SHARED, SIZE, LENGTH, SLOTS = 6, 2, 16, 200, 7


def filled() -> Slots:
    config = LlamaConfig(
        hidden_size=HEADS * SIZE,
        num_attention_heads=HEADS,
        num_key_value_heads=SHARED,
        num_hidden_layers=2,
    )
    made = Slots(config, SLOTS, LENGTH, dtype=torch.float32, device="cpu")
    draw = torch.Generator().manual_seed(1)
    for memory in (made.keys, made.values):
        memory.copy_(torch.randn(memory.shape, generator=draw))
    return made


def attended(pieces: list[Piece], *, together: bool) -> tuple[Tensor, Slots]:
    slots = filled()
    draw = torch.Generator().manual_seed(2)
    tokens = sum(piece.count for piece in pieces)
    query, key, value = (
        torch.randn((heads, tokens, SIZE), generator=draw) for heads in (HEADS, SHARED, SHARED)
    )
    step = Step(slots, pieces, together=together)
    assert (step.singles is not None) == together
    return step.attend(1, query, key, value, SIZE**-0.5), slots


@pytest.mark.parametrize(
    "pieces",
    [
        [Piece(3, 0, 1), Piece(1, 150, 1), Piece(6, 63, 1), Piece(0, 64, 1)],
        [Piece(5, 199, 1), Piece(2, 20, 30), Piece(0, 0, 1), Piece(4, 0, 5)],
    ],
)
def test_single_tokens_together_are_what_they_are_one_by_one(pieces: list[Piece]) -> None:
    (one, first), (other, second) = (attended(pieces, together=flag) for flag in (False, True))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert torch.equal(first.keys, second.keys)
    assert torch.equal(first.values, second.values)


def test_what_others_wrote_behind_a_sequence_is_not_seen() -> None:
    pieces = [Piece(3, 10, 1), Piece(1, 90, 1)]
    expected, _ = attended(pieces, together=True)
    slots = filled()
    slots.keys[:, 3, :, 11:] = 1e4
    slots.values[:, 3, :, 11:] = -1e4
    slots.keys[:, 0] = 1e4
    draw = torch.Generator().manual_seed(2)
    query, key, value = (
        torch.randn((heads, 2, SIZE), generator=draw) for heads in (HEADS, SHARED, SHARED)
    )
    found = Step(slots, pieces, together=True).attend(1, query, key, value, SIZE**-0.5)
    torch.testing.assert_close(found, expected)
