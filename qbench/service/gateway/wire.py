"""The gateway's wire: requests read, errors in OpenAI's shape, usage found in streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import Response

from qbench import errors
from qbench.benchmarks.chat import TokenUsage
from qbench.service.gateway.backend import Json

MOST_BYTES = 16 * 1024 * 1024

TYPES: tuple[tuple[type[errors.QbenchError], int, str, str], ...] = (
    (errors.Unauthenticated, 401, "authentication_error", "invalid_api_key"),
    (errors.Forbidden, 403, "permission_error", "insufficient_permissions"),
    (errors.BudgetReached, 402, "insufficient_quota", "insufficient_quota"),
    (errors.TooManyRequests, 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.NotFound, 404, "invalid_request_error", "model_not_found"),
    (errors.PriceMissing, 402, "insufficient_quota", "unpriced_model"),
    (errors.ConfigError, 400, "invalid_request_error", "invalid_request"),
    (errors.ContextTooLong, 400, "invalid_request_error", "context_length_exceeded"),
    (errors.Busy, 503, "server_error", "no_free_device"),
    (errors.EngineTimeout, 504, "server_error", "engine_timeout"),
    (errors.EngineError, 502, "server_error", "engine_error"),
    (errors.StoreError, 503, "server_error", "database"),
)
"""The first class that fits decides: status, type and code."""


def read_body(data: bytes) -> Json:
    """Read a request. Raises ConfigError unless it is an object that names a model."""
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.ConfigError(f"The body is no JSON: {error}.", hint="Send an object.") from None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str) or not body["model"]:
        raise errors.ConfigError(
            "The request names no model.", hint='Send {"model": "NAME@FORMAT", ...}.'
        )
    if body.get("n", 1) not in (1, None):
        raise errors.ConfigError("Only n=1 is served.", hint="Send the request several times.")
    return body


def status_of(error: errors.QbenchError) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status, _, _ in TYPES if isinstance(error, kind)), 500)


def refusal(error: errors.QbenchError) -> Response:
    """Answer an error as OpenAI does."""
    kind, code = next(
        ((kind, code) for cls, _, kind, code in TYPES if isinstance(error, cls)),
        ("server_error", "internal_error"),
    )
    body = error_body(str(error), kind, code)
    answer = Response(body, status_of(error), media_type="application/json")
    if isinstance(error, errors.TooManyRequests):
        answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, errors.Busy):
        answer.headers["Retry-After"] = "10"
    return answer


def error_body(message: str, kind: str, code: str) -> bytes:
    """Write an error in OpenAI's shape."""
    said = {"message": message, "type": kind, "param": None, "code": code}
    return msgspec.json.encode({"error": said})


def event(data: bytes) -> bytes:
    """Write one server-sent event."""
    return b"data: " + data + b"\n\n"


def told_usage(raw: Any) -> TokenUsage | None:
    """Read a ``usage`` body; None when there is none or it is not one."""
    if not isinstance(raw, dict) or not isinstance(raw.get("prompt_tokens"), int):
        return None
    details = raw.get("prompt_tokens_details") or {}
    thought = raw.get("completion_tokens_details") or {}
    return TokenUsage(
        prompt_tokens=raw["prompt_tokens"],
        cached_tokens=_count(details, "cached_tokens"),
        cache_write_tokens=_count(raw, "cache_creation_input_tokens"),
        completion_tokens=_count(raw, "completion_tokens"),
        reasoning_tokens=_count(thought, "reasoning_tokens"),
    )


def _count(body: Any, name: str) -> int:
    found = body.get(name) if isinstance(body, dict) else 0
    return found if isinstance(found, int) else 0


class Seen:
    """What a reply told: usage, how it ended, when its first token came."""

    def __init__(self) -> None:
        self.raw_usage: Json = {}
        self.finish_reason = ""
        self.has_content = False
        self.is_done = False
        """The stream said that nothing more comes: a client may leave now."""
        self._rest = b""

    def whole(self, data: bytes) -> None:
        """Read a whole reply."""
        try:
            self._note(msgspec.json.decode(data))
        except msgspec.DecodeError:
            return

    def events(self, piece: bytes) -> Iterator[tuple[bytes, bool]]:
        """Cut a stream into events; yield each with whether it tells usage alone."""
        self._rest += piece
        while (end := self._rest.find(b"\n\n")) >= 0:
            one, self._rest = self._rest[: end + 2], self._rest[end + 2 :]
            yield one, self._read(one)

    def _read(self, one: bytes) -> bool:
        data = b"".join(line[5:].strip() for line in one.splitlines() if line.startswith(b"data:"))
        self.is_done = self.is_done or data == b"[DONE]"
        if not data or data == b"[DONE]":
            return False
        try:
            chunk = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return False
        self._note(chunk)
        return isinstance(chunk, dict) and bool(chunk.get("usage")) and not chunk.get("choices")

    def _note(self, body: Any) -> None:
        if not isinstance(body, dict):
            return
        if isinstance(body.get("usage"), dict):
            self.raw_usage = body["usage"]
        for choice in body.get("choices") or ():
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            said = choice.get("delta") or choice.get("message") or choice
            spoken = ("content", "reasoning_content", "tool_calls", "text")
            self.has_content = self.has_content or any(said.get(name) for name in spoken)
