"""Spans of the work: a run, an attempt, a model call, a tool call. Wraps what exists, when tracing.

Names and attributes follow OpenTelemetry's semantic conventions for generative AI and MCP. What
was asked and answered is left out unless QBENCH_TRACE_CONTENT is 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from qbench.benchmarks.canary import withheld
from qbench.benchmarks.chat import Chat, ChatRequest, ToolCall, ToolSpec, Turn
from qbench.benchmarks.suite import ToolBox, ToolResult
from qbench.service.domain import Attempt, Run, System
from qbench.service.tracing import Span, continued, current_traceparent, span

CONTENT = "QBENCH_TRACE_CONTENT"

PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "openai": "openai",
    "perplexity": "perplexity",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""What model names of the ``api`` engine begin with, and the conventions' names for it."""


@contextmanager
def run_span(run: Run) -> Iterator[Span]:
    """Open ``qbench.run``: the part of a run that this process works on, in the run's trace."""
    about = {
        "qbench.run.id": run.id,
        "qbench.suite": run.request.suite,
        "qbench.systems": len(run.request.systems),
        "qbench.concurrency": run.controls.concurrency,
    }
    with continued(run.traceparent), span("qbench.run", "consumer", about) as live:
        yield live


@contextmanager
def attempt_span(run: Run, system: System, sample_id: str, epoch: int) -> Iterator[Span]:
    """Open ``qbench.attempt``; under the current span, else in the run's trace."""
    about = {
        "qbench.run.id": run.id,
        "qbench.system.id": system.id,
        "qbench.model": system.model,
        "qbench.format": system.format,
        "qbench.engine": system.engine,
        "qbench.suite": run.request.suite,
        "qbench.sample.id": sample_id,
        "qbench.epoch": epoch,
    }
    outside = "" if current_traceparent() else run.traceparent
    with continued(outside), span("qbench.attempt", "internal", about) as live:
        yield live


def tell_outcome(live: Span, made: Attempt) -> None:
    """Say on an attempt's span how it ended."""
    score = made.score
    live.set(
        {
            "qbench.attempt.id": made.id,
            "qbench.attempt.status": made.status.value,
            "qbench.attempt.passed": score.passed if score else None,
            "qbench.attempt.stop": made.transcript.stop,
            "qbench.attempt.turns": len(made.transcript.turns),
        }
    )
    if made.fault is not None:
        live.fail(made.fault.kind)


class TracedChat:
    """A chat whose calls are spans ``chat {model}``; for one attempt."""

    def __init__(self, chat: Chat, system: System, base_url: str = "", *, canary: str = "") -> None:
        self._chat = chat
        self.canary = canary
        self._name = f"chat {system.model}"
        self._about = _about_model(system) | _server(base_url or system.base_url)
        self._asked: list[ToolCall] = []

    async def reply(self, request: ChatRequest) -> Turn:
        """Answer as the chat within does. Raises EngineError."""
        with span(self._name, "client", self._about | about_request(request, self.canary)) as live:
            turn = await self._chat.reply(request)
            live.set(_about_turn(turn, self.canary))
        self._asked = list(turn.message.tool_calls)
        return turn

    def call_id(self, name: str, arguments: dict[str, Any]) -> str | None:
        """Return the id of the last turn's first such call, once; None where the text had none."""
        for place, call in enumerate(self._asked):
            if call.name == name and _read(call.arguments) == arguments:
                return self._asked.pop(place).id or None
        return None


class TracedTools:
    """Tools whose calls are spans ``execute_tool {tool}``; ``chat`` knows the ids of the calls."""

    def __init__(self, tools: ToolBox, chat: TracedChat) -> None:
        self._tools = tools
        self._chat = chat

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools within."""
        return self._tools.specs

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a tool. Raises ToolServerError."""
        about = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "extension",
            "gen_ai.tool.call.id": self._chat.call_id(name, arguments),
            "gen_ai.tool.call.arguments": _content(arguments, self._chat.canary),
            "mcp.method.name": "tools/call",
        }
        with span(f"execute_tool {name}", "client", about) as live:
            result = await self._tools.call(name, arguments)
            told = _content(result.text, self._chat.canary)
            live.set({"gen_ai.tool.call.result": told})
            if result.is_error:
                live.fail("tool_error")
        return result

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Read the world as it is now. Raises ToolServerError."""
        with span("qbench.end_state", "client", {"mcp.method.name": "resources/read"}):
            return await self._tools.end_state(answer)


def _about_model(system: System) -> dict[str, Any]:
    provider = provider_of(system)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.system": provider,  # the name before version 1.37 of the conventions
        "gen_ai.request.model": system.model,
        "qbench.format": system.format,
    }


def provider_of(system: System) -> str:
    """Name who answers: the conventions' name for an API's provider, else the engine's."""
    if system.engine != "api":
        return system.engine
    prefix, slash, _ = system.model.partition("/")
    return PROVIDERS.get(prefix, prefix) if slash else "_OTHER"


def _server(base_url: str) -> dict[str, Any]:
    parts = urlsplit(base_url)
    return {"server.address": parts.hostname, "server.port": parts.port if parts.netloc else None}


def about_request(request: ChatRequest, canary: str) -> dict[str, Any]:
    """Describe what is asked; of a marked set no text."""
    sampling = request.sampling
    return {
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.input.messages": _content(request.messages, canary),
    }


def _about_turn(turn: Turn, canary: str) -> dict[str, Any]:
    usage = turn.usage
    return {
        "gen_ai.response.model": turn.served_model or None,
        "gen_ai.response.finish_reasons": (turn.finish_reason,),
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
        "gen_ai.response.time_to_first_chunk": turn.timing.ttft_s,
        "qbench.retries": turn.retries,
        "gen_ai.output.messages": _content((turn.message,), canary),
    }


def _content(value: Any, canary: str) -> str | None:
    """Return ``value`` as JSON where contents may be traced; of a marked set nothing is."""
    if os.environ.get(CONTENT) != "1":
        return None
    if canary:
        return withheld(canary)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _read(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
