"""API models for the gateway: litellm asked as the client asked, its errors read as ours."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from typing import Any

from qbench.errors import (
    ConfigError,
    ContextTooLong,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    QbenchError,
    TooManyRequests,
)
from qbench.service.gateway.backend import Json
from qbench.service.redaction import redact
from qbench.workers.engines.litellm_chat import load_litellm

PATIENCE_S = 600.0


async def complete(name: str, body: Json, *, legacy: bool) -> Json | AsyncIterator[Json]:
    """Ask a provider once, without retries: the client decides about those.

    Raises:
        ConfigError: litellm is missing, or the provider refuses the request or our key.
        EngineError: it failed.
        TooManyRequests: its rate is used up.

    """
    if importlib.util.find_spec("litellm") is None:
        raise ConfigError("API models need litellm.", hint="pip install 'qbench[api]'")
    litellm = await asyncio.to_thread(load_litellm)
    ask = litellm.atext_completion if legacy else litellm.acompletion
    rest = {key: value for key, value in body.items() if key != "model"}
    try:
        found = await ask(model=name, num_retries=0, timeout=PATIENCE_S, **rest)
    except Exception as error:
        raise read_error(litellm, name, error) from error
    if body.get("stream"):
        return _chunks(litellm, name, found)
    return _plain(found)


async def _chunks(litellm: Any, name: str, found: Any) -> AsyncIterator[Json]:
    try:
        async for chunk in found:
            yield _plain(chunk)
    except Exception as error:
        raise read_error(litellm, name, error) from error


def _plain(found: Any) -> Json:
    plain: Json = found.model_dump(exclude_none=True, mode="json")
    return plain


def read_error(litellm: Any, name: str, error: Exception) -> Exception:
    """Return what an error of litellm means."""
    said = redact(str(error))[:500] or type(error).__name__
    for names, kind, hint in MEANINGS:
        if isinstance(error, tuple(getattr(litellm.exceptions, one) for one in names)):
            return kind(said, hint=hint)
    return EngineError(f"{name}: {said}", hint="See the gateway's log.")


AGAIN = "Send it again later."
MEANINGS: tuple[tuple[tuple[str, ...], type[QbenchError], str], ...] = (
    (("ContextWindowExceededError",), ContextTooLong, "Shorten the messages."),
    (("RateLimitError",), TooManyRequests, AGAIN),
    (("AuthenticationError",), EngineUnavailable, "Set the provider's key where this runs."),
    (("BadRequestError", "NotFoundError"), ConfigError, "Mend the request."),
    (("Timeout",), EngineTimeout, AGAIN),
    (("APIError", "APIConnectionError"), EngineUnavailable, AGAIN),
)
"""Classes of litellm to ours; the first that fits decides."""
