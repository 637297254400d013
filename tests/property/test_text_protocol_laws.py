from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qbench.benchmarks.agent.text_protocol import (
    CLOSE,
    OPEN,
    RESPONSE_OPEN,
    read_reply,
    write_call,
)
from qbench.benchmarks.chat import ToolCall

MARKS = (OPEN, CLOSE, RESPONSE_OPEN)
TEXT = st.text(max_size=30).filter(lambda text: "<" not in text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAME = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
CALL = st.tuples(NAME, st.dictionaries(TEXT, JSON, max_size=4))
PART = st.sampled_from([*MARKS, "```json\n", "```", '{"name": "add"', '"arguments": {', "}", "["])


def written(calls: list[tuple[str, dict[str, Any]]]) -> list[ToolCall]:
    return [
        ToolCall(id=f"c{number}", name=name, arguments=json.dumps(arguments))
        for number, (name, arguments) in enumerate(calls)
    ]


@given(TEXT, st.lists(CALL, min_size=1, max_size=4))
def test_what_is_written_is_read_back(before: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    reading = read_reply(
        before + "\n".join(write_call(call) for call in written(calls)), id_prefix="c"
    )
    assert reading.text == before.strip()
    assert [(call.id, call.name) for call in reading.calls] == [
        (call.id, call.name) for call in written(calls)
    ]
    assert [json.loads(call.arguments) for call in reading.calls] == [given for _, given in calls]


@given(st.text(st.characters(), max_size=200))
def test_arbitrary_text_never_raises(text: str) -> None:
    reading = read_reply(text, id_prefix="c")
    assert len(reading.text) <= len(text)


@given(st.lists(PART | TEXT, max_size=20).map("".join))
def test_every_opened_block_is_an_attempted_call(text: str) -> None:
    calls = read_reply(text, id_prefix="c").calls
    assert len(calls) >= text.count(OPEN)
    assert len({call.id for call in calls}) == len(calls)


@given(st.text(max_size=200).filter(lambda text: OPEN not in text and '"name"' not in text))
def test_plain_text_is_an_answer(text: str) -> None:
    reading = read_reply(text, id_prefix="c")
    assert (reading.text, reading.calls) == (text.strip(), ())
