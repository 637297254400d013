"""How many requests may be in flight: a fixed number, or one that follows the endpoint.

The adaptive rule is TCP's: slow start, then additive increase and multiplicative decrease. Its
constants are those that inspect_ai found to hold across providers. Concurrency changes numerics
(batch shapes choose kernels), so formats of one model are compared at one fixed limit.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class Policy(Protocol):
    """Decides the limit from what happened to requests. Pure: no I/O, no waiting."""

    @property
    def limit(self) -> int:
        """Most requests that may be in flight now."""
        ...

    def succeeded(self, in_flight: int) -> None:
        """Note a reply; ``in_flight`` counts the request itself."""
        ...

    def rate_limited(self, retry_after_s: float | None) -> None:
        """Note an HTTP 429."""
        ...

    def troubled(self) -> None:
        """Note a 5xx, a timeout or a lost connection."""
        ...


class FixedLimit:
    """The same limit whatever happens."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a limit of {limit} lets nothing through")
        self._limit = limit

    @property
    def limit(self) -> int:
        """The limit given."""
        return self._limit

    def succeeded(self, in_flight: int) -> None:
        """Change nothing."""

    def rate_limited(self, retry_after_s: float | None) -> None:
        """Change nothing."""

    def troubled(self) -> None:
        """Change nothing."""


class AdaptiveRule(Struct, frozen=True, kw_only=True):
    """Constants of ``AdaptiveLimit``."""

    least: int = 10
    start: int = 20
    most: int = 100
    saturation: float = 0.8
    """A round grows the limit only when it used this share of it."""
    cut: float = 0.8
    growth: float = 0.05
    """Per clean round, once slow start has ended."""
    cooldown_s: float = 15.0
    shortest_round: int = 4

    @classmethod
    def up_to(cls, most: int) -> AdaptiveRule:
        """Return the default rule with a ceiling of ``most``."""
        return cls(least=min(10, most), start=min(20, most), most=most)


class AdaptiveLimit:
    """A limit that doubles per clean round, is cut on a 429 and then grows slowly.

    A round is ``max(limit, 4)`` successes. Further 429s within the cool-down belong to the same
    burst and do not cut again; successes within it were admitted under the old limit and do not
    count. 5xx and timeouts start the round anew: they say nothing about the rate.
    """

    def __init__(
        self,
        rule: AdaptiveRule = AdaptiveRule(),  # noqa: B008 - a frozen value
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rule = rule
        self._clock = clock
        self._limit = rule.start
        self._slow_start = True
        self._quiet_until = -math.inf
        self._successes = 0
        self._peak = 0

    @property
    def limit(self) -> int:
        """Most requests that may be in flight now."""
        return self._limit

    def succeeded(self, in_flight: int) -> None:
        """Count towards the round and grow at its end when it was saturated."""
        if self._clock() < self._quiet_until:
            return
        self._successes += 1
        self._peak = max(self._peak, in_flight)
        if self._successes >= max(self._limit, self._rule.shortest_round):
            if self._peak >= self._rule.saturation * self._limit:
                self._grow()
            self._begin_round()

    def rate_limited(self, retry_after_s: float | None) -> None:
        """Cut once per burst and cool down for ``Retry-After``, else 15 s."""
        now = self._clock()
        pause = self._rule.cooldown_s if retry_after_s is None else retry_after_s
        if now >= self._quiet_until:
            self._limit = max(self._rule.least, math.floor(self._limit * self._rule.cut))
            self._slow_start = False
        self._quiet_until = max(self._quiet_until, now + pause)
        self._begin_round()

    def troubled(self) -> None:
        """Pause growth without a cut."""
        self._begin_round()

    def _begin_round(self) -> None:
        self._successes = 0
        self._peak = 0

    def _grow(self) -> None:
        step = self._limit if self._slow_start else math.ceil(self._limit * self._rule.growth)
        self._limit = min(self._rule.most, self._limit + step)


class Gate:
    """Lets as many requests through as its policy allows, in the order they came."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a place and take it."""
        if self.in_flight < self.policy.limit and not self._waiting:
            self.in_flight += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place back; report the outcome to ``policy`` before."""
        self.in_flight -= 1
        while self._waiting and self.in_flight < self.policy.limit:
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
