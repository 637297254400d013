"""MCP servers at a URL: the client's side of streamable HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import StreamableHTTPError, streamable_http_client
from msgspec import Struct

from qbench.errors import ConfigError

HTTP_FAILURES = (httpx2.HTTPError, httpx2.StreamError, StreamableHTTPError)
"""What the transport raises when the server is away or answers with nonsense."""
_CONNECT_S, _READ_S = 10.0, 300.0


class HttpServer(Struct, frozen=True, kw_only=True):
    """A server that is up already."""

    url: str
    token_variable: str = ""
    """Name of the environment variable that holds the bearer token; the token is never kept."""

    def headers(self) -> dict[str, str]:
        """Return the headers of each request. Raises ConfigError when the token is not set."""
        if not self.token_variable:
            return {}
        token = os.environ.get(self.token_variable, "")
        if not token:
            raise ConfigError(
                f"The MCP server {self.url} needs a token and ${self.token_variable} is empty.",
                hint=f"Set {self.token_variable} where qbench runs.",
            )
        return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def http_client(server: HttpServer) -> AsyncIterator[TransportStreams]:
    """Connect to ``server``: a transport for the SDK's Client. Redirects stay on its origin.

    Raises:
        ConfigError: its token is not set.

    """
    timeout = httpx2.Timeout(_CONNECT_S, read=_READ_S)
    async with (
        httpx2.AsyncClient(headers=server.headers(), timeout=timeout) as client,
        streamable_http_client(server.url, http_client=client) as streams,
    ):
        yield streams
