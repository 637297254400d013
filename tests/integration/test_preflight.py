"""The preflight against real servers whose parsers work, fail, or lose what they stream."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from qbench.benchmarks.chat import ToolCall
from qbench.errors import EngineStartError
from qbench.workers.engines.openai_chat import ClientSettings
from qbench.workers.preflight import (
    BLIND,
    CALLING,
    PROMPTS,
    Target,
    Trial,
    differs,
    judge,
    preflight,
)
from qbench.workers.preflight_text import Visible
from tests.integration.endpoints import answering, mock

CALL = [{"call": "add", "arguments": {"a": 36, "b": 5}}]
SCRIPT: dict[str, Any] = dict.fromkeys(PROMPTS[:CALLING], CALL) | {"*": [{"say": "Hello."}]}


def target(url: str, *, stream: bool = True) -> Target:
    return Target(
        base_url=url, model="mock", parser="hermes", settings=ClientSettings(stream=stream)
    )


async def test_a_parser_that_works_is_let_through() -> None:
    async with mock(reply=SCRIPT) as (url, endpoint):
        checked = await preflight(target(url))
    assert (checked.finding, checked.parser) == ("sees calls", "hermes")
    assert (checked.prompts, checked.visible, checked.whole, checked.streamed) == (10, 8, 8, 8)
    assert checked.warnings == (BLIND,)  # the mock counts no tokens for tools
    assert checked.seconds > 0
    assert endpoint.requests == 3 * len(PROMPTS) + 1


async def test_a_parser_that_sees_nothing_is_refused_with_the_text() -> None:
    async with mock(reply=SCRIPT, calls="text") as (url, _):
        with pytest.raises(EngineStartError, match="parser hermes does not see") as caught:
            await preflight(target(url))
    assert "8 of 10 prompts" in caught.value.what
    assert '"name": "add"' in caught.value.what
    assert "-o tool_call_parser=" in caught.value.hint


@pytest.mark.parametrize("calls", ["text when streamed", "no arguments when streamed"])
async def test_a_parser_that_loses_what_it_streams_is_refused_where_the_run_streams(
    calls: str,
) -> None:
    async with mock(reply=SCRIPT, calls=calls) as (url, _):
        with pytest.raises(EngineStartError, match="loses calls when it streams") as caught:
            await preflight(target(url))
        assert "-o stream=false" in caught.value.hint
        checked = await preflight(target(url, stream=False))
    assert checked.finding == "sees calls"
    assert "streamed and whole replies differ in 8 prompts" in checked.warnings


async def test_a_model_that_never_calls_is_not_the_parsers_fault() -> None:
    async with mock(reply="echo") as (url, _):
        checked = await preflight(target(url))
    assert checked.finding == "nothing to judge"
    assert checked.warnings[0].startswith("no reply held a tool call")


async def test_a_server_that_answers_errors_is_told_with_how_to_skip_it() -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(status=400, text='{"error": {"message": "no tools here"}}')

    async with answering(broken) as url:
        with pytest.raises(EngineStartError, match="no tools here") as caught:
            await preflight(target(url))
    assert "preflight=false" in caught.value.hint


NOWHERE = target("http://127.0.0.1:9/v1")
SEEN = (ToolCall(id="1", name="add", arguments='{"a": 1}'),)


def trial(*, marked: bool = True, parsed: bool = False) -> Trial:
    calls = SEEN if parsed else ()
    return Trial(
        prompt="", visible=(Visible(name="add", marked=marked),), whole=calls, streamed=calls
    )


def test_one_announced_call_that_nobody_sees_is_enough() -> None:
    with pytest.raises(EngineStartError, match="does not see"):
        judge([trial(), *[Trial(prompt="")] * 9], NOWHERE)


def test_calls_that_a_reasoning_parser_swallowed_point_at_that_parser() -> None:
    swallowed = replace(trial(), swallowed=True)
    with pytest.raises(EngineStartError) as caught:
        judge([swallowed, *[Trial(prompt="")] * 9], NOWHERE)
    assert "-o reasoning_parser=none" in caught.value.hint


def test_a_parser_that_sees_most_goes_on_with_a_warning() -> None:
    checked = judge([*[trial(parsed=True)] * 7, trial()], NOWHERE)
    assert checked.finding == "sees calls"
    assert checked.warnings == ("1 replies held a call that was not parsed",)


def test_look_alikes_accuse_the_parser_only_when_there_are_many() -> None:
    bare, silent = trial(marked=False), Trial(prompt="")
    checked = judge([bare] * 3 + [silent] * 7, NOWHERE)
    assert checked.finding == "nothing to judge"
    assert checked.warnings == ("3 replies held a call that was not parsed",)
    with pytest.raises(EngineStartError, match="4 of 10"):
        judge([bare] * 4 + [silent] * 6, NOWHERE)


def test_thinking_that_stands_in_answers_is_told() -> None:
    checked = judge([Trial(prompt="", leaked=True), *[trial(parsed=True)] * 9], NOWHERE)
    assert checked.warnings == (
        "thinking stands in the answer of 1 replies: name a reasoning parser",
    )


def test_other_words_are_no_difference_but_lost_arguments_are() -> None:
    other = (ToolCall(id="2", name="add", arguments='{"a": 2}'),)
    empty = (ToolCall(id="2", name="add", arguments=""),)
    fewer = (ToolCall(id="2", name="add", arguments="{}"),)
    assert not differs(SEEN, other)
    assert differs(SEEN, empty)
    assert differs(SEEN, fewer)
    assert differs(SEEN, ())
