"""How the next token is drawn: greedy, or temperature and nucleus with a seed of one's own."""

from __future__ import annotations

from collections.abc import Sequence

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

    def aim(self) -> tuple[float, float, float]:
        """Return temperature, nucleus and the next number in [0, 1) of this sequence's own."""
        return self._temperature, self._top_p, float(torch.rand((), generator=self._random))


def draw_each(samplers: Sequence[Sampler], logits: Tensor) -> list[int]:
    """Draw a token from each row of (n, vocabulary) float logits; none of the samplers is greedy.

    On a GPU all rows are sorted together and the host waits once. What a seed draws there is not
    what it draws on a CPU, but the same every time.
    """
    if logits.is_cuda:
        return draw_together(samplers, logits)
    return [sampler.draw(row) for row, sampler in zip(logits, samplers, strict=True)]


def draw_together(samplers: Sequence[Sampler], logits: Tensor) -> list[int]:
    """Draw by where each sampler's number falls among the shares of its nucleus, added up."""
    aims = torch.tensor([sampler.aim() for sampler in samplers], device=logits.device)
    temperature, nucleus, number = (column[:, None] for column in aims.unbind(1))
    ordered, tokens = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    reached = torch.where(before < nucleus, ordered, 0.0).cumsum(-1)
    place = torch.searchsorted(reached, number * reached[:, -1:], right=True)
    last = (before < nucleus).sum(-1, keepdim=True) - 1  # where rounding leaves nothing above
    chosen: list[int] = tokens.gather(1, torch.minimum(place, last))[:, 0].tolist()
    return chosen
