"""The OpenAI chat-completions wire format: requests in, replies and chunks out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from qbench.workers.embedded.prompts import Json, Reply

Finish = Literal["stop", "length", "tool_calls"]


class Function(Struct, frozen=True):
    """A tool's declaration."""

    name: str
    description: str = ""
    parameters: Json = field(default_factory=dict)


class Tool(Struct, frozen=True):
    """An offered tool."""

    function: Function
    type: str = "function"


class StreamOptions(Struct, frozen=True):
    """Extras of a streamed reply."""

    include_usage: bool = False


class ChatBody(Struct, frozen=True, kw_only=True):
    """What ``POST /v1/chat/completions`` takes; unknown fields are let pass, as servers do."""

    messages: tuple[Json, ...]
    model: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: str | Json = "auto"
    """``auto``, ``none``, ``required`` or ``{"type": "function", "function": {"name": ...}}``."""
    response_format: Json | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | tuple[str, ...] | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: int = 1

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end the reply."""
        return (self.stop,) if isinstance(self.stop, str) else self.stop or ()

    @property
    def schema(self) -> Json | None:
        """The JSON Schema that the reply must follow; None for free text."""
        wanted = self.response_format or {}
        if wanted.get("type") == "json_schema":
            schema: Json = wanted["json_schema"]["schema"]
            return schema
        return {"type": "object"} if wanted.get("type") == "json_object" else None


class CompletionBody(Struct, frozen=True, kw_only=True):
    """What ``POST /v1/completions`` takes: OpenAI's legacy fields, and vLLM's about tokens."""

    prompt: str | tuple[int | str | tuple[int, ...], ...]
    """A text, its tokens, or several of either."""
    model: str = ""
    max_tokens: int | None = 16
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None
    echo: bool = False
    """The prompt comes back before what was generated, with its log-probabilities."""
    logprobs: int | None = None
    """Likeliest tokens per position; 0: only the token's own log-probability."""
    prompt_logprobs: int | None = None
    """Likewise for the prompt, in vLLM's shape, whether it is echoed or not."""
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False
    """Tokens are written ``token_id:42``, so that no two are written alike."""
    add_special_tokens: bool = True
    ignore_eos: bool = False
    """Go on after the token that ends a text: for replies of a fixed length."""
    stream: bool = False
    n: int = 1

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end the completion."""
        return (self.stop,) if isinstance(self.stop, str) else self.stop or ()


class Refused(Exception):
    """A request that cannot be served, with its status and code."""

    def __init__(self, message: str, code: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one reply."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int

    def body(self) -> Json:
        """Return OpenAI's ``usage`` object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


class Writer:
    """Writes one reply, whole or in chunks."""

    def __init__(self, number: str, model: str) -> None:
        self._number = number
        self._head: Json = {"id": f"chatcmpl-{number}", "created": int(time.time()), "model": model}

    def whole(self, reply: Reply, finish: str, usage: Usage) -> Json:
        """Return the body of a reply that is not streamed."""
        message: Json = {"role": "assistant", "content": reply.content or None}
        if reply.calls:
            message["tool_calls"] = self.calls(reply)
        choice = {"index": 0, "message": message, "finish_reason": finish}
        head = self._head | {"object": "chat.completion", "choices": [choice]}
        return head | {"usage": usage.body()}

    def calls(self, reply: Reply) -> list[Json]:
        """Return a reply's calls as OpenAI writes them."""
        stem = self._number[-8:]
        return [
            {
                "id": f"call_{stem}_{number}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for number, (name, arguments) in enumerate(reply.calls)
        ]

    def chunk(self, delta: Json, finish: str | None = None) -> bytes:
        """Return one server-sent event with a delta."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event(self._head | {"object": "chat.completion.chunk", "choices": [choice]})

    def call_chunks(self, reply: Reply) -> Iterator[bytes]:
        """Yield an event for each call."""
        for number, call in enumerate(self.calls(reply)):
            yield self.chunk({"tool_calls": [{"index": number} | call]})

    def usage_chunk(self, usage: Usage) -> bytes:
        """Return the trailing event with the usage."""
        body = self._head | {"object": "chat.completion.chunk", "choices": []}
        return event(body | {"usage": usage.body()})


DONE = b"data: [DONE]\n\n"


def event(body: Json) -> bytes:
    """Write a server-sent event."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def problem(message: str, code: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    """Return OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}
