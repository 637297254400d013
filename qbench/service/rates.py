"""How often: requests of a key, and calls to a provider, counted by all processes together.

The window moves: at most N in any 60 seconds, exactly, whichever processes count. With Redis all
processes share one count; while Redis does not answer each counts for itself, which lets at most
that many times as much through and keeps the service up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from typing import TypeVar
from weakref import WeakKeyDictionary

from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, MovingWindowSupport, Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from qbench.errors import ConfigError, TooManyRequests
from qbench.service.redaction import redact

LOG = logging.getLogger(__name__)

ENVIRONMENT = "QBENCH_RATE_"
ANSWER_S = 0.5
"""Seconds that Redis has to answer: a request of the service waits for it."""
PAUSE_S = 5.0
"""Seconds before a Redis that did not answer is asked again."""
LONGEST_NAP_S = 5.0
"""A waiter looks again after this long: another process may have gone without using its turn."""

T = TypeVar("T")


class Rates:
    """Counts against limits. Safe to share between threads and event loops.

    ``url``: ``memory://`` for one process, ``redis://`` for all that name the same server.

    Raises:
        ConfigError: a URL that names no such store, or a bad ``QBENCH_RATE_`` variable.

    """

    def __init__(self, url: str = "memory://", environ: Mapping[str, str] | None = None) -> None:
        self.providers = provider_limits(os.environ if environ is None else environ)
        self._url = url
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared = None if url.startswith("memory:") else MovingWindowRateLimiter(_open(url))
        self._silent_until = 0.0
        self._lock = threading.Lock()
        self._queues: WeakKeyDictionary[AbstractEventLoop, dict[str, asyncio.Lock]] = (
            WeakKeyDictionary()
        )

    def admit(self, name: str, per_minute: int) -> None:
        """Count one request of ``name``. Raises TooManyRequests, which says when to come back."""
        wait_s = self._take(RateLimitItemPerMinute(per_minute), "key", name)
        if wait_s > 0:
            raise TooManyRequests(
                f"This key may send {per_minute:,} requests a minute, and has.",
                hint=f"Come back in {wait_s:.1f} s, or ask for a key with a higher rate.",
                retry_after_s=wait_s,
            )

    async def provider_turn(self, provider: str) -> None:
        """Wait until a call to ``provider`` is allowed, and count it.

        Waiters of one event loop go in the order in which they came. A provider without a limit
        is never waited for.
        """
        limit = self.providers.get(_word(provider))
        if limit is None:
            return
        async with self._queue(_word(provider)):
            while True:
                wait_s = await asyncio.to_thread(self._take, limit, "provider", _word(provider))
                if wait_s <= 0:
                    return
                await asyncio.sleep(min(wait_s, LONGEST_NAP_S))

    def _queue(self, name: str) -> asyncio.Lock:
        with self._lock:
            queues = self._queues.setdefault(asyncio.get_running_loop(), {})
            return queues.setdefault(name, asyncio.Lock())

    def _take(self, limit: RateLimitItem, *names: str) -> float:
        """Count one; return 0, or the seconds until it would be allowed."""
        return self._counted(lambda limiter: _take(limiter, limit, names))

    def _counted(self, act: Callable[[MovingWindowRateLimiter], float]) -> float:
        if self._shared is None or time.monotonic() < self._silent_until:
            return act(self._own)
        try:
            return act(self._shared)
        except StorageError as error:
            self._silent(error)
            return act(self._own)

    def _silent(self, error: StorageError) -> None:
        self._silent_until = time.monotonic() + PAUSE_S
        LOG.warning(
            "Rates are counted by each process alone for %.0f s: %s does not answer (%s)",
            PAUSE_S,
            redact(self._url),
            redact(str(error.storage_error)),
        )


def provider_limits(environ: Mapping[str, str]) -> dict[str, RateLimitItem]:
    """Read ``QBENCH_RATE_OPENAI=600/minute`` and its like, by provider. Raises ConfigError."""
    return {
        _word(name.removeprefix(ENVIRONMENT)): _limit(name, text)
        for name, text in environ.items()
        if name.startswith(ENVIRONMENT) and text
    }


def _limit(name: str, text: str) -> RateLimitItem:
    if re.fullmatch(r"\s*[1-9]\d{0,8}\s*(/|per)\s*(\d+\s*)?(second|minute|hour|day)s?\s*", text):
        return parse(text)
    raise ConfigError(f"Cannot read a rate from {name}={text!r}.", hint=f"Write {name}=600/minute.")


def _take(limiter: MovingWindowRateLimiter, limit: RateLimitItem, names: tuple[str, ...]) -> float:
    if limiter.hit(limit, *names):
        return 0.0
    reset = limiter.get_window_stats(limit, *names).reset_time
    return max(0.01, reset - time.time())


def _open(url: str) -> Storage:
    patience = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
    try:
        storage = storage_from_string(
            url, wrap_exceptions=True, key_prefix="qbench-rate", **patience
        )
    except (ConfigurationError, ValueError, TypeError) as error:
        raise ConfigError(
            f"Cannot count rates in {redact(url)}: {redact(str(error))}.",
            hint="Give memory:// or redis://host:6379/0.",
        ) from None
    if not isinstance(storage, Storage) or not isinstance(storage, MovingWindowSupport):
        raise ConfigError(
            f"{redact(url)} cannot count in a moving window.",
            hint="Give memory:// or redis://host:6379/0.",
        )
    return storage


def _word(provider: str) -> str:
    """Return a provider as an environment variable spells it: ``together_ai``, ``TOGETHER_AI``."""
    return re.sub(r"[^A-Z0-9]", "_", provider.upper())
