"""Budget: stop before it is passed, counting what is in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal

NOTHING = Decimal(0)

STOP_S = 0.25
"""Seconds that stopping a local engine's meter may take."""


class Budget:
    """Dollars of one run: settled, running by the second, and reserved for attempts in flight.

    API attempts reserve what they may cost and settle what they did; a local engine is a meter
    that runs from its start. An attempt is admitted only if all of it together stays within the
    limit, so that stopping admissions is enough to stay below it.
    """

    def __init__(
        self,
        limit: Decimal | None,
        *,
        settled: Decimal = NOTHING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.reached = False
        """Whether an admission was refused."""
        self._settled = settled
        self._reserved = NOTHING
        self._rate = NOTHING
        self._metered_since = 0.0
        self._longest = 0.0
        self._clock = clock
        self._settling = asyncio.Event()
        """Set when an attempt in flight has ended."""

    @property
    def spent(self) -> Decimal:
        """Dollars so far: settled costs and the running meter."""
        return self._settled + self._metered()

    @property
    def left(self) -> float | None:
        """Dollars that may still be spent; None without a limit."""
        return None if self.limit is None else max(0.0, float(self.limit - self.spent))

    @property
    def seconds_left(self) -> float | None:
        """How long the meter may run on; None without a limit or a meter."""
        if self.limit is None or not self._rate:
            return None
        left = float((self.limit - self.spent - self._reserved) / self._rate)
        return max(0.0, left - STOP_S)

    def start_meter(self, dollars_per_second: Decimal) -> None:
        """A local engine starts; its load time is paid too."""
        self._rate, self._metered_since = dollars_per_second, self._clock()

    def correct_meter(self, dollars_per_second: Decimal) -> None:
        """The engine is up and tells what it runs on: the rate holds from its start."""
        self._rate = dollars_per_second

    def stop_meter(self) -> None:
        """The engine stopped: what the meter shows is settled."""
        self._settled += self._metered()
        self._rate = NOTHING

    def admit(self, reserve: Decimal = NOTHING) -> bool:
        """Reserve for one more attempt, or refuse it; a refusal is final for the run."""
        if not self._fits(reserve):
            self.reached = True
        if not self.reached:
            self._reserved += reserve
        return not self.reached

    async def admitted(self, reserve: Callable[[], Decimal]) -> Decimal | None:
        """Reserve for one more attempt as soon as there is room.

        While attempts are in flight, what they reserved and will not use may still make room, and
        what the next one must reserve may fall. Returns what was reserved; None when there is no
        room with nothing in flight, which is final for the run.
        """
        while not self.reached:
            wanted = reserve()
            if self._fits(wanted):
                self._reserved += wanted
                return wanted
            if not self._reserved:
                self.reached = True
                break
            self._settling.clear()
            await self._settling.wait()
        return None

    def _fits(self, reserve: Decimal) -> bool:
        tail = self._rate * Decimal(self._longest + STOP_S)
        used = self.spent + self._reserved + reserve + tail
        return self.limit is None or used <= self.limit

    def settle(self, reserve: Decimal, cost: Decimal, seconds: float) -> None:
        """An admitted attempt ended: its reserve becomes what it cost."""
        self._reserved -= reserve
        self._settled += cost
        self._longest = max(self._longest, seconds)
        self._settling.set()

    def _metered(self) -> Decimal:
        if not self._rate:
            return NOTHING
        return self._rate * Decimal(self._clock() - self._metered_since)
