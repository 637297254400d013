"""The embedded engine's HTTP face: OpenAI-compatible chat completions over one batcher."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from aiohttp import web
from msgspec.structs import asdict

from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.completions import Completions
from qbench.workers.embedded.generation import Generation
from qbench.workers.embedded.grammar import Grammars, Guide
from qbench.workers.embedded.loading import Loaded, peak_memory
from qbench.workers.embedded.prompts import OPEN, Json, Prompts, Reply, read_call, read_reply
from qbench.workers.embedded.sampling import Sampler
from qbench.workers.embedded.wire import (
    DONE,
    ChatBody,
    Refused,
    Usage,
    Writer,
    problem,
)

DEFAULT_TOKENS = 512
REPLACEMENT = "\ufffd"
"""What a tokenizer writes for a character whose bytes are not all there yet."""


class Answer:
    """One request on its way: its generation, and the text so far."""

    def __init__(self, body: ChatBody, generation: Generation, *, forced: bool) -> None:
        self.body = body
        self.generation = generation
        self.forced = forced
        self.news: asyncio.Queue[tuple[list[int], str]] = asyncio.Queue()

    def reply(self, text: str) -> Reply:
        """Take the finished text apart."""
        if self.forced:
            call = read_call(text)
            return Reply(content="", calls=(call,)) if call else Reply(content=text)
        return read_reply(text, tools=bool(self.body.tools) and self.body.tool_choice != "none")

    def usage(self) -> Usage:
        """Return its tokens."""
        made = self.generation
        return Usage(
            prompt_tokens=made.prompt, completion_tokens=made.generated, cached_tokens=made.cached
        )


class Server:
    """Serves one loaded model under one name."""

    def __init__(self, loaded: Loaded, batcher: Batcher, name: str, load_s: float) -> None:
        self.name = name
        self._loaded = loaded
        self._batcher = batcher
        self._load_s = load_s
        self._length = batcher.length
        self._prompts = Prompts(loaded.tokenizer)
        self._grammars = Grammars(loaded.tokenizer, loaded.model.config.vocab_size)  # type: ignore[union-attr, arg-type]
        self._ends = end_tokens(loaded)
        self._completions = Completions(loaded, batcher, name, self._ends)

    def app(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics.json", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions.answer)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _models(self, _: web.Request) -> web.Response:
        entry = {"id": self.name, "object": "model", "created": 0, "owned_by": "qbench"}
        return web.json_response({"object": "list", "data": [entry]})

    async def _metrics(self, _: web.Request) -> web.Response:
        meter, loaded = self._batcher.meter, self._loaded
        body = {
            "seconds": asdict(meter.seconds(self._load_s)),
            "prompt_tokens": meter.prompt_tokens,
            "cached_tokens": meter.cached_tokens,
            "generated_tokens": meter.generated_tokens,
            "steps": meter.steps,
            "running": self._batcher.running,
            "effective": loaded.effective,
            "kernel": loaded.kernel,
            "path": loaded.path,
            "device": loaded.device,
            "bits_per_weight": loaded.bits_per_weight,
            "weight_bytes": loaded.weight_bytes,
            "peak_memory_bytes": peak_memory(loaded.device),
        }
        return web.json_response(body)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            answer = self._begin(await request.read())
        except Refused as refused:
            said = problem(str(refused), refused.code)
            return web.json_response(said, status=refused.status)
        writer = Writer(secrets.token_hex(8), self.name)
        try:
            if answer.body.stream:
                return await self._stream(request, answer, writer)
            text, finish = await self._whole(answer)
            reply = answer.reply(text)
            body = writer.whole(reply, _finish(reply, finish), answer.usage())
            return web.Response(body=msgspec.json.encode(body), content_type="application/json")
        finally:
            answer.generation.cancelled = True

    def _begin(self, raw: bytes) -> Answer:
        """Read a request and queue it. Raises Refused."""
        body = _read_body(raw)
        if body.model not in ("", self.name):
            raise Refused(f"The model {body.model!r} is not served here.", "model_not_found", 404)
        tools = [asdict(tool.function) for tool in _offered(body)]
        forced = body.tool_choice not in ("auto", "none") and bool(tools)
        tokens = self._encode(body, tools, forced=forced)
        guide = self._guide(body, tools, forced=forced)
        most = body.max_completion_tokens or body.max_tokens or DEFAULT_TOKENS
        generation = Generation(
            tokens=tokens,
            sampler=Sampler(temperature=body.temperature, top_p=body.top_p, seed=body.seed),
            told=_nobody,
            max_tokens=most,
            ends=self._ends,
            guide=guide,
        )
        answer = Answer(body, generation, forced=forced)
        generation.told = _teller(answer)
        self._batcher.submit(generation)
        return answer

    def _encode(self, body: ChatBody, tools: Sequence[Json], *, forced: bool) -> list[int]:
        wrapped = [{"type": "function", "function": tool} for tool in tools]
        try:
            tokens = self._prompts.encode(body.messages, wrapped, forced=forced)
        except Exception as error:  # a template may raise anything
            raise Refused(
                f"The chat template refuses these messages: {error}", "bad_messages"
            ) from error
        if len(tokens) >= self._length:
            raise Refused(
                f"This model's maximum context length is {self._length} tokens; the prompt has "
                f"{len(tokens)}.",
                "context_length_exceeded",
            )
        return tokens

    def _guide(self, body: ChatBody, tools: Sequence[Json], *, forced: bool) -> Guide | None:
        try:
            if forced:
                return self._grammars.for_call(tools)
            return self._grammars.for_schema(body.schema) if body.schema else None
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(f"The schema cannot be followed: {error}", "bad_schema") from error

    async def _whole(self, answer: Answer) -> tuple[str, str]:
        return [news async for news in self._texts(answer)][-1]

    async def _texts(self, answer: Answer) -> AsyncIterator[tuple[str, str]]:
        """Yield the text so far whenever it grew, with the finish reason at the end."""
        tokens: list[int] = []
        finish = ""
        while not finish:
            new, finish = await answer.news.get()
            tokens += new
            if not (finish or answer.body.stream or answer.body.stops):
                continue
            text = str(self._loaded.tokenizer.decode(tokens, skip_special_tokens=True))
            cut = min((text.find(s) for s in answer.body.stops if s in text), default=-1)
            if cut >= 0:
                text, finish = text[:cut], "stop"
                answer.generation.cancelled = True
            yield text, finish

    async def _stream(
        self, request: web.Request, answer: Answer, writer: Writer
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            await self._send(response, answer, writer)
        return response

    async def _send(self, response: web.StreamResponse, answer: Answer, writer: Writer) -> None:
        await response.write(writer.chunk({"role": "assistant"}))
        sent, text, finish = 0, "", ""
        async for text, finish in self._texts(answer):
            ready = len(text) if answer.forced else _speakable(text, answer.body)
            if not answer.forced and ready > sent and not finish:
                await response.write(writer.chunk({"content": text[sent:ready]}))
                sent = ready
        reply = answer.reply(text)
        if reply.content[sent:]:
            await response.write(writer.chunk({"content": reply.content[sent:]}))
        for chunk in writer.call_chunks(reply):
            await response.write(chunk)
        await response.write(writer.chunk({}, _finish(reply, finish)))
        if answer.body.stream_options.include_usage:
            await response.write(writer.usage_chunk(answer.usage()))
        await response.write(DONE)
        await response.write_eof()


def _nobody(_tokens: Sequence[int], _finish: str) -> None:
    """Hear nothing."""


def _teller(answer: Answer) -> Any:
    """Return what the model's thread calls with new tokens."""
    loop = asyncio.get_running_loop()

    def told(tokens: Sequence[int], finish: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(answer.news.put_nowait, (list(tokens), finish))

    return told


def _read_body(raw: bytes) -> ChatBody:
    try:
        body = msgspec.json.decode(raw, type=ChatBody)
    except msgspec.DecodeError as error:
        raise Refused(f"The request cannot be read: {error}.", "bad_request") from error
    if body.n != 1:
        raise Refused("Only n = 1 is served; send several requests.", "unsupported")
    if not body.messages:
        raise Refused("The request has no messages.", "bad_messages")
    return body


def _offered(body: ChatBody) -> tuple[Any, ...]:
    """Return the tools a call may name: one of them when the choice names it, none for none."""
    if isinstance(body.tool_choice, dict):
        name = body.tool_choice.get("function", {}).get("name")
        named = tuple(tool for tool in body.tools if tool.function.name == name)
        if not named:
            raise Refused(f"tool_choice names {name!r}, which is not offered.", "bad_tool_choice")
        return named
    if body.tool_choice not in ("auto", "none", "required"):
        raise Refused(f"tool_choice {body.tool_choice!r} is unknown.", "bad_tool_choice")
    if body.tool_choice == "required" and not body.tools:
        raise Refused("tool_choice is required, but no tools are offered.", "bad_tool_choice")
    return body.tools


def _finish(reply: Reply, finish: str) -> str:
    return "tool_calls" if reply.calls else finish


def _speakable(text: str, body: ChatBody) -> int:
    """Return how much of ``text`` may be sent: no half character, no beginning of a call."""
    whole = len(text.rstrip(REPLACEMENT))
    if not body.tools:
        return whole
    at = text.find("<")
    while at >= 0 and not (OPEN.startswith(text[at : at + len(OPEN)])):
        at = text.find("<", at + 1)
    return whole if at < 0 else min(whole, at)


def end_tokens(loaded: Loaded) -> frozenset[int]:
    """Return the tokens that end a reply: the tokenizer's and the generation settings'."""
    ends = {loaded.tokenizer.eos_token_id}
    settings = getattr(loaded.model, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    ends |= set(named) if isinstance(named, list) else {named}
    return frozenset(int(token) for token in ends if token is not None)
