"""One model call made as often as it takes: through the gate, measured, tried again, redacted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import structs

from qbench.benchmarks.chat import Turn
from qbench.errors import EngineError, EngineTimeout
from qbench.workers.engines.inflight import InFlight
from qbench.workers.engines.openai_errors import Backoff, RateLimited, Transient
from qbench.workers.limiter import Gate

Ready = Callable[[], Awaitable[None]]
"""Waits until the server can take requests. Raises EngineUnavailable when it never will."""


class Tries:
    """What the clients share: limit, busy time, retries, and silence about secrets."""

    def __init__(
        self,
        gate: Gate,
        backoff: Backoff,
        *,
        ready: Ready | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.gate = gate
        self.in_flight = InFlight()
        self._backoff = backoff
        self._ready = ready
        self._secrets = tuple(filter(None, secrets))

    async def turn(self, once: Callable[[], Awaitable[Turn]]) -> Turn:
        """Call ``once`` until it answers.

        ``once`` raises ``Transient`` for what another try may cure.

        Raises:
            EngineError: of the last try, without the secrets.

        """
        attempt = 0
        while True:
            try:
                turn = await self._gated(once)
            except Transient as trouble:
                if attempt >= self._backoff.retries:
                    raise self._redacted(trouble.error) from trouble.__cause__
                delay = self._backoff.wait(attempt, trouble.retry_after_s)
            except EngineError as error:
                raise self._redacted(error) from error.__cause__
            else:
                return structs.replace(turn, retries=attempt) if attempt else turn
            attempt += 1
            await asyncio.sleep(delay)

    async def _gated(self, once: Callable[[], Awaitable[Turn]]) -> Turn:
        """Make one try and tell the policy how it went."""
        if self._ready is not None:
            await self._ready()
        gate, flight = self.gate, self.in_flight
        await gate.enter()
        flight.enter()
        try:
            turn = await once()
            flight.note(turn.timing)
            gate.policy.succeeded(gate.in_flight)
        except (Transient, EngineTimeout) as trouble:
            self._tell(trouble)
            raise
        else:
            return turn
        finally:
            flight.leave()
            gate.leave()

    def _tell(self, trouble: Exception) -> None:
        if isinstance(trouble, RateLimited):
            self.gate.policy.rate_limited(trouble.retry_after_s)
        else:
            self.gate.policy.troubled()

    def _redacted(self, error: EngineError) -> EngineError:
        """Return ``error`` without the secrets: endpoints like to quote them."""
        if not any(secret in str(error) for secret in self._secrets):
            return error
        what, hint = error.what, error.hint
        for secret in self._secrets:
            what, hint = what.replace(secret, "***"), hint.replace(secret, "***")
        return type(error)(what, hint=hint)
