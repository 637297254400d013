"""One request while it is generated, and what a batcher of them counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from qbench.service.domain import EngineSeconds
from qbench.workers.embedded.sampling import Sampler
from qbench.workers.embedded.scores import Scores

if TYPE_CHECKING:  # llguidance is needed where there are grammars, not to generate
    from qbench.workers.embedded.grammar import Guide

WIDE = 48
"""Tokens from which a step is worth all threads, see ``Threads``."""

Told = Callable[[Sequence[int], str], None]
"""Takes new tokens and the finish reason, empty while there is none; in the model's thread."""


@dataclass(kw_only=True, eq=False)
class Generation:
    """One request while it is generated."""

    tokens: list[int]
    """Prompt, then what was generated."""
    sampler: Sampler
    told: Told
    max_tokens: int
    ends: frozenset[int]
    guide: Guide | None = None
    scores: Scores | None = None
    """Takes log-probabilities where they were asked for."""
    prompt: int = 0
    """Prompt tokens."""
    slot: int = -1
    computed: int = 0
    """Tokens whose keys are in the slot."""
    cached: int = 0
    """Prompt tokens that were there already."""
    cancelled: bool = False
    finish: str = ""
    end: int | None = None
    """The token that ended it; not among ``tokens``."""

    def __post_init__(self) -> None:
        self.prompt = len(self.tokens)

    @property
    def generated(self) -> int:
        """Tokens generated so far."""
        return len(self.tokens) - self.prompt

    @property
    def plain(self) -> bool:
        """Whether it takes the likeliest token whatever came before, and nothing else."""
        return self.sampler.greedy and self.guide is None and self.scores is None

    @property
    def wants_all(self) -> bool:
        """Whether the logits of every prompt token are wanted, and not all were computed yet."""
        asked = self.scores is not None and self.scores.of_prompt
        return asked and self.computed <= self.prompt and not self.generated


@dataclass(frozen=True, kw_only=True)
class Threads:
    """CPU threads of a step: few tokens leave several threads waiting for each other."""

    narrow: int
    wide: int

    def use(self, tokens: int) -> None:
        """Set torch's threads for a step of ``tokens``."""
        wanted = self.wide if tokens >= WIDE else self.narrow
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)


@dataclass(kw_only=True)
class Meter:
    """Where the model's time went."""

    prefill: float = 0.0
    decode: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0
    since: float = field(default_factory=time.perf_counter)

    def seconds(self, load: float) -> EngineSeconds:
        """Return load, busy and idle seconds; a mixed step is split by its tokens."""
        busy = self.prefill + self.decode
        idle = max(0.0, time.perf_counter() - self.since - busy)
        return EngineSeconds(
            load=load, busy=busy, idle=idle, prefill=self.prefill, decode=self.decode
        )
