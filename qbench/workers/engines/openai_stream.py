"""A streamed reply: server-sent events in, a message and its times out. Pure."""

from __future__ import annotations

from datetime import datetime

from qbench.benchmarks.chat import Timing
from qbench.workers.engines.openai_wire import Body, Json, MessageBuilder

DONE = b"[DONE]"


class EventSplitter:
    """Cuts a byte stream into the data of its events.

    One ``data:`` line is one event: a chunk's JSON has no line breaks. Comments and other fields
    are skipped.
    """

    def __init__(self) -> None:
        self.rest = b""
        """The unfinished last line."""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that ``piece`` completes."""
        lines = (self.rest + piece).split(b"\n")
        self.rest = lines.pop()
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]

    def end(self) -> list[bytes]:
        """Return the last event of a stream that ends without a line break."""
        return self.feed(b"\n") if self.rest else []


class StreamReader:
    """Follows one stream: what was said, when, and whether it ended.

    Times as in ``vllm bench serve``, except that TTFT waits for content, reasoning or a call:
    a chunk with nothing but the role is no token. From then on every chunk with choices counts,
    the one that carries only ``finish_reason`` too, since the end token is a token.
    """

    def __init__(self, sent: float) -> None:
        self.builder = MessageBuilder()
        self.finish_reason = ""
        self.raw_usage: Json = {}
        self.model = ""
        self._sent = sent
        self._first: float | None = None
        self._last = sent
        self._gaps: list[float] = []

    def add(self, chunk: Body, now: float) -> None:
        """Take in one chunk that arrived at ``now``, on the clock of ``sent``."""
        if chunk.usage:
            self.raw_usage = chunk.usage
        if chunk.model:
            self.model = chunk.model
        if not chunk.choices:
            return
        choice = chunk.choices[0]
        carries = choice.delta is not None and self.builder.add(choice.delta)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
        if self._first is not None:
            self._gaps.append(now - self._last)
        elif carries:
            self._first = now
        self._last = now

    def timing(self, started_at: datetime) -> Timing:
        """Return the times of the whole stream."""
        return Timing(
            started_at=started_at,
            e2el_s=self._last - self._sent,
            ttft_s=None if self._first is None else self._first - self._sent,
            itl_s=tuple(self._gaps),
        )
