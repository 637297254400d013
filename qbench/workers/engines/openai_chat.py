"""The client of every engine that answers over HTTP: OpenAI-compatible chat completions, lean."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from qbench.benchmarks.chat import ChatRequest, Timing, Turn
from qbench.benchmarks.usage import token_usage
from qbench.errors import EngineReplyInvalid, EngineTimeout, EngineUnavailable
from qbench.workers.engines.inflight import InFlight
from qbench.workers.engines.openai_errors import (
    Backoff,
    RateLimited,
    Refusal,
    Transient,
    is_context_overflow,
    is_transient,
    retry_after,
    status_error,
)
from qbench.workers.engines.openai_stream import DONE, EventSplitter, StreamReader
from qbench.workers.engines.openai_wire import (
    Json,
    MessageBuilder,
    decode_body,
    request_body,
)
from qbench.workers.engines.tries import Ready, Tries
from qbench.workers.limiter import FixedLimit, Gate


class ClientSettings(Struct, frozen=True, kw_only=True):
    """How the client talks to one endpoint."""

    stream: bool = True
    """Streamed replies have a TTFT and gaps; whole ones cost less CPU."""
    reply_cap: int = 8 * 1024 * 1024
    """Most bytes of a whole reply, and most characters of a streamed one."""
    connect_s: float = 10.0
    backoff: Backoff = Backoff()
    reasoning_field: str = ""
    """Field under which earlier thinking is sent back; empty: it is not."""
    max_tokens_field: str = "max_tokens"
    """OpenAI's reasoning models want ``max_completion_tokens``."""
    extra: Json = {}
    """Added to every body, for example ``chat_template_kwargs``."""


class OpenAIChat:
    """Answers chat requests over HTTP. An async context manager that owns its connections.

    One object serves any number of concurrent requests; ``gate`` decides how many are in flight.
    ``timing`` is that of the try that succeeded: waiting for the gate and failed tries are not
    part of it, they are told by ``Turn.retries``.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str = "",
        gate: Gate | None = None,
        settings: ClientSettings = ClientSettings(),  # noqa: B008 - a frozen value
        ready: Ready | None = None,
    ) -> None:
        self.model = model
        self.settings = settings
        self.where = display_url(base_url)
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._key = api_key
        self._tries = Tries(
            gate or Gate(FixedLimit(16)), settings.backoff, ready=ready, secrets=(api_key,)
        )
        self._session: aiohttp.ClientSession | None = None

    @property
    def gate(self) -> Gate:
        """Decides how many requests are in flight."""
        return self._tries.gate

    @property
    def in_flight(self) -> InFlight:
        """The times with at least one request in flight."""
        return self._tries.in_flight

    def __repr__(self) -> str:
        return f"OpenAIChat({self.where!r}, {self.model!r})"

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def reply(self, request: ChatRequest) -> Turn:
        """Answer ``request``; see ``Chat.reply``.

        Raises:
            ContextTooLong: the endpoint said that the prompt does not fit.
            EngineReplyInvalid: no chat completion came back, or more than ``reply_cap``.
            EngineTimeout: no byte for ``request.timeout_s``; not tried again.
            EngineUnavailable: refused, or retries did not cure it.

        """
        body = self._encode(request)
        return await self._tries.turn(lambda: self._try(body, request.timeout_s))

    def _encode(self, request: ChatRequest) -> bytes:
        settings = self.settings
        body = request_body(request, self.model, reasoning_field=settings.reasoning_field)
        if settings.max_tokens_field != "max_tokens":
            body[settings.max_tokens_field] = body.pop("max_tokens")
        if settings.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        body.update(settings.extra)
        try:
            return msgspec.json.encode(body)
        except UnicodeEncodeError:  # a lone surrogate in a tool's text: escape it
            return json.dumps(msgspec.to_builtins(body)).encode()

    async def _try(self, body: bytes, timeout_s: float) -> Turn:
        session = self._session or self._open()
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self.settings.connect_s, sock_read=timeout_s
        )
        started_at, sent = datetime.now(UTC), time.perf_counter()
        try:
            async with session.post(self._url, data=body, timeout=timeout) as response:
                if response.status != 200:
                    await self._refuse(response)
                if response.content_type == "text/event-stream":
                    return await self._streamed(response, started_at, sent)
                return await self._whole(response, started_at, sent)
        except aiohttp.ConnectionTimeoutError as error:
            raise Transient(self._lost(error)) from error
        except TimeoutError as error:
            raise EngineTimeout(
                f"{self.where} sent nothing for {timeout_s:g} s.",
                hint="Raise the call timeout or lower the concurrency, then resume the run.",
            ) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise EngineUnavailable(
                f"{self.where!r} is not an HTTP URL.", hint="Give one like http://host:8000/v1."
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(self._lost(error)) from error

    def _lost(self, error: Exception) -> EngineUnavailable:
        return EngineUnavailable(
            f"The connection to {self.where} failed: {error or type(error).__name__}.",
            hint="Check that the server is up, then resume the run.",
        )

    async def _refuse(self, response: aiohttp.ClientResponse) -> None:
        """Raise what a status other than 200 means."""
        data = await response.content.read(65_536)
        self._raise(
            response.status, Refusal.read(data), retry_after(response.headers.get("Retry-After"))
        )

    def _raise(self, status: int, refusal: Refusal, wait_s: float | None) -> None:
        error = status_error(status, refusal, where=self.where)
        if not is_transient(status, refusal):
            raise error
        kind = RateLimited if status == 429 else Transient
        raise kind(error, retry_after_s=wait_s)

    async def _whole(
        self, response: aiohttp.ClientResponse, started_at: datetime, sent: float
    ) -> Turn:
        data = b""
        async for piece in response.content.iter_any():
            data += piece
            self._check_size(len(data))
        timing = Timing(started_at=started_at, e2el_s=time.perf_counter() - sent)
        reply = decode_body(data)
        if reply.error:
            self._refuse_inside(reply.error)
        if not reply.choices or reply.choices[0].message is None:
            raise EngineReplyInvalid(
                f"{self.where} sent a reply without a message: {data[:80]!r}.",
                hint="Check that the URL is that of an OpenAI-compatible server.",
            )
        builder, choice = MessageBuilder(), reply.choices[0]
        builder.add(reply.choices[0].message)
        return Turn(
            message=builder.message(),
            finish_reason=choice.finish_reason or "stop",
            timing=timing,
            usage=token_usage(reply.usage or {}),
            raw_usage=reply.usage or {},
            served_model=reply.model or "",
        )

    async def _streamed(
        self, response: aiohttp.ClientResponse, started_at: datetime, sent: float
    ) -> Turn:
        stream, splitter = StreamReader(sent), EventSplitter()
        async for piece in response.content.iter_any():
            now = time.perf_counter()
            if self._take(stream, splitter.feed(piece), now):
                break
            self._check_size(len(splitter.rest) + stream.builder.size)
        else:
            self._take(stream, splitter.end(), time.perf_counter())
        if not stream.finish_reason:
            raise Transient(self._lost(ConnectionResetError("the stream broke off")))
        return Turn(
            message=stream.builder.message(),
            finish_reason=stream.finish_reason,
            timing=stream.timing(started_at),
            usage=token_usage(stream.raw_usage),
            raw_usage=stream.raw_usage,
            served_model=stream.model,
        )

    def _take(self, stream: StreamReader, events: list[bytes], now: float) -> bool:
        """Add ``events`` to ``stream``; True when the last was ``[DONE]``."""
        for event in events:
            if event == DONE:
                return True
            chunk = decode_body(event)
            if chunk.error:
                self._refuse_inside(chunk.error)
            stream.add(chunk, now)
        return False

    def _check_size(self, size: int) -> None:
        if size > self.settings.reply_cap:
            raise EngineReplyInvalid(
                f"{self.where} sent more than {self.settings.reply_cap} bytes for one reply.",
                hint="The rest was not read; lower max_tokens if the model rambles.",
            )

    def _refuse_inside(self, error: Any) -> None:
        """Raise what an error inside a reply with status 200 means; its code may be a status."""
        refusal = Refusal.of(error)
        status = int(refusal.code) if refusal.code.isdigit() and len(refusal.code) == 3 else 500
        self._raise(400 if is_context_overflow(refusal) else status, refusal, None)

    def _open(self) -> aiohttp.ClientSession:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
        )
        return self._session


def display_url(url: str) -> str:
    """Return ``url`` without user, password and query, which may be secret."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = parts.netloc.rpartition("@")[2]
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{host}{parts.path}".rstrip("/")
