"""How the next token is drawn: greedy, or temperature and nucleus with a seed of one's own."""

from __future__ import annotations

import torch
from torch import Tensor


class Sampler:
    """Draws the tokens of one sequence; the same seed draws the same tokens from equal logits."""

    def __init__(self, *, temperature: float, top_p: float, seed: int | None) -> None:
        self.greedy = temperature == 0
        self._temperature = temperature
        self._top_p = top_p
        self._random = torch.Generator()
        if seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(seed)

    def draw(self, logits: Tensor) -> int:
        """Draw from (vocabulary,) float logits: temperature first, then the nucleus."""
        shares = torch.softmax(logits / self._temperature, dim=-1)
        ordered, tokens = shares.sort(descending=True)
        before = ordered.cumsum(-1) - ordered  # the first token is always within the nucleus
        ordered = torch.where(before < self._top_p, ordered, 0.0).cpu()  # sorted where it is fast
        return int(tokens[torch.multinomial(ordered, 1, generator=self._random)])
