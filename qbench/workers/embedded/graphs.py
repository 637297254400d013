"""Steps of single tokens as CUDA graphs: one launch for some hundreds of programs.

A graph is captured for a few batch sizes; a step takes the next larger one and fills it up. At its
end it sets its own inputs to what it found likeliest, one place further, so that a batch of greedy
sequences goes on without the host: the next step runs while the host reads the last one's tokens.
On a CPU the same steps are computed without graphs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from qbench.errors import Unsupported
from qbench.workers.embedded.cache import Slots
from qbench.workers.embedded.decoder import Decoder
from qbench.workers.embedded.loading import Loaded

FILLING = (0, 0, -1)
"""Token, slot and position of a row that belongs to nobody."""
WARM_UPS = 2
UNREAD = 2
"""Steps whose tokens may be on their way to the host."""


class Flight(Struct, frozen=True, kw_only=True):
    """A step that was launched."""

    size: _Size
    rows: int
    """Sequences, without filling."""
    greedy: Tensor
    """(n,): the likeliest token of each, once ``arrived``."""
    arrived: torch.cuda.Event | None

    @property
    def logits(self) -> Tensor:
        """(n, vocabulary); overwritten by the next launch."""
        return self.size.logits[: self.rows]

    def tokens(self) -> list[int]:
        """Wait for the likeliest tokens."""
        if self.arrived is not None:
            self.arrived.synchronize()
        found: list[int] = self.greedy.tolist()
        return found


class _Size:
    """A step for one batch size: its inputs, and where its results appear."""

    def __init__(self, decoder: Decoder, rows: int, pool: Any) -> None:
        """Compute it once or twice, then capture it where there is a GPU."""
        self._decoder = decoder
        device = decoder.device
        self.given = torch.tensor([FILLING] * rows, dtype=torch.int32, device=device).t()
        self.given = self.given.contiguous()
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            self._capture(pool)

    def _capture(self, pool: Any) -> None:
        """Compute on a stream of its own, which builds programs and their room; then capture."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._compute()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, stream=stream):
            self._compute()

    def _compute(self) -> None:
        """Compute a step, and set the inputs of the one that follows."""
        ids, slots, positions = self.given
        self.logits = self._decoder(ids, slots, positions)
        self.greedy = self._decoder.take_likeliest(self.logits, ids, positions)

    def run(self) -> None:
        """Launch the step of what is given."""
        if self._graph is None:
            self._compute()
        else:
            self._graph.replay()


class Steps:
    """Steps of up to ``widest`` sequences with one new token each; one stream, one thread."""

    def __init__(self, decoder: Decoder, widest: int) -> None:
        """Capture all sizes, the largest first: the smaller ones then live in its memory."""
        self.widest = widest
        self.decoder = decoder
        self._on_gpu = decoder.device.type == "cuda"
        pool = torch.cuda.graph_pool_handle() if self._on_gpu else None
        with torch.inference_mode():
            self._sizes = {rows: _Size(decoder, rows, pool) for rows in sizes(widest)[::-1]}
            self._staged = self._pinned(3 * max(self._sizes))
            self._read = [self._pinned(max(self._sizes)) for _ in range(UNREAD)]
        self._launched = 0

    def _pinned(self, count: int) -> Tensor:
        return torch.empty(count, dtype=torch.int32, pin_memory=self._on_gpu)

    def launch(self, places: Sequence[tuple[int, int, int]]) -> Flight:
        """Start the step of these tokens, slots and positions; all earlier ones were read."""
        rows = next(rows for rows in sorted(self._sizes) if rows >= len(places))
        filled = [*places, *([FILLING] * (rows - len(places)))]
        staged = self._staged[: 3 * rows].view(3, rows)
        staged.copy_(torch.tensor(filled, dtype=torch.int32).t())
        size = self._sizes[rows]
        size.given.copy_(staged, non_blocking=True)
        return self._start(size, len(places))

    def again(self, last: Flight) -> Flight:
        """Start the step that follows when every sequence takes its likeliest token."""
        return self._start(last.size, last.rows)

    def _start(self, size: _Size, rows: int) -> Flight:
        size.run()
        greedy = self._read[self._launched % UNREAD][:rows]
        greedy.copy_(size.greedy[:rows], non_blocking=True)
        self._launched += 1
        arrived = None
        if self._on_gpu:
            arrived = torch.cuda.Event()
            arrived.record()
        return Flight(size=size, rows=rows, greedy=greedy, arrived=arrived)


def steps_of(loaded: Loaded, slots: Slots, widest: int) -> Steps | None:
    """Capture a model's steps; None on CPUs, and for what cannot be captured."""
    if loaded.device == "cpu" or loaded.waits:
        return None
    try:
        decoder = Decoder(loaded.model, slots, widest)
    except Unsupported as lacking:
        sys.stderr.write(f"Single tokens are computed without graphs: {lacking}\n")
        return None
    return Steps(decoder, widest)


def sizes(widest: int) -> list[int]:
    """Return the batch sizes that have a graph: powers of two, the last one ``widest`` or more."""
    found = [1]
    while found[-1] < widest:
        found.append(2 * found[-1])
    return found
