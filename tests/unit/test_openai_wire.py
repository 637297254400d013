from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qbench.benchmarks.chat import Message, Timing, TokenUsage, ToolCall
from qbench.benchmarks.usage import token_usage
from qbench.errors import ContextTooLong, EngineReplyInvalid
from qbench.workers.engines.behaviours import Script
from qbench.workers.engines.inflight import InFlight
from qbench.workers.engines.openai_errors import (
    Backoff,
    Refusal,
    is_transient,
    retry_after,
    status_error,
)
from qbench.workers.engines.openai_stream import EventSplitter, StreamReader
from qbench.workers.engines.openai_wire import (
    CallPart,
    FunctionPart,
    MessageBuilder,
    MessagePart,
    arguments_on_the_wire,
    decode_body,
    message_body,
)


@pytest.mark.parametrize(
    ("raw", "counts"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2}, (10, 0, 0, 2, 0)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            (10, 6, 0, 5, 3),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
            },
            (130, 100, 20, 5, 0),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4},
            (10, 4, 0, 5, 0),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 22,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            (10, 0, 0, 12, 7),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None},
            (10, 0, 0, 5, 0),
        ),
    ],
    ids=["plain", "openai", "anthropic", "deepseek", "xai", "null details"],
)
def test_every_spelling_of_usage_means_the_same(
    raw: dict[str, Any], counts: tuple[int, ...]
) -> None:
    prompt, cached, written, completion, reasoning = counts
    assert token_usage(raw) == TokenUsage(
        prompt_tokens=prompt,
        cached_tokens=cached,
        cache_write_tokens=written,
        completion_tokens=completion,
        reasoning_tokens=reasoning,
    )


@pytest.mark.parametrize(
    "raw", [{}, {"prompt_tokens": 1}, {"prompt_tokens": "1", "completion_tokens": True}]
)
def test_usage_that_is_not_told_is_none(raw: dict[str, Any]) -> None:
    assert token_usage(raw) is None


def part(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> MessagePart:
    function = FunctionPart(name=name, arguments=arguments)
    return MessagePart(tool_calls=[CallPart(id=call_id, index=index, function=function)])


def built(*parts: MessagePart) -> list[tuple[str, str, str]]:
    builder = MessageBuilder()
    for one in parts:
        builder.add(one)
    return [(call.id, call.name, call.arguments) for call in builder.message().tool_calls]


def test_calls_are_put_together_however_servers_number_them() -> None:
    wanted = [("a", "add", '{"x":1}'), ("b", "add", "{}")]
    by_the_book = (
        part(0, "a", "add", ""),
        part(0, None, None, '{"x"'),
        part(0, None, None, ":1}"),
        part(1, "b", "add", "{}"),
    )
    zero_for_all = (
        part(0, "a", "add", '{"x"'),
        part(0, None, None, ":1}"),
        part(0, "b", "add", "{}"),
    )
    no_index = (
        part(None, "a", "add", '{"x"'),
        part(None, None, None, ":1}"),
        part(None, "b", "add", "{}"),
    )
    as_objects = (part(0, "a", "add", {"x": 1}), part(1, "b", "add", {}))
    for pieces in (by_the_book, zero_for_all, no_index, as_objects):
        assert built(*pieces) == wanted


def test_calls_without_an_id_get_one() -> None:
    assert built(part(0, None, "add", "{}")) == [("call_0", "add", "{}")]


@given(st.text())
def test_past_calls_are_sent_as_objects_whatever_the_model_wrote(text: str) -> None:
    assert isinstance(json.loads(arguments_on_the_wire(text)), dict)


def test_a_message_is_sent_with_its_calls_and_thinking_only_where_it_is_wanted() -> None:
    call = ToolCall(id="a", name="add", arguments='{"x":1}')
    message = Message(role="assistant", content="", tool_calls=(call,), reasoning="hm")
    function = {"name": "add", "arguments": '{"x":1}'}
    body: dict[str, Any] = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "a", "type": "function", "function": function}],
    }
    assert message_body(message) == body
    assert message_body(message, reasoning_field="thoughts") == {**body, "thoughts": "hm"}


@given(st.lists(st.integers(1, 20)), st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int], end: bytes) -> None:
    events = [b'{"n":%d}' % n for n in range(8)]
    data = b": hello" + end + b"".join(b"data: " + event + end * 2 for event in events)
    splitter, found, at = EventSplitter(), [], 0
    for cut in [*cuts, len(data)]:
        found += splitter.feed(data[at : at + cut])
        at += cut
    assert found + splitter.end() == events


def test_a_last_event_without_a_line_break_counts() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: [DONE]") == []
    assert splitter.end() == [b"[DONE]"]


def chunk(**delta: Any) -> bytes:
    finish = delta.pop("finish", None)
    return json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]}).encode()


def test_times_begin_at_the_first_token_and_end_before_the_usage() -> None:
    reader = StreamReader(10.0)
    for at, data in (
        (10.1, chunk(role="assistant", content="")),
        (10.5, chunk(reasoning_content="hm")),
        (10.7, chunk(content="yes")),
        (11.0, chunk(finish="stop")),
        (15.0, b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":3}}'),
    ):
        reader.add(decode_body(data), at)
    timing = reader.timing(datetime.now(UTC))
    assert timing.ttft_s == pytest.approx(0.5)
    assert timing.itl_s == pytest.approx((0.2, 0.3))
    assert timing.e2el_s == pytest.approx(1.0)
    assert reader.raw_usage["completion_tokens"] == 3


@pytest.mark.parametrize("data", [b"", b"[]", b'{"choices": 3}', b"\xff"])
def test_bytes_that_are_no_chunk_are_invalid(data: bytes) -> None:
    with pytest.raises(EngineReplyInvalid):
        decode_body(data)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens",
        "The decoder prompt (length 9000) is longer than the maximum model length: max_model_len",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "the request exceeds the available context size",
        "input is too long for requested model",
    ],
)
def test_context_overflows_are_recognised_by_what_servers_say(message: str) -> None:
    error = status_error(400, Refusal(message=message), where="x")
    assert isinstance(error, ContextTooLong)


def test_what_is_tried_again() -> None:
    plain = Refusal(message="no")
    transient = {status for status in range(400, 600) if is_transient(status, plain)}
    assert transient == {408, 409, 425, 429, *range(500, 600)} - {501}
    assert not is_transient(429, Refusal(message="no", code="insufficient_quota"))


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after("7") == 7
    assert retry_after("Thu, 01 Jan 2026 00:00:30 GMT", now=now) == 30
    assert retry_after("Thu, 01 Jan 2020 00:00:30 GMT", now=now) == 0
    assert [retry_after(text) for text in (None, "", "soon", "nan", "inf")] == [None] * 5


@given(attempt=st.integers(0, 50), asked=st.none() | st.floats(0, 1e6))
def test_waits_grow_and_stay_under_the_cap(attempt: int, asked: float | None) -> None:
    backoff = Backoff()
    wait = backoff.wait(attempt, asked)
    assert 0 < wait <= backoff.cap_s
    if asked is not None:
        assert wait >= min(asked, backoff.cap_s)


def test_busy_time_is_the_union_of_the_requests() -> None:
    now = 100.0
    flight = InFlight(clock=lambda: now)
    for at, enter in ((101.0, True), (102.0, True), (103.0, False), (105.0, False), (110.0, True)):
        now = at
        (flight.enter if enter else flight.leave)()
    now = 112.0
    flight.note(Timing(started_at=datetime.now(UTC), e2el_s=4.0, ttft_s=1.0))
    seconds = flight.seconds(load=3.0)
    assert (seconds.load, seconds.busy, seconds.idle) == (3.0, 6.0, 6.0)
    assert (seconds.prefill, seconds.decode) == (1.5, 4.5)


def test_the_script_of_the_documentation_is_a_script() -> None:
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        Script.of(yaml.safe_load(block))
