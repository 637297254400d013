"""Chat requests through litellm, with its replies and errors read as ours.

Whole replies only: where litellm streams it counts tokens by itself when the provider tells none,
and takes a body that is no stream for an empty answer. Both would be booked as facts.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, NoReturn

import msgspec
from msgspec import Struct

from qbench.benchmarks.chat import ChatRequest, Timing, TokenUsage, Turn
from qbench.benchmarks.usage import token_usage
from qbench.errors import (
    ContextTooLong,
    EngineError,
    EngineReplyInvalid,
    EngineTimeout,
    EngineUnavailable,
)
from qbench.workers.engines.inflight import InFlight
from qbench.workers.engines.openai_errors import (
    Backoff,
    RateLimited,
    Refusal,
    Transient,
    is_transient,
    retry_after,
    status_error,
)
from qbench.workers.engines.openai_wire import (
    Body,
    Json,
    MessageBuilder,
    request_body,
)
from qbench.workers.engines.tries import Tries
from qbench.workers.limiter import Gate


@cache
def load_litellm() -> Any:
    """Import litellm, quietly and with the price map that it came with: takes seconds."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it fetches one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library: Any = importlib.import_module("litellm")
    library.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return library


class LitellmSettings(Struct, frozen=True, kw_only=True):
    """How the client talks to one model."""

    fixed: Json = {}
    """Goes into every call, for example ``base_url``."""
    leave_out: frozenset[str] = frozenset()
    """Fields that the model does not take."""
    key_name: str = ""
    """Environment variable of the key, for messages."""
    secrets: tuple[str, ...] = ()
    """Kept out of every message."""
    backoff: Backoff = Backoff()


class LitellmChat:
    """Answers chat requests through litellm's ``acompletion``; retries are ours, not its."""

    def __init__(self, model: str, *, gate: Gate, settings: LitellmSettings) -> None:
        self.model = model
        self.settings = settings
        self._litellm = load_litellm()
        self._tries = Tries(gate, settings.backoff, secrets=settings.secrets)

    @property
    def in_flight(self) -> InFlight:
        """The times with at least one request in flight."""
        return self._tries.in_flight

    async def close(self) -> None:
        """Close litellm's cached connections."""
        await self._litellm.close_litellm_async_clients()

    async def reply(self, request: ChatRequest) -> Turn:
        """Answer ``request``; see ``Chat.reply``."""
        body = self._body(request)
        return await self._tries.turn(lambda: self._try(body, request.timeout_s))

    def _body(self, request: ChatRequest) -> Json:
        body: Json = msgspec.to_builtins(request_body(request, self.model))
        if body["temperature"] == 0 or ("claude" in self.model and body["top_p"] == 1):
            del body["top_p"]  # says nothing at temperature 0; Claude takes only one of the two
        return {key: value for key, value in body.items() if key not in self.settings.leave_out}

    async def _try(self, body: Json, timeout_s: float) -> Turn:
        started_at, sent = datetime.now(UTC), time.perf_counter()
        try:
            response = await self._litellm.acompletion(
                **body, **self.settings.fixed, timeout=timeout_s, num_retries=0, max_retries=0
            )
        except Exception as error:  # noqa: BLE001 - it raises anything, and all of it is infrastructure
            self._raise(error, timeout_s)
        timing = Timing(started_at=started_at, e2el_s=time.perf_counter() - sent)
        return read_turn(response.model_dump(), timing, where=self.model)

    def _raise(self, error: Exception, timeout_s: float) -> NoReturn:
        """Raise what an exception of litellm means."""
        names = self._litellm.exceptions
        if isinstance(error, names.Timeout):
            raise EngineTimeout(
                f"{self.model} did not answer within {timeout_s:g} s.",
                hint="Raise the call timeout or lower the concurrency, then resume the run.",
            ) from error
        if isinstance(error, names.ContextWindowExceededError):
            raise ContextTooLong(
                f"The request exceeds the context window of {self.model}: {_said(error)}",
                hint="Lower the limits on turns and tokens.",
            ) from error
        if any(isinstance(cause, json.JSONDecodeError) for cause in _causes(error)):
            raise EngineReplyInvalid(
                f"{self.model}'s reply is not a chat completion: {_said(error)}",
                hint="Check that the URL is that of the provider's API.",
            ) from error
        if isinstance(error, names.UnsupportedParamsError):
            raise _unsupported(self.model, error) from error
        self._refuse(error)

    def _refuse(self, error: Exception) -> NoReturn:
        status = getattr(error, "status_code", None)
        if not isinstance(status, int):
            raise EngineUnavailable(
                f"{self.model} failed in litellm: {type(error).__name__}: {_said(error)}",
                hint="Upgrade litellm, or report this with the model's name.",
            ) from error
        refusal = Refusal(message=_said(error), code=str(getattr(error, "code", "") or ""))
        known: EngineError = status_error(status, refusal, where=self.model)
        if status in (401, 403):
            key = self.settings.key_name or "the provider's variable"
            known = EngineUnavailable(known.what, hint=f"Put a key that it accepts into {key}.")
        if not is_transient(status, refusal):
            raise known from error
        headers = getattr(error, "litellm_response_headers", None) or {}
        kind = RateLimited if status == 429 else Transient
        raise kind(known, retry_after_s=retry_after(headers.get("retry-after"))) from error


def read_turn(raw: Json, timing: Timing, *, where: str) -> Turn:
    """Read litellm's reply as plain data. Raises EngineReplyInvalid."""
    try:
        body = msgspec.convert(raw, Body)
    except msgspec.ValidationError as error:
        raise _no_reply(where, str(error)) from error
    if not body.choices or body.choices[0].message is None:
        raise _no_reply(where, "it has no message")
    builder = MessageBuilder()
    carries = builder.add(body.choices[0].message)
    usage = body.usage or {}
    counts = told_usage(usage, said_something=carries)
    return Turn(
        message=builder.message(),
        finish_reason=body.choices[0].finish_reason or "stop",
        timing=timing,
        usage=counts,
        raw_usage=usage if counts is not None else {},
        served_model=body.model or "",
    )


def told_usage(raw: Json, *, said_something: bool) -> TokenUsage | None:
    """Read litellm's usage; None where its zeros stand for counts that were not told."""
    usage = token_usage(raw)
    if usage is None or usage.prompt_tokens == 0 or raw.get("total_tokens") == 0:
        return None
    return None if said_something and usage.completion_tokens == 0 else usage


def _no_reply(where: str, why: str) -> EngineReplyInvalid:
    return EngineReplyInvalid(
        f"{where} sent no chat completion: {why}.", hint="Resume the run to try again."
    )


def _unsupported(model: str, error: Exception) -> EngineError:
    return EngineUnavailable(
        f"{model} does not take what the run asks for: {_said(error)}",
        hint="Change the sampling, or allow it to be left out with -o drop_unsupported=true.",
    )


def _said(error: Exception) -> str:
    """Return the provider's words without litellm's class names before them."""
    said = str(getattr(error, "message", "") or error).rpartition("Exception - ")[2]
    return said.partition("\nTraceback")[0].strip()[:300]


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
