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
from weakref import WeakSet

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import Unsupported
from qbench.kernels.speed.contestant import Product

ROUNDS = 25
"""Timings of each graph; one is of the order of a millisecond."""
CACHES = 4
"""How many L2 caches the copies fill."""
MOST_COPIES = 64
MOST_TURNS = 16
LONG_US = 400.0
"""A graph takes about this long at least, by the floor of its calls: an event is good to 1 µs."""

Start = Callable[[], Callable[[], float]]
"""Starts a replay, and gives what returns its seconds once the GPU is done."""


class Machine(Struct, frozen=True, kw_only=True):
    """What times products: a GPU, and how its replays are captured and awaited."""

    device: torch.device
    cache: int
    """Bytes of its L2 cache."""
    capture: Callable[[Sequence[Product], Sequence[Any], int], Start]
    """Makes of products, the inputs of each and a number of turns what can be replayed."""
    settle: Callable[[], None]
    """Waits until everything that was started is done."""


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
    return min(max(1, round(LONG_US / (copies * floor_us))), MOST_TURNS)


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


class Graphs:
    """Captures graphs whose results share memory: nobody reads them, and they run in turn."""

    def __init__(self) -> None:
        self._alive: WeakSet[torch.cuda.CUDAGraph] = WeakSet()

    def capture(self, products: Sequence[Product], inputs: Sequence[Any], turns: int) -> Start:
        """Capture a graph that goes ``turns`` times through the products and their inputs.

        Results of one turn are kept apart from each other, as weights and inputs are. The
        products ran before, so that nothing is compiled here.
        """
        graph = torch.cuda.CUDAGraph()
        kept: list[Tensor] = []
        with torch.cuda.graph(graph, pool=self._pool()):
            for _ in range(turns):
                made = [product(given) for product, given in zip(products, inputs, strict=True)]
                kept = made
        del kept, made
        self._alive.add(graph)
        return Replay(graph, products, inputs)

    def _pool(self) -> Any:
        """Return the memory of a graph that is alive; it is gone with the last of them."""
        for graph in self._alive:
            return graph.pool()
        return torch.cuda.graph_pool_handle()


class Replay:
    """A captured graph that can be started, and what it reads.

    A graph holds addresses alone: memory that nobody else holds would be given to others, or back
    to the driver, while the graph still reads it.
    """

    def __init__(
        self, graph: torch.cuda.CUDAGraph, products: Sequence[Product], inputs: Sequence[Any]
    ) -> None:
        self._graph = graph
        self._read = (tuple(products), tuple(inputs))

    def __call__(self) -> Callable[[], float]:
        """Start a replay; what is returned gives its seconds once the GPU is done."""
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        begin.record()
        self._graph.replay()
        end.record()
        return lambda: float(begin.elapsed_time(end)) / 1e3


def this_gpu() -> Machine:
    """Return the GPU to time on. Raises Unsupported where torch sees none."""
    if not torch.cuda.is_available():
        raise Unsupported(
            "Timing kernels needs a CUDA GPU, and torch sees none.",
            hint="Run it on a machine with one; `--read FILE` shows rows from elsewhere, and "
            "`qbench kernels check` runs here.",
        )
    device = torch.device("cuda", torch.cuda.current_device())
    return Machine(
        device=device,
        cache=torch.cuda.get_device_properties(device).L2_cache_size,
        capture=Graphs().capture,
        settle=torch.cuda.synchronize,
    )
