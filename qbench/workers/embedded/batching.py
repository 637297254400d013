"""Continuous batching: sequences join and leave between steps, prompts that begin alike are reused.

One thread owns the model. A step takes the next tokens of every running sequence: one for a
sequence that is being generated, more where a grammar left no choice, and a chunk of a prompt.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from qbench.workers.embedded.cache import Piece, Slots, Step
from qbench.workers.embedded.generation import Generation, Meter, Threads
from qbench.workers.embedded.graphs import Flight, Steps
from qbench.workers.embedded.sampling import draw_each

CHUNK = 512
"""Most prompt tokens in one step: longer prompts are computed piecewise, others go on between."""

GPU_CHUNK = 4096
"""The same on a GPU, where fewer tokens would leave it waiting for the host."""

WORTHWHILE = 64
"""Tokens whose computation is worth waiting for, or worth keeping."""


class Batcher:
    """Runs sequences on a model until closed."""

    def __init__(
        self,
        model: nn.Module,
        slots: Slots,
        *,
        concurrency: int,
        threads: Threads | None = None,
        steps: Steps | None = None,
        died: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a model in its format; ``died`` is called when its thread fails.

        ``steps`` make the steps in which every sequence has one new token, where they are given.
        """
        self.meter = Meter()
        self._model = model
        self._slots = slots
        self._kept: list[list[int]] = [[] for _ in range(slots.keys.shape[1])]
        self._used = [0.0] * len(self._kept)
        self._concurrency = concurrency
        self._chunk = CHUNK if slots.keys.device.type == "cpu" else GPU_CHUNK
        self._steps = steps
        self._ahead: tuple[Flight, list[Generation]] | None = None
        self._died = died
        self._threads = threads or Threads(
            narrow=torch.get_num_threads(), wide=torch.get_num_threads()
        )
        self._running: list[Generation] = []
        self._waiting: list[Generation] = []
        self._arrivals: queue.SimpleQueue[Generation | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._open = True

    def start(self) -> None:
        """Start the model's thread."""
        self._thread.start()

    def close(self) -> None:
        """End after the current step."""
        self._open = False
        self._arrivals.put(None)
        self._thread.join()

    def submit(self, sequence: Generation) -> None:
        """Queue a sequence; what becomes of it goes to ``sequence.told``."""
        self._arrivals.put(sequence)

    @property
    def length(self) -> int:
        """Longest context, in tokens."""
        return self._slots.length

    @property
    def running(self) -> int:
        """Sequences in the batch."""
        return len(self._running)

    def _work(self) -> None:
        try:
            with torch.inference_mode():
                while self._open:
                    self._admit()
                    if self._running:
                        self._step()
        except BaseException:
            traceback.print_exc()
            self._died()
            raise

    def _admit(self) -> None:
        """Seat who waits while there is room; sleep when there is nothing to do."""
        self._receive()
        for sequence in list(self._waiting):
            if len(self._running) >= self._concurrency:
                return
            if not (sequence.cancelled or sequence.scores) and self._soon_known(sequence):
                continue
            self._waiting.remove(sequence)
            if not sequence.cancelled:
                self._seat(sequence)

    def _receive(self) -> None:
        idle = not (self._running or self._waiting)
        with contextlib.suppress(queue.Empty):
            while True:
                arrived = self._arrivals.get(block=idle)
                idle = False
                if arrived is None:
                    return
                self._waiting.append(arrived)

    def _soon_known(self, sequence: Generation) -> bool:
        """Whether a running sequence is about to compute a beginning that this one shares."""
        known = max(_alike(kept, sequence.tokens) for kept in self._kept)
        coming = [s for s in self._running if s.computed < s.prompt]
        return any(_alike(s.tokens, sequence.tokens) > known + WORTHWHILE for s in coming)

    def _seat(self, sequence: Generation) -> None:
        """Give it the free slot that remembers most of its prompt; copy from a better busy one."""
        busy = {running.slot for running in self._running}
        free = [slot for slot in range(len(self._kept)) if slot not in busy]
        limit = len(sequence.tokens) - 1  # the last token is computed in any case, for its logits
        if sequence.scores is not None and sequence.scores.of_prompt:
            limit = 0  # and here all of them are, for theirs
        shared = [min(_alike(kept, sequence.tokens), limit) for kept in self._kept]
        best = max(range(len(shared)), key=lambda slot: (shared[slot], slot in free))
        slot = self._roomiest(free, best, shared[best])
        if slot != best and shared[best]:
            self._slots.copy(best, slot, shared[best])
        sequence.slot, sequence.computed, sequence.cached = slot, shared[best], shared[best]
        self._kept[slot] = sequence.tokens[: shared[best]]
        self.meter.cached_tokens += shared[best]
        self._running.append(sequence)

    def _roomiest(self, free: Sequence[int], best: int, shared: int) -> int:
        """Choose a slot: ``best`` itself if nothing else of it would be lost, else the oldest."""
        if best in free and len(self._kept[best]) <= shared + WORTHWHILE:
            return best
        return min(free, key=lambda slot: self._used[slot])

    def _step(self) -> None:
        began = time.perf_counter()
        self._running = [sequence for sequence in self._running if not sequence.cancelled]
        if self._ahead is not None:
            flight, members = self._ahead
            self._land(flight, members, began)
            return
        pieces, members = self._pieces()
        if not pieces:
            return
        if self._steps is not None and _all_single(pieces, members, self._steps.widest):
            places = [(s.tokens[-1], p.slot, p.past) for p, s in zip(pieces, members, strict=True)]
            self._land(self._steps.launch(places), members, began)
            return
        step = Step(self._slots, pieces)
        prefill = sum(p.count for p, s in zip(pieces, members, strict=True) if not s.generated)
        logits = self._forward(step, members)
        ready = [s for s in members if s.computed == len(s.tokens)]
        self._choose(ready, logits)
        self._account(time.perf_counter() - began, prefill, sum(p.count for p in pieces))
        self._running = [s for s in self._running if not s.finish]

    def _land(self, flight: Flight, members: list[Generation], began: float) -> None:
        """Take what a launched step found; launch the next one first where that is known."""
        assert self._steps is not None
        live = [(row, s) for row, s in enumerate(members) if not (s.cancelled or s.finish)]
        prefill = sum(not s.generated for _, s in live)
        for _, sequence in live:
            self._computed(sequence, len(sequence.tokens))
        if all(sequence.plain for _, sequence in live):
            self._ahead = (
                (self._steps.again(flight), members) if self._goes_on(live, members) else None
            )
            tokens = flight.tokens()
            for row, sequence in live:
                self._take(sequence, tokens[row])
        else:
            self._ahead = None
            rows = [row for row, _ in live]
            self._choose([sequence for _, sequence in live], flight.logits[rows])
        self._account(time.perf_counter() - began, prefill, len(live))
        self._running = [s for s in self._running if not s.finish]

    def _goes_on(
        self, live: Sequence[tuple[int, Generation]], members: Sequence[Generation]
    ) -> bool:
        """Whether the next step is the same sequences with what this one finds likeliest.

        One that ends here is computed once more for nothing, but not twice: its place would run
        out of its slot. Nobody joins before that.
        """
        full = len(self._running) >= self._concurrency
        alone = full or (self._arrivals.empty() and not self._waiting)
        same = alone and len(live) == len(self._running) == len(members)
        return same and all(self._room(sequence) > 1 for _, sequence in live)

    def _room(self, sequence: Generation) -> int:
        """Return how many tokens a sequence may still take."""
        return min(
            sequence.max_tokens - sequence.generated, self._slots.length - len(sequence.tokens)
        )

    def _computed(self, sequence: Generation, end: int) -> None:
        """Note that the keys of a sequence's first ``end`` tokens are in its slot."""
        sequence.computed = end
        self._kept[sequence.slot] = sequence.tokens[:end]
        self._used[sequence.slot] = time.perf_counter()

    def _pieces(self) -> tuple[list[Piece], list[Generation]]:
        pieces, members, room = [], [], self._chunk
        for sequence in sorted(self._running, key=lambda s: len(s.tokens) - s.computed):
            count = min(len(sequence.tokens) - sequence.computed, room)
            if count:
                pieces.append(Piece(sequence.slot, sequence.computed, count))
                members.append(sequence)
                room -= count
        return pieces, members

    def _forward(self, step: Step, members: Sequence[Generation]) -> Tensor:
        """Compute the step; return logits of the last token of each piece that is complete."""
        flat: list[int] = []
        kept: list[int] = []
        last: list[int] = []
        scored: list[tuple[Generation, int, int]] = []
        for piece, sequence in zip(step.pieces, members, strict=True):
            begin, end = len(flat), piece.past + piece.count
            flat += sequence.tokens[piece.past : end]
            self._computed(sequence, end)
            if sequence.wants_all:
                scored.append((sequence, len(kept), piece.count))
                kept += range(begin, len(flat) - 1)
            if sequence.wants_all or end == len(sequence.tokens):
                kept.append(len(flat) - 1)
            if end == len(sequence.tokens):
                last.append(len(kept) - 1)
        logits = self._logits(step, flat, kept)
        for sequence, start, count in scored:
            assert sequence.scores is not None
            sequence.scores.take_prompt(logits[start : start + count], sequence.tokens)
        return logits if len(last) == len(kept) else logits[last]

    def _logits(self, step: Step, flat: Sequence[int], kept: Sequence[int]) -> Tensor:
        """Run the model on ``flat`` tokens; return the logits of those that are ``kept``."""
        self._threads.use(len(flat))
        device = self._slots.keys.device
        if self._steps is not None:
            ids = torch.tensor(flat, device=device)
            wanted = torch.tensor(kept, device=device, dtype=torch.long)
            return self._steps.decoder.flat(step, ids, wanted)
        out = self._model(
            input_ids=torch.tensor([flat], device=device),
            position_ids=step.positions[None].to(device),
            use_cache=False,
            logits_to_keep=torch.tensor(kept, device=device, dtype=torch.long),
            step=step,
        )
        logits: Tensor = out.logits[0]
        return logits

    def _choose(self, ready: Sequence[Generation], logits: Tensor) -> None:
        if not ready:
            return
        wide = logits.float()
        for row, sequence in zip(wide, ready, strict=True):
            if sequence.scores is not None:
                sequence.scores.take_next(row)
            if sequence.guide is not None:
                sequence.guide.restrict(row)
        chosen = wide.argmax(-1).tolist()
        drawn = [place for place, sequence in enumerate(ready) if not sequence.sampler.greedy]
        if drawn:
            samplers = [ready[place].sampler for place in drawn]
            tokens = draw_each(samplers, wide[drawn])
            for place, token in zip(drawn, tokens, strict=True):
                chosen[place] = token
        for token, sequence in zip(chosen, ready, strict=True):
            self._take(sequence, token)

    def _take(self, sequence: Generation, token: int) -> None:
        """Append ``token`` and what the grammar then forces; see whether it ends."""
        new = [token]
        if sequence.guide is not None:
            new += sequence.guide.advance(token)
        elif token in sequence.ends or not sequence.max_tokens:
            new, sequence.finish = [], "stop" if sequence.max_tokens else "length"
            sequence.end = token if sequence.max_tokens else None
        room = self._room(sequence)
        if sequence.scores is not None and room:
            sequence.scores.take_chosen(token)
        sequence.tokens += new[:room]
        self.meter.generated_tokens += len(new[:room])
        if sequence.guide is not None and sequence.guide.done:
            sequence.finish = "stop"
        if not sequence.finish and len(new) >= room:
            sequence.finish = "length"
        sequence.told(new[:room], sequence.finish)

    def _account(self, took: float, prefill: int, tokens: int) -> None:
        if not tokens:
            return
        self.meter.steps += 1
        self.meter.prompt_tokens += prefill
        self.meter.prefill += took * prefill / tokens
        self.meter.decode += took * (tokens - prefill) / tokens


def _all_single(pieces: Sequence[Piece], members: Sequence[Generation], widest: int) -> bool:
    """Whether each sequence has one new token, and nothing but its next one is wanted."""
    alone = all(piece.count == 1 for piece in pieces) and len(pieces) <= widest
    return alone and not any(sequence.wants_all for sequence in members)


def _alike(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share."""
    size = min(len(first), len(second))
    if first[:size] == second[:size]:
        return size
    for place in range(size):
        if first[place] != second[place]:
            return place
    return size
