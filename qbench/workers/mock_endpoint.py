"""An OpenAI-compatible server with known truth: ``python -m qbench.workers.mock_endpoint``.

Its times, tokens, replies and faults are what it was told, so that a client's numbers can be
checked against them; and it does little else, so that a client's CPU can be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
from typing import Any, Literal, get_args

import msgspec
from aiohttp import web
from msgspec import Struct

from qbench.benchmarks.chat import Message, ToolCall
from qbench.errors import ConfigError, QbenchError
from qbench.workers.engines.behaviours import (
    Asked,
    Behaviour,
    Fault,
    ScriptedTurn,
    behaviour,
    completion_tokens,
    faulty,
    prompt_tokens,
    seeded,
)
from qbench.workers.engines.judging import JudgeOptions, judge

Calls = Literal["parsed", "text", "text when streamed", "no arguments when streamed"]
"""``text``: calls stay in the content in Hermes' tags, as with a parser that sees nothing."""


class MockSettings(Struct, frozen=True, kw_only=True):
    """The truth that a client should measure."""

    model: str = "mock"
    reply: Any = "echo"
    """A behaviour, a script or a file, as for the scripted engine."""
    accuracy: float = 0.8
    seed: int = 0
    ttft_ms: float = 0.0
    ttft_ms_std: float = 0.0
    itl_ms: float = 0.0
    itl_ms_std: float = 0.0
    output_tokens: int | None = None
    """Replies are cut or padded to this many tokens; None: as scripted."""
    faults: dict[str, float] = {}
    retry_after_s: float = 1.0
    """Told with a 429."""
    api_key: str = ""
    """Required of clients when not empty."""
    context: int = 1_000_000
    """Longest prompt in tokens."""
    calls: Calls = "parsed"
    """Whether tool calls are taken out of the text, as a server's parser does or fails to do."""


class _Function(Struct):
    name: str
    arguments: str = ""


class _Call(Struct):
    id: str
    function: _Function


class _Message(Struct):
    role: str
    content: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str = ""


class _Tool(Struct):
    function: _Function


class _Request(Struct):
    messages: list[_Message]
    model: str = ""
    tools: list[_Tool] | None = None
    tool_choice: Any = "auto"
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    seed: int | None = None

    def asked(self) -> Asked:
        messages = [
            Message(
                role=message.role,  # type: ignore[arg-type]  # behaviours only compare it
                content=message.content or "",
                tool_calls=tuple(
                    ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
                    for call in message.tool_calls or ()
                ),
                tool_call_id=message.tool_call_id,
            )
            for message in self.messages
        ]
        tools = tuple(tool.function.name for tool in self.tools or ())
        return Asked(messages=messages, tools=tools, seed=self.seed)


_decode = msgspec.json.Decoder(_Request).decode
_encode = msgspec.json.encode
_JSON = "application/json"


def _told(settings: MockSettings) -> Behaviour:
    """Return what answers: a judge of tournaments, or what scripts say."""
    if settings.reply == "judge":
        return judge(JudgeOptions(accuracy=settings.accuracy), seeded(settings.seed))
    return behaviour(settings.reply, accuracy=settings.accuracy, seed=settings.seed)


class MockEndpoint:
    """The handlers; ``app()`` makes the aiohttp application."""

    def __init__(self, settings: MockSettings) -> None:
        self.settings = settings
        self.requests = 0
        self._random = random.Random(settings.seed)  # noqa: S311 - no secret
        inner = _told(settings)
        self._behaviour: Behaviour = faulty(inner, settings.faults, seeded(settings.seed))

    def app(self) -> web.Application:
        """Return the application, for ``web.run_app`` or a test server."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, _: web.Request) -> web.Response:
        card = {"id": self.settings.model, "object": "model", "owned_by": "qbench"}
        return web.json_response({"object": "list", "data": [card]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        key = self.settings.api_key
        if key and request.headers.get("Authorization") != f"Bearer {key}":
            return await self._bad_key(request)
        try:
            body = _decode(await request.read())
            asked = body.asked()
            turn = self._behaviour(asked)
        except (msgspec.MsgspecError, ConfigError) as error:
            return _refusal(400, str(error), "bad_request")
        if turn.fault is not None:
            return await self._fail(turn.fault, request)
        turn = _as_parsed(turn, body, self.settings.calls)
        reply = _Reply(turn=turn, asked=asked, settings=self.settings)
        if reply.prompt_tokens > self.settings.context:
            said = f"This model's maximum context length is {self.settings.context} tokens."
            return _refusal(400, said, "context_length_exceeded")
        if body.stream:
            return await self._stream(request, body, reply)
        await asyncio.sleep(self._ttft() + sum(self._itl() for _ in range(reply.tokens - 1)))
        return web.Response(body=_encode(reply.whole()), content_type=_JSON)

    async def _stream(
        self, request: web.Request, body: _Request, reply: _Reply
    ) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._ttft()
        response = await _begin_events(request)
        await response.write(_event(reply.chunk({"role": "assistant", "content": ""})))
        for chunk in reply.chunks():
            # by the clock, so that late wake-ups do not add up
            await asyncio.sleep(max(0.0, due - loop.time()))
            await response.write(_event(chunk))
            due += self._itl()
        tail = b""
        if (body.stream_options or {}).get("include_usage"):
            tail = _event(reply.usage_chunk())
        await response.write(tail + b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _ttft(self) -> float:
        return self._time(self.settings.ttft_ms, self.settings.ttft_ms_std)

    def _itl(self) -> float:
        return self._time(self.settings.itl_ms, self.settings.itl_ms_std)

    def _time(self, mean_ms: float, std_ms: float) -> float:
        drawn = self._random.gauss(mean_ms, std_ms) if std_ms else mean_ms
        return max(0.0, drawn) / 1000

    async def _fail(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        handler = getattr(self, f"_{fault}")
        response: web.StreamResponse = await handler(request)
        return response

    async def _bad_key(self, request: web.Request) -> web.Response:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return _refusal(401, f"Incorrect API key provided: {key}.", "invalid_api_key")

    async def _rate_limit(self, _: web.Request) -> web.Response:
        response = _refusal(429, "Too many requests.", "rate_limit_exceeded")
        response.headers["Retry-After"] = f"{self.settings.retry_after_s:g}"
        return response

    async def _http_500(self, _: web.Request) -> web.Response:
        return _refusal(500, "Out of luck.", "internal_error")

    async def _malformed(self, _: web.Request) -> web.Response:
        return web.Response(body=b'{"choices": [{"message": {"content": "half', content_type=_JSON)

    async def _disconnect(self, request: web.Request) -> web.StreamResponse:
        response = await _begin_events(request)
        await response.write(_event({"choices": [{"index": 0, "delta": {"content": "half"}}]}))
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _hang(self, _: web.Request) -> web.Response:
        await asyncio.Event().wait()  # cancelled when the client goes away
        raise AssertionError

    _timeout = _hang

    async def _flood(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": _JSON})
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b" " * 262_144)
        return response


def _as_parsed(turn: ScriptedTurn, body: _Request, calls: Calls) -> ScriptedTurn:
    """Return the turn as a server with such a parser would tell it."""
    if not turn.message.tool_calls:
        return turn
    if body.tool_choice == "none" or calls == "text" or (body.stream and calls.startswith("text")):
        return _in_text(turn)
    if body.stream and calls != "parsed":
        names = tuple((call.name, "") for call in turn.message.tool_calls)
        return msgspec.structs.replace(turn, call="", calls=names)
    return turn


def _in_text(turn: ScriptedTurn) -> ScriptedTurn:
    """Leave calls in the content."""
    tagged = [
        f'<tool_call>\n{{"name": "{call.name}", "arguments": {call.arguments}}}\n</tool_call>'
        for call in turn.message.tool_calls
    ]
    said = "\n".join(filter(None, (turn.say, *tagged)))
    return msgspec.structs.replace(turn, say=said, call="", calls=(), finish="stop")


class _Reply:
    """One reply on the wire."""

    def __init__(self, *, turn: ScriptedTurn, asked: Asked, settings: MockSettings) -> None:
        self.turn = turn
        self.model = settings.model
        self.prompt_tokens = prompt_tokens(turn, asked)
        self.message = turn.message
        self.pieces = _pieces(self.message.content, settings.output_tokens)
        told = completion_tokens(turn) if settings.output_tokens is None else settings.output_tokens
        self.tokens = max(1, told)

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-mock", "object": kind, "created": 0, "model": self.model}

    def _calls(self) -> list[dict[str, Any]]:
        return [
            {
                "id": call.id,
                "type": "function",
                "index": n,
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for n, call in enumerate(self.message.tool_calls)
        ]

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }

    def whole(self) -> dict[str, Any]:
        """Return the body of a reply that is not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.pieces)}
        if self.message.reasoning:
            message["reasoning_content"] = self.message.reasoning
        if self.message.tool_calls:
            message["tool_calls"] = self._calls()
        choice = {"index": 0, "message": message, "finish_reason": self.turn.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage()}

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        """Return one chunk of a stream."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def chunks(self) -> list[dict[str, Any]]:
        """Return the token chunks; the last carries the finish reason, as vLLM's does."""
        deltas: list[dict[str, Any]] = []
        if self.message.reasoning:
            deltas.append({"reasoning_content": self.message.reasoning})
        deltas += [{"content": piece} for piece in self.pieces]
        deltas += [{"tool_calls": [call]} for call in self._calls()]
        deltas = deltas or [{}]
        last = self.chunk(deltas[-1], self.turn.finish_reason)
        return [*(self.chunk(delta) for delta in deltas[:-1]), last]

    def usage_chunk(self) -> dict[str, Any]:
        """Return the trailing chunk that ``include_usage`` asks for."""
        head = self._head("chat.completion.chunk")
        return {**head, "choices": [], "usage": self._usage()}


def _pieces(text: str, tokens: int | None) -> list[str]:
    """Cut ``text`` into token-like pieces; pad or cut to ``tokens`` where it is given."""
    pieces = re.findall(r"\s*\S{1,4}|\s+$", text[:65_536])
    if len(text) > 65_536:
        pieces.append(text[65_536:])
    if tokens is None:
        return pieces
    return (pieces + [" tok"] * tokens)[:tokens]


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + _encode(body) + b"\n\n"


async def _begin_events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


def _refusal(status: int, message: str, code: str) -> web.Response:
    body = _encode({"error": {"message": message, "type": code, "code": code}})
    return web.Response(status=status, body=body, content_type=_JSON)


def parse_faults(text: str) -> dict[str, float]:
    """Read ``http_500=0.1,disconnect=0.05``. Raises ConfigError."""
    faults = {}
    for part in filter(None, text.split(",")):
        name, _, rate = part.partition("=")
        try:
            faults[name.strip()] = float(rate or 1)
        except ValueError as error:
            raise ConfigError(
                f"{part!r} is not a fault with a rate.", hint="Write http_500=0.1,disconnect=0.05."
            ) from error
    return faults


CHOICES = {"--calls": get_args(Calls)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qbench.workers.mock_endpoint", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--faults", type=parse_faults, default={}, help="http_500=0.1,...")
    told = {"faults"}
    for field in msgspec.structs.fields(MockSettings):
        if field.name not in told:
            kind = {"output_tokens": int, "reply": str, "calls": str}.get(field.name, field.type)
            flag = "--" + field.name.replace("_", "-")
            parser.add_argument(flag, type=kind, default=field.default, choices=CHOICES.get(flag))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Serve until interrupted; return the exit status."""
    parser = _parser()
    try:
        given = vars(parser.parse_args(argv))
        host, port = given.pop("host"), given.pop("port")
        endpoint = MockEndpoint(MockSettings(**given))
    except QbenchError as error:
        parser.error(str(error))
    web.run_app(endpoint.app(), host=host, port=port, access_log=None, handler_cancellation=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
