"""What was said in a sample of an inspect log: messages, model calls, tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from qbench.benchmarks.agent.replies import clean
from qbench.benchmarks.chat import Message, Role, Timing, TokenUsage, ToolCall, Turn
from qbench.benchmarks.transcript import Stop, ToolRun, Transcript

Json = dict[str, Any]

ATTACHED = "attachment://"
ROLES: tuple[str, ...] = get_args(Role)
SCORING = ("scorers", "scorer")
"""Types of the spans in which scorers work."""

STOPS: dict[str, Stop] = {
    "token": "tokens",
    "message": "turns",
    "turn": "turns",
    "time": "time",
    "working": "time",
    "cost": "cost",
    "context": "length",
}
CUT = ("max_tokens", "model_length")


@dataclass(frozen=True)
class Talk:
    """One sample's body with what is needed to read it."""

    body: Json
    model: str
    lost: Counter[str]
    attachments: Json

    @classmethod
    def of(cls, body: Json, model: str, lost: Counter[str]) -> Talk:
        """Take a sample as the log has it."""
        return cls(body, model, lost, body.get("attachments") or {})

    def resolved(self, text: str) -> str:
        """Return a text, which long ones are references to."""
        if text.startswith(ATTACHED):
            return str(self.attachments.get(text.removeprefix(ATTACHED), text))
        return text

    def calls(self) -> Iterator[Json]:
        """Yield the events of the system's own model calls, in order."""
        spans: dict[str, tuple[str, str]] = {}
        for event in self.body.get("events") or ():
            if event.get("event") == "span_begin":
                spans[event["id"]] = (event.get("type") or "", event.get("parent_id") or "")
            elif event.get("event") == "model" and not event.get("error"):
                if event.get("model") != self.model or _within(event, spans):
                    self.lost["model calls of scorers or other models, not in the costs"] += 1
                else:
                    yield event
            elif event.get("event") == "model":
                self.lost["model calls that failed and were made again"] += 1


def _within(event: Json, spans: dict[str, tuple[str, str]]) -> bool:
    """Say whether an event happened within a scorer."""
    place = event.get("span_id") or ""
    while place in spans:
        kind, place = spans[place]
        if kind in SCORING:
            return True
    return False


def text_of(content: Any, talk: Talk) -> str:
    """Return the text of a message's content; what is no text is counted."""
    if isinstance(content, str):
        return clean(talk.resolved(content))
    texts = []
    for part in content or ():
        if part.get("type") == "text":
            texts.append(clean(talk.resolved(part.get("text") or "")))
        elif part.get("type") != "reasoning":
            talk.lost[f"parts of messages of type {part.get('type')}"] += 1
    return "\n".join(texts)


def _thinking(content: Any, talk: Talk) -> str:
    if isinstance(content, str):
        return ""
    parts = [part for part in content or () if part.get("type") == "reasoning"]
    return "\n".join(clean(talk.resolved(part.get("reasoning") or "")) for part in parts)


def message_of(raw: Json, talk: Talk) -> Message:
    """Read one message."""
    role: Role = raw["role"] if raw["role"] in ROLES else "user"
    calls = tuple(
        ToolCall(
            id=str(call.get("id", "")),
            name=clean(str(call.get("function", ""))),
            arguments=_written(call.get("arguments"), talk),
        )
        for call in raw.get("tool_calls") or ()
    )
    return Message(
        role=role,
        content=text_of(raw.get("content"), talk),
        tool_calls=calls,
        tool_call_id=str(raw.get("tool_call_id") or ""),
        reasoning=_thinking(raw.get("content"), talk),
    )


def _written(arguments: Any, talk: Talk) -> str:
    if isinstance(arguments, str):
        return clean(talk.resolved(arguments))
    return msgspec.json.encode(arguments or {}).decode()


def usage_of(raw: Json | None) -> TokenUsage | None:
    """Read inspect's usage: its input leaves cached tokens out, ours counts them in."""
    if not raw or not (raw.get("input_tokens") or raw.get("output_tokens")):
        return None
    cached, written = (
        int(raw.get(name) or 0) for name in ("input_tokens_cache_read", "input_tokens_cache_write")
    )
    return TokenUsage(
        prompt_tokens=int(raw.get("input_tokens") or 0) + cached + written,
        cached_tokens=cached,
        cache_write_tokens=written,
        completion_tokens=int(raw.get("output_tokens") or 0),
        reasoning_tokens=int(raw.get("reasoning_tokens") or 0),
    )


def transcript_of(talk: Talk, started: datetime) -> Transcript:
    """Put a sample's talk together."""
    messages = tuple(message_of(raw, talk) for raw in talk.body.get("messages") or ())
    turns = tuple(_turn(event, talk) for event in talk.calls()) or _as_one(talk, started)
    output = talk.body.get("output") or {}
    return Transcript(
        messages=messages,
        turns=turns,
        tool_runs=tuple(_runs(talk, messages, len(turns))),
        answer=_answer(talk, output, messages),
        stop=_stop(talk, output),
        seconds=float(talk.body.get("total_time") or 0.0),
    )


def _answer(talk: Talk, output: Json, messages: tuple[Message, ...]) -> str:
    said = output.get("completion")
    if isinstance(said, str) and said:
        return clean(talk.resolved(said))
    return next((m.content for m in reversed(messages) if m.role == "assistant"), "")


def _stop(talk: Talk, output: Json) -> Stop:
    limit = talk.body.get("limit")
    if limit:
        return STOPS.get(str(limit.get("type")), "time")
    choices = output.get("choices") or []
    if choices and choices[0].get("stop_reason") in CUT:
        return "length"
    return "answered"


def _turn(event: Json, talk: Talk) -> Turn:
    output = event.get("output") or {}
    choices = output.get("choices") or [{}]
    raw = choices[0].get("message") or {"role": "assistant", "content": ""}
    cached = event.get("cache") == "read"
    if cached:
        talk.lost["replies out of inspect's cache, whose cost is not known"] += 1
    usage = output.get("usage") or {}
    return Turn(
        message=message_of(raw, talk),
        finish_reason=str(choices[0].get("stop_reason") or "unknown"),
        timing=Timing(started_at=_at(event["timestamp"]), e2el_s=float(output.get("time") or 0)),
        usage=None if cached else usage_of(usage),
        raw_usage=usage,
        retries=int(event.get("retries") or 0),
        served_model=str(output.get("model") or ""),
    )


def _as_one(talk: Talk, started: datetime) -> tuple[Turn, ...]:
    """Return one turn for all calls of a sample whose events were not logged."""
    usage = (talk.body.get("model_usage") or {}).get(talk.model)
    output = talk.body.get("output") or {}
    choices = output.get("choices") or []
    if not choices:
        return ()
    talk.lost["samples whose model calls are not told apart"] += 1
    return (
        Turn(
            message=message_of(choices[0]["message"], talk),
            finish_reason=str(choices[0].get("stop_reason") or "unknown"),
            timing=Timing(started_at=started, e2el_s=float(output.get("time") or 0)),
            usage=usage_of(usage),
            raw_usage=usage or {},
            served_model=str(output.get("model") or ""),
        ),
    )


def _at(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _runs(talk: Talk, messages: tuple[Message, ...], turns: int) -> Iterator[ToolRun]:
    """Yield the tool calls with what came back."""
    raw = talk.body.get("messages") or []
    back = {one.get("tool_call_id"): one for one in raw if one["role"] == "tool"}
    asking = [(one, told) for one, told in zip(raw, messages, strict=True) if told.tool_calls]
    place = {id(one): n for n, one in enumerate(o for o in raw if o["role"] == "assistant")}
    for one, told in asking:
        for call, made in zip(one["tool_calls"], told.tool_calls, strict=True):
            result = back.get(call.get("id"))
            given = call.get("arguments")
            unread = bool(call.get("parse_error"))
            failed = bool(result and result.get("error"))
            yield ToolRun(
                turn=min(place[id(one)], max(0, turns - 1)),
                call_id=made.id,
                name=made.name,
                arguments=given if isinstance(given, dict) and not unread else None,
                result=text_of(result.get("content"), talk) if result else "",
                fault="invalid_json" if unread else "tool_error" if failed else "",
            )
