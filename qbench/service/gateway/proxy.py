"""Forwarding to a local engine: bytes pass through as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import msgspec

from qbench.errors import EngineTimeout, EngineUnavailable
from qbench.service.gateway.backend import Json

PATIENCE_S = 600.0
"""Longest time without a byte."""


class Upstream:
    """An engine's answer that is under way."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """As HTTP."""
        return self._response.status

    @property
    def is_stream(self) -> bool:
        """Whether it comes in events."""
        return self.status == 200 and self._response.content_type == "text/event-stream"

    async def read(self) -> bytes:
        """Return the whole answer. Raises EngineUnavailable, EngineTimeout."""
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the answer as it comes; leaving early tells the engine to stop."""
        complete = False
        try:
            async for piece in self._response.content.iter_any():
                yield piece
            complete = True
        except TimeoutError as error:
            raise _mute() from error
        except (aiohttp.ClientError, OSError) as error:
            raise _gone(error) from error
        finally:
            if complete:
                self._response.release()
            else:
                self._response.close()


class Proxy:
    """Connections to local engines."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: Json) -> Upstream:
        """Send a request. Raises EngineUnavailable, EngineTimeout."""
        if self._session is None or self._session.closed:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=PATIENCE_S)
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        try:
            response = await self._session.post(
                url, data=msgspec.json.encode(body), headers=headers
            )
        except TimeoutError as error:
            raise _mute() from error
        except (aiohttp.ClientError, OSError) as error:
            raise _gone(error) from error
        return Upstream(response)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _gone(error: Exception) -> EngineUnavailable:
    return EngineUnavailable(
        f"The engine went away ({error or type(error).__name__}).", hint="Send it again."
    )


def _mute() -> EngineTimeout:
    return EngineTimeout(
        f"The engine sent nothing for {PATIENCE_S:g} s.", hint="Send less, or lower max_tokens."
    )
