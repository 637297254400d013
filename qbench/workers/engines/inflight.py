"""When an engine was busy, seen from the client: the union of the requests' intervals."""

from __future__ import annotations

import time
from collections.abc import Callable

from qbench.benchmarks.chat import Timing
from qbench.service.domain import EngineSeconds


class InFlight:
    """Counts requests in flight and adds up the time with at least one of them.

    Idle time runs from construction, so it is made when the engine is healthy.
    """

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._since = clock()
        self._count = 0
        self._busy = 0.0
        self._busy_since = 0.0
        self._ttft = 0.0
        self._e2el = 0.0

    def enter(self) -> None:
        """Note that a request was sent."""
        if self._count == 0:
            self._busy_since = self._clock()
        self._count += 1

    def leave(self) -> None:
        """Note that a request ended, well or not."""
        self._count -= 1
        if self._count == 0:
            self._busy += self._clock() - self._busy_since

    def note(self, timing: Timing) -> None:
        """Add a reply's times to the estimate of the prefill share."""
        if timing.ttft_s is not None:
            self._ttft += timing.ttft_s
            self._e2el += timing.e2el_s

    def seconds(self, *, load: float = 0.0) -> EngineSeconds:
        """Return busy and idle seconds so far.

        ``prefill`` is the share of busy time that streamed requests spent before their first
        token, queueing included: an upper estimate. None when nothing was streamed.
        """
        now = self._clock()
        busy = self._busy + (now - self._busy_since if self._count else 0.0)
        prefill = busy * min(1.0, self._ttft / self._e2el) if self._e2el > 0 else None
        return EngineSeconds(
            load=load,
            busy=busy,
            idle=max(0.0, now - self._since - busy),
            prefill=prefill,
            decode=None if prefill is None else busy - prefill,
        )
