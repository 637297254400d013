"""How long a product takes on a GPU: replays of CUDA graphs over memory that no cache holds.

A graph holds calls over several copies of weight, x and result, together more than four times the
L2 cache, so that each call reads what the cache has lost; and as many calls as take a good part of
a millisecond, so that starting the graph does not count. Those who are compared take turns, in
another order each round, so that clocks and temperature that drift meet all alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from qbench.kernels.speed.contestant import Product

ROUNDS = 25
"""Timings of each graph; one is of the order of a millisecond."""
CACHES = 4
"""How many L2 caches the copies fill."""
MOST_COPIES = 64
LONG_US = 400.0
"""A graph takes about this long at least, by the floor of its calls: an event is good to 1 µs."""

Start = Callable[[], Callable[[], float]]
"""Starts a replay, and gives what returns its seconds once the GPU is done."""


class Timing(Struct, frozen=True, kw_only=True):
    """Microseconds of one call."""

    median_us: float
    p20_us: float
    p80_us: float
    replays: int


def copies_for(moved: int, cache: int) -> int:
    """Return how many copies of what a call moves (bytes) fill ``CACHES`` caches; at least 2."""
    return min(max(-(-CACHES * cache // moved), 2), MOST_COPIES)


def turns_for(copies: int, floor_us: float) -> int:
    """Return how often a graph goes through its copies to take ``LONG_US``."""
    return max(1, round(LONG_US / (copies * floor_us)))


def summed_up(seconds: Sequence[float], calls: int) -> Timing:
    """Return the timing of one call from seconds of replays with ``calls`` each."""
    each = [1e6 * one / calls for one in seconds]
    low, *_, high = statistics.quantiles(each, n=5, method="inclusive")
    return Timing(median_us=statistics.median(each), p20_us=low, p80_us=high, replays=len(each))


def interleaved(
    starts: Sequence[Start], rounds: int, settle: Callable[[], None]
) -> list[list[float]]:
    """Return the seconds of ``rounds`` replays of each, one of each in turn.

    Everyone goes once before that counts. Round r begins with the r-th, so that nobody always
    follows the same one. ``settle`` waits until all replays of a round are done.
    """
    for start in starts:
        start()
    found: list[list[float]] = [[] for _ in starts]
    for number in range(rounds):
        order = [(place + number) % len(starts) for place in range(len(starts))]
        asked = [(place, starts[place]()) for place in order]
        settle()
        for place, seconds in asked:
            found[place].append(seconds())
    return found


def captured(products: Sequence[Product], inputs: Sequence[Any], turns: int) -> Start:
    """Capture a graph that goes ``turns`` times through the products and their inputs.

    Results of one turn are kept apart from each other, as weights and inputs are. The products
    ran before, so that nothing is compiled here.
    """
    graph = torch.cuda.CUDAGraph()
    kept: list[Tensor] = []
    with torch.cuda.graph(graph):
        for _ in range(turns):
            made = [product(given) for product, given in zip(products, inputs, strict=True)]
            kept = made
    del kept
    return lambda: _replayed(graph)


def _replayed(graph: torch.cuda.CUDAGraph) -> Callable[[], float]:
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    graph.replay()
    end.record()
    return lambda: float(begin.elapsed_time(end)) / 1e3
