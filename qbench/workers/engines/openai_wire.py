"""The bytes of OpenAI-compatible chat completions: requests out, replies and streams in. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from qbench.benchmarks.chat import ChatRequest, Message, ToolCall
from qbench.errors import EngineReplyInvalid

Json = dict[str, Any]

_object_decoder = msgspec.json.Decoder(dict[str, Any])


def arguments_on_the_wire(text: str) -> str:
    """Return ``text`` when it is a JSON object, else an object that quotes it.

    Servers parse past calls for their chat template and answer 400 to what does not parse; the
    model's slip would then look like a broken endpoint.
    """
    try:
        _object_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return msgspec.json.encode({"invalid_json": text}).decode()
    return text


def message_body(message: Message, *, reasoning_field: str = "") -> Json:
    """Return ``message`` as a request body carries it.

    ``reasoning_field`` names the field under which thinking goes back to the endpoint; empty: it
    does not.
    """
    body: Json = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_on_the_wire(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    if reasoning_field and message.reasoning:
        body[reasoning_field] = message.reasoning
    return body


def request_body(request: ChatRequest, model: str, *, reasoning_field: str = "") -> Json:
    """Return the body of ``POST /v1/chat/completions`` for ``request``, not streamed."""
    sampling = request.sampling
    body: Json = {
        "model": model,
        "messages": [
            message_body(message, reasoning_field=reasoning_field) for message in request.messages
        ],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if request.tools:
        body["tools"] = [{"type": "function", "function": tool} for tool in request.tools]
        body["tool_choice"] = request.tool_choice
    if request.response_format is not None:
        body["response_format"] = request.response_format
    return body


class FunctionPart(Struct):
    """Name and arguments, whole or a piece of them."""

    name: str | None = None
    arguments: Any = None
    """A string by the book; some servers send the object itself."""


class CallPart(Struct):
    """A tool call, whole or a piece of one."""

    id: str | None = None
    index: int | None = None
    function: FunctionPart | None = None


class MessagePart(Struct):
    """A message, or the delta of one."""

    content: str | list[Any] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None

    @property
    def text(self) -> str:
        """The visible text; text parts joined where the content is a list."""
        if isinstance(self.content, list):
            return "".join(
                str(part.get("text") or "") for part in self.content if isinstance(part, dict)
            )
        return self.content or self.refusal or ""

    @property
    def thinking(self) -> str:
        """The thinking text under either of its two names."""
        return self.reasoning or self.reasoning_content or ""


class Choice(Struct):
    """One alternative; ``message`` in a whole reply, ``delta`` in a stream."""

    message: MessagePart | None = None
    delta: MessagePart | None = None
    finish_reason: str | None = None


class Body(Struct):
    """A whole reply or one chunk of a stream; unknown fields are ignored."""

    choices: list[Choice] | None = None
    usage: Json | None = None
    model: str | None = None
    error: Any = None


_body_decoder = msgspec.json.Decoder(Body)


def decode_body(data: bytes) -> Body:
    """Decode a reply or chunk. Raises EngineReplyInvalid with the beginning of the bytes."""
    try:
        return _body_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        start = data[:80].decode(errors="replace")
        raise EngineReplyInvalid(
            f"The endpoint's reply is not a chat completion ({error}): {start!r}.",
            hint="Check that the URL is that of an OpenAI-compatible server.",
        ) from error


class MessageBuilder:
    """Puts a message together from a whole reply or from deltas."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[tuple[int | None, list[str]]] = []  # index; id, name, argument pieces
        self.size = 0
        """Characters so far."""

    def add(self, part: MessagePart) -> bool:
        """Append ``part`` and say whether it carried content, reasoning or a call."""
        text, thinking = part.text, part.thinking
        if text:
            self._content.append(text)
        if thinking:
            self._reasoning.append(thinking)
        for call in part.tool_calls or ():
            self._add_call(call)
        self.size += len(text) + len(thinking)
        return bool(text or thinking or part.tool_calls)

    def _add_call(self, part: CallPart) -> None:
        pieces = self._open_call(part)
        function = part.function or FunctionPart()
        pieces[0] = pieces[0] or part.id or ""
        pieces[1] = pieces[1] or function.name or ""
        piece = function.arguments
        if piece is not None:
            text = piece if isinstance(piece, str) else msgspec.json.encode(piece).decode()
            pieces.append(text)
            self.size += len(text)

    def _open_call(self, part: CallPart) -> list[str]:
        """Find the call that ``part`` continues, else begin one.

        By index as documented; servers that leave the index out, or repeat 0 for parallel calls,
        are told apart by the id, which only a call's first piece carries anew.
        """
        for index, pieces in reversed(self._calls):
            if part.index is None and part.id is None:
                return pieces
            if index == part.index and part.id in (None, "", pieces[0]):
                return pieces
        self._calls.append((part.index, ["", ""]))
        return self._calls[-1][1]

    def message(self) -> Message:
        """Return the message; calls without an id get one."""
        return Message(
            role="assistant",
            content="".join(self._content),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(
                ToolCall(id=head[0] or f"call_{n}", name=head[1], arguments="".join(head[2:]))
                for n, (_, head) in enumerate(self._calls)
            ),
        )
