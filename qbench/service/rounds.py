"""Rounds: how the samples of a run that goes on until it is decided are dealt out.

The order of the samples is the suite's, fixed by the seed before anything is asked: each round
holds every task and level alike. A round is one shard of every cell, so that the shards of a run
say which samples belong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat

from qbench.service.domain import Request, Shard
from qbench.service.order import LOADS_FORMATS

FIRST = 50
"""Samples of the first round, at least."""
SHARE, SHARE_STARTED = 0.1, 0.5
"""Of what was asked so far, the size of the next round; where an engine is started for each."""


def round_numbers(request: Request) -> Iterator[int]:
    """Yield the round of each sample, in the order in which a suite draws them."""
    return chain.from_iterable(repeat(n, size) for n, size in enumerate(_sizes(request)))


def _sizes(request: Request) -> Iterator[int]:
    """Yield sizes: whole cycles over tasks and levels, growing, most where starts cost time."""
    cycle, done = len(request.tasks) * len(request.levels), 0
    starts = any(system.engine in LOADS_FORMATS for system in request.systems)
    share = SHARE_STARTED if starts else SHARE
    while done < request.limit:
        wanted = max(FIRST, share * done)
        size = min(request.limit - done, cycle * -int(-wanted // cycle))
        yield size
        done += size


def rounds_of(shards: Iterable[Shard]) -> dict[str, int]:
    """Return the round of each shard by its id: its place in its cell."""
    found: dict[str, int] = {}
    so_far: dict[str, int] = {}
    for shard in sorted(shards, key=lambda one: one.id):
        found[shard.id] = so_far.get(shard.cell_id, 0)
        so_far[shard.cell_id] = found[shard.id] + 1
    return found


def sample_rounds(shards: Iterable[Shard]) -> dict[str, int]:
    """Return the round of each sample of a run."""
    every = tuple(shards)
    numbers = rounds_of(every)
    return {key: numbers[shard.id] for shard in every for key in shard.sample_ids}
