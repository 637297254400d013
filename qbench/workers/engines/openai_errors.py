"""What an OpenAI-compatible endpoint's refusals mean, as errors of our tree. Pure."""

from __future__ import annotations

import email.utils
import math
import random
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from qbench.errors import ContextTooLong, EngineError, EngineUnavailable

RETRIED = frozenset({408, 409, 425, 429})
"""Client-side statuses worth another try; of the 5xx all but 501."""

_CONTEXT = re.compile(
    r"context[ _](length|window|size)|max_model_len|prompt is too long|input is too long"
    r"|too many (input )?tokens|exceeds? the (maximum|available) (number of tokens|context)",
    re.IGNORECASE,
)


class Transient(Exception):
    """A failure that another try may cure."""

    def __init__(self, error: EngineError, *, retry_after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s


class RateLimited(Transient):
    """HTTP 429."""


class Refusal(Struct, frozen=True, kw_only=True):
    """What an error body says."""

    message: str
    code: str = ""

    @classmethod
    def read(cls, data: bytes) -> Refusal:
        """Read OpenAI's ``{"error": {...}}``, a bare ``{"message": ...}``, or any text."""
        try:
            body = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return cls(message=data[:300].decode(errors="replace").strip())
        return cls.of(body)

    @classmethod
    def of(cls, body: Any) -> Refusal:
        """Read a decoded error body."""
        inner = body.get("error", body) if isinstance(body, dict) else body
        if not isinstance(inner, dict):
            return cls(message=str(inner)[:300])
        said = inner.get("message") or inner.get("detail") or inner
        code = inner.get("code") or inner.get("type") or ""
        return cls(message=str(said)[:300], code=str(code))


def status_error(status: int, refusal: Refusal, *, where: str) -> EngineError:
    """Return the error for an HTTP ``status`` from the endpoint named ``where``."""
    if status in (400, 413, 422) and is_context_overflow(refusal):
        return ContextTooLong(
            f"The request exceeds the context window of {where}: {refusal.message}",
            hint="Raise the engine's context length or lower the limits on turns and tokens.",
        )
    said = f"{where} answered HTTP {status}" + (f": {refusal.message}" if refusal.message else ".")
    return EngineUnavailable(said, hint=_hint(status, refusal))


def is_context_overflow(refusal: Refusal) -> bool:
    """Whether the endpoint said that the prompt does not fit."""
    return refusal.code == "context_length_exceeded" or bool(_CONTEXT.search(refusal.message))


def _hint(status: int, refusal: Refusal) -> str:
    if status in (401, 403):
        return "Check the API key: set QBENCH_API_KEY to a key that this endpoint accepts."
    if status == 404:
        return "Check the base URL (it usually ends in /v1) and the model's name."
    if refusal.code == "insufficient_quota":
        return "The account has no credit left: top it up, then resume the run."
    if status == 429:
        return "Lower the concurrency, or resume the run later."
    if status >= 500:
        return "Look at the server's log, then resume the run."
    return "The server did not accept the request as it was sent."


def is_transient(status: int, refusal: Refusal) -> bool:
    """Whether another try may help; an account without credit does not refill by waiting."""
    if refusal.code == "insufficient_quota":
        return False
    return status in RETRIED or (status >= 500 and status != 501)


def retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Read a ``Retry-After`` header: seconds or an HTTP date; None when absent or unreadable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (at - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


class Backoff(Struct, frozen=True, kw_only=True):
    """How often and how late a request is tried again."""

    retries: int = 5
    first_s: float = 0.5
    cap_s: float = 60.0
    """Longest wait, of ``Retry-After`` too."""

    def wait(self, attempt: int, retry_after_s: float | None) -> float:
        """Return the seconds to wait after failure number ``attempt`` (from 0).

        Exponential with jitter in [1/2, 1]; at least what the endpoint asked for, plus jitter so
        that its clients do not come back as one.
        """
        backoff: float = min(self.cap_s, self.first_s * 2.0**attempt)
        jittered = backoff * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if retry_after_s is None:
            return jittered
        return min(self.cap_s, retry_after_s + jittered * 0.1)
