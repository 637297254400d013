"""Log-probabilities of tokens: of the model's own distribution, before temperature or grammar."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from msgspec import Struct
from torch import Tensor

ROWS = 64
"""Positions whose distributions are held at once: a row is a vocabulary of float32."""


class Scored(Struct, frozen=True, kw_only=True):
    """A position's distribution, as far as it was asked for."""

    token: int
    """The token that stands there."""
    logprob: float
    """Its natural log-probability given all tokens before it."""
    rank: int
    """Its place among all tokens, from 1."""
    top: tuple[tuple[int, float], ...]
    """The likeliest tokens and their log-probabilities, best first."""


class Scores:
    """Collects the distributions of one sequence; in the model's thread."""

    def __init__(self, *, top: int, of_prompt: bool) -> None:
        """Keep the ``top`` likeliest tokens of each position, the prompt's too where asked."""
        self.top = top
        self.of_prompt = of_prompt
        self.prompt: list[Scored] = []
        """Of all prompt tokens but the first, which nothing precedes."""
        self._next: list[Tensor] = []
        self.generated: list[Scored] = []

    def take_prompt(self, logits: Tensor, tokens: Sequence[int]) -> None:
        """Take (count, vocabulary) logits of the next positions that were computed.

        ``tokens`` are the whole prompt; the last position's logits are of what is generated.
        """
        begin = len(self.prompt) + 1
        following = tokens[begin : begin + logits.shape[0]]
        self.prompt += score(logits[: len(following)], following, self.top)

    def take_next(self, logits: Tensor) -> None:
        """Take (vocabulary,) logits of the token that is about to be chosen."""
        self._next = [logits.clone()]

    def take_chosen(self, token: int) -> None:
        """Take what was chosen from those logits, the token that ends a text too."""
        self.generated += score(self._next[0][None], [token], self.top)
        self._next = []


def score(logits: Tensor, tokens: Sequence[int], top: int) -> list[Scored]:
    """Return the distributions of ``tokens``, which follow the positions of ``logits`` (n, V)."""
    found: list[Scored] = []
    for start in range(0, len(tokens), ROWS):
        found += _score(logits[start : start + ROWS], tokens[start : start + ROWS], top)
    return found


def _score(logits: Tensor, tokens: Sequence[int], top: int) -> list[Scored]:
    shares = torch.log_softmax(logits.float(), dim=-1)
    own = shares.gather(1, torch.tensor(tokens, device=shares.device)[:, None])
    ranks = (shares > own).sum(-1) + 1
    best, ids = shares.topk(min(top, shares.shape[-1]), dim=-1)
    columns = (own[:, 0].tolist(), ranks.tolist(), ids.tolist(), best.tolist())
    return [
        Scored(token=token, logprob=logprob, rank=rank, top=tuple(zip(names, sizes, strict=True)))
        for token, logprob, rank, names, sizes in zip(tokens, *columns, strict=True)
    ]
