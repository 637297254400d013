"""The one network seam: a chat request goes out, a turn comes back.

Field names follow the OpenAI chat-completions API. Counts follow its convention:
``prompt_tokens`` includes cached tokens, ``completion_tokens`` includes reasoning tokens.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import Struct

Role = Literal["system", "user", "assistant", "tool"]
ToolChoice = Literal["auto", "none", "required"]


class ToolCall(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call a model asked for."""

    id: str
    name: str
    arguments: str
    """Raw text as the model wrote it; supposed to be a JSON object, may be anything."""


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a conversation."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """Of a ``tool`` message: the call it answers."""
    reasoning: str = ""
    """Thinking text that the endpoint returned apart from the content."""


class ToolSpec(Struct, frozen=True, kw_only=True):
    """A tool as it is offered to a model."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments object."""


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How tokens are drawn. Part of a System's identity."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None


class ChatRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one model call asks."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = "auto"
    sampling: Sampling = Sampling()
    response_format: dict[str, Any] | None = None
    timeout_s: float = 120.0
    """Longest time without a byte before the call counts as an engine timeout."""
    about: str = ""
    """Id of the sample that is asked, for the fakes that ship; no endpoint is told."""


class TokenUsage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one or more calls. Adds with ``+`` and ``sum``."""

    prompt_tokens: int = 0
    """Includes ``cached_tokens`` and ``cache_write_tokens``."""
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    completion_tokens: int = 0
    """Includes ``reasoning_tokens``."""
    reasoning_tokens: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )

    def __radd__(self, other: int) -> TokenUsage:
        return self if other == 0 else NotImplemented


class Timing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a call ran, on the client's clock; seconds."""

    started_at: datetime
    """UTC."""
    e2el_s: float
    """Send to last token chunk (the trailing usage chunk excluded), as in ``vllm bench serve``."""
    ttft_s: float | None = None
    """Send to first delta with content, reasoning or a tool call; None when not streamed."""
    itl_s: tuple[float, ...] = ()
    """Gaps between token chunks, to be pooled over requests."""


class Turn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model call's outcome."""

    message: Message
    finish_reason: str
    """``stop``, ``length``, ``tool_calls``, ``content_filter`` or what the provider said."""
    timing: Timing
    usage: TokenUsage | None = None
    """None when the endpoint reported none: unknown is never zero."""
    raw_usage: dict[str, Any] = {}
    """The provider's ``usage`` body, untouched."""
    retries: int = 0
    served_model: str = ""
    by: str = ""
    """The other model that answered, for a strategy that asks several; empty: the system's own."""


class Chat(Protocol):
    """Something that answers chat requests. The only way a benchmark reaches a model."""

    async def reply(self, request: ChatRequest) -> Turn:
        """Answer ``request``.

        Raises:
            EngineError: infrastructure failed (see ``qbench.errors``); never for a bad answer.

        """
        ...
