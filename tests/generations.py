"""Sequences for a batcher: asked for, and waited for."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.generation import Generation
from qbench.workers.embedded.sampling import Sampler
from qbench.workers.embedded.scores import Scores

if TYPE_CHECKING:  # llguidance is needed where there are grammars
    from qbench.workers.embedded.grammar import Guide

Made = tuple[Generation, "queue.Queue[tuple[list[int], str]]"]


def submit(
    batcher: Batcher,
    tokens: Sequence[int],
    *,
    most: int = 12,
    seed: int | None = 0,
    scores: Scores | None = None,
    ends: frozenset[int] = frozenset(),
    temperature: float = 0.0,
    guide: Guide | None = None,
) -> Made:
    heard: queue.Queue[tuple[list[int], str]] = queue.Queue()
    generation = Generation(
        tokens=list(tokens),
        sampler=Sampler(temperature=temperature, top_p=1.0, seed=seed),
        told=lambda new, finish: heard.put((list(new), finish)),
        max_tokens=most,
        ends=ends,
        scores=scores,
        guide=guide,
    )
    batcher.submit(generation)
    return generation, heard


def finished(made: Made) -> list[int]:
    tokens: list[int] = []
    finish = ""
    while not finish:
        new, finish = made[1].get(timeout=60)
        tokens += new
    return tokens


def prompts(count: int, length: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(3, 250, (length + 7 * n,), generator=draw).tolist() for n in range(count)]
