from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from msgspec.structs import replace

from qbench.benchmarks.agent.loop import AgentOptions, Price, run_attempt
from qbench.benchmarks.agent.replies import KEPT
from qbench.benchmarks.chat import ChatRequest, Message, Turn
from qbench.benchmarks.limits import Limits
from qbench.benchmarks.servers.no_tools import no_tools
from qbench.benchmarks.servers.tools import in_memory
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.transcript import Transcript
from qbench.workers.engines.behaviours import BEHAVIOURS, Script, ScriptedTurn
from qbench.workers.engines.scripted import ScriptedChat


class ShelfWorld:
    name = "shelf"

    def server(self, state: State) -> MCPServer:
        server = MCPServer("shelf")

        @server.tool()
        def put(item: str, count: int = 1) -> str:
            """Put something on the shelf."""
            if item in state:
                raise ToolError(f"{item} is there already.")
            state[item] = count
            return f"{item}: {count}"

        @server.tool()
        def look() -> str:
            """See what is there."""
            return ", ".join(sorted(state)) or "nothing"

        return server


SHELF = Sample(
    id="s-1",
    suite="toy",
    task="shelf",
    level=1,
    family="f",
    prompt="Put a lamp on the shelf.",
    system="You keep a shelf.",
    tools=("put", "look"),
    world="shelf",
    start_state={"book": 1},
)
PUT_LAMP = ScriptedTurn(call="put", arguments={"item": "lamp"})
DONE = ScriptedTurn(say="Done.")


def options(*, text: bool = False, examples: bool = True, **limits: Any) -> AgentOptions:
    protocol = "text" if text else "native"
    return AgentOptions(limits=Limits(**limits), tool_protocol=protocol, examples=examples)  # type: ignore[arg-type]  # a literal


class Listening:
    """Keeps the requests that pass through it."""

    def __init__(self, *turns: ScriptedTurn) -> None:
        self._chat = ScriptedChat(Script({"*": turns}))
        self.requests: list[ChatRequest] = []

    async def reply(self, request: ChatRequest) -> Turn:
        self.requests.append(request)
        return await self._chat.reply(request)


async def attempt(
    *turns: ScriptedTurn,
    sample: Sample = SHELF,
    how: AgentOptions | None = None,
    price: Price | None = None,
) -> tuple[Transcript, list[ChatRequest]]:
    chat = Listening(*turns)
    async with in_memory(ShelfWorld(), sample) as tools:
        made = await run_attempt(sample, chat, tools, how or options(), price=price)
    return made, chat.requests


def faults(transcript: Transcript) -> list[str]:
    return [run.fault for run in transcript.tool_runs]


async def test_a_call_runs_and_the_answer_ends_the_attempt() -> None:
    made, (first, second) = await attempt(PUT_LAMP, DONE)
    assert (made.stop, made.answer, made.parse_failures) == ("answered", "Done.", 0)
    assert made.end_state == {"book": 1, "lamp": 1}
    (run,) = made.tool_runs
    assert (run.turn, run.name, run.arguments, run.result, run.fault) == (
        0,
        "put",
        {"item": "lamp"},
        "lamp: 1",
        "",
    )
    assert [tool.name for tool in first.tools] == ["put", "look"]
    assert [message.role for message in second.messages] == ["system", "user", "assistant", "tool"]
    assert second.messages[-1].tool_call_id == second.messages[-2].tool_calls[0].id
    assert second.messages[-1].content == "lamp: 1"
    assert [message.role for message in made.messages][-1] == "assistant"
    assert made.usage is not None
    assert made.seconds > 0
    assert not made.truncated


async def test_the_start_state_stays_as_it_was() -> None:
    await attempt(PUT_LAMP, DONE)
    assert SHELF.start_state == {"book": 1}


async def test_calls_of_one_turn_run_in_order_and_each_gets_its_result() -> None:
    both = ScriptedTurn(calls=(("put", {"item": "lamp"}), ("look", {})))
    made, (_, second) = await attempt(both, DONE)
    assert [run.result for run in made.tool_runs] == ["lamp: 1", "book, lamp"]
    assert [message.tool_call_id for message in second.messages[-2:]] == ["call_0", "call_1"]
    assert len(made.turns) == 2


async def test_a_tool_that_is_not_offered_is_told_with_close_names() -> None:
    made, (_, second) = await attempt(ScriptedTurn(call="putt", arguments={}), DONE)
    assert faults(made) == ["unknown_tool"]
    assert "Did you mean put?" in second.messages[-1].content
    assert made.parse_failures == 0
    assert made.end_state == {"book": 1}


async def test_a_tool_of_the_server_that_the_sample_does_not_offer_is_unknown() -> None:
    made, _ = await attempt(PUT_LAMP, DONE, sample=replace(SHELF, tools=("look",)))
    assert faults(made) == ["unknown_tool"]
    assert made.end_state == {"book": 1}


@pytest.mark.parametrize("written", ['{"item": ', "[1]", "null", "lamp", '{"item": NaN}'])
async def test_arguments_that_are_no_json_object_are_a_parse_failure(written: str) -> None:
    broken = ScriptedTurn(call="put", arguments=written)
    made, (_, second) = await attempt(broken, DONE)
    assert faults(made) == ["invalid_json"]
    assert made.tool_runs[0].arguments is None
    assert made.parse_failures == 1
    assert "not a JSON object" in second.messages[-1].content
    assert second.messages[-2].tool_calls[0].arguments == "{}"  # endpoints parse the history
    assert made.turns[0].message.tool_calls[0].arguments == written  # the record keeps it


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'item' is a required property"),
        ({"item": 3}, "in 'item': 3 is not of type 'string'"),
        ({"item": "x", "count": "many"}, "in 'count'"),
    ],
)
async def test_arguments_against_the_schema_are_told_and_not_run(
    arguments: dict[str, Any], said: str
) -> None:
    made, (_, second) = await attempt(ScriptedTurn(call="put", arguments=arguments), DONE)
    assert faults(made) == ["invalid_arguments"]
    assert said in second.messages[-1].content
    assert made.end_state == {"book": 1}
    assert made.parse_failures == 0


async def test_no_arguments_at_all_are_an_empty_object() -> None:
    made, _ = await attempt(ScriptedTurn(call="look", arguments=""), DONE)
    assert faults(made) == [""]
    assert made.tool_runs[0].arguments == {}


async def test_a_tool_error_is_told_and_may_be_recovered_from() -> None:
    book = ScriptedTurn(call="put", arguments={"item": "book"})
    made, (_, second, _) = await attempt(book, PUT_LAMP, DONE)
    assert faults(made) == ["tool_error", ""]
    assert "book is there already." in second.messages[-1].content
    assert made.end_state == {"book": 1, "lamp": 1}


async def test_the_fourth_equal_call_in_a_row_is_refused() -> None:
    look = ScriptedTurn(call="look")
    made, requests = await attempt(look, look, look, look, DONE)
    assert faults(made) == ["", "", "", "refused"]
    assert "4 times in a row" in requests[-1].messages[-1].content
    assert made.stop == "answered"


async def test_another_call_in_between_ends_a_repetition() -> None:
    look, calls = ScriptedTurn(call="look"), []
    for item in "abc":
        calls += [look, look, ScriptedTurn(call="put", arguments={"item": item})]
    made, _ = await attempt(*calls, DONE)
    assert set(faults(made)) == {""}


async def test_a_loop_without_end_stops_at_the_turns() -> None:
    made, requests = await attempt(ScriptedTurn(call="look"), how=options(turns=5))
    assert (made.stop, len(made.turns), len(requests)) == ("turns", 5, 5)
    assert made.truncated
    assert made.end_state == {"book": 1}
    assert made.answer == ""


async def test_calls_beyond_the_sample_s_own_limit_are_refused() -> None:
    three = ScriptedTurn(calls=tuple(("put", {"item": item}) for item in "abc"))
    made, _ = await attempt(three, DONE, sample=replace(SHELF, max_calls=2))
    assert faults(made) == ["", "", "refused"]
    assert made.end_state == {"book": 1, "a": 1, "b": 1}


async def test_after_the_last_call_a_sample_with_an_answer_gets_one_turn_without_tools() -> None:
    sample = replace(SHELF, max_calls=1, answer="Done.")
    made, requests = await attempt(PUT_LAMP, DONE, sample=sample)
    assert [request.tool_choice for request in requests] == ["auto", "none"]
    assert (made.stop, made.answer) == ("answered", "Done.")
    made, _ = await attempt(PUT_LAMP, PUT_LAMP, DONE, sample=sample)
    assert (made.stop, faults(made)) == ("calls", ["", "refused"])


async def test_the_token_limit_is_looked_at_between_model_calls() -> None:
    turn = ScriptedTurn(call="look", prompt_tokens=60, completion_tokens=40)
    made, _ = await attempt(turn, how=options(tokens=150))
    assert (made.stop, len(made.turns)) == ("tokens", 2)
    assert made.usage is not None
    assert made.usage.prompt_tokens + made.usage.completion_tokens == 200


async def test_the_time_limit_interrupts_a_model_call() -> None:
    made, _ = await attempt(ScriptedTurn(fault="hang"), how=options(seconds=0.05))
    assert (made.stop, made.turns) == ("time", ())
    assert made.end_state == {"book": 1}


async def test_the_cost_limit_counts_what_the_price_says() -> None:
    made, _ = await attempt(
        ScriptedTurn(call="look"),
        how=options(dollars=Decimal("0.25")),
        price=lambda _turn: Decimal("0.10"),
    )
    assert (made.stop, len(made.turns)) == ("cost", 3)


async def test_without_a_cost_limit_the_price_is_not_asked() -> None:
    def never(_turn: Turn) -> Decimal:
        raise AssertionError

    made, _ = await attempt(DONE, price=never)
    assert made.stop == "answered"


async def test_an_empty_reply_ends_the_attempt_as_empty() -> None:
    made, _ = await attempt(ScriptedTurn(say=" \n"))
    assert (made.stop, made.truncated) == ("empty", False)


async def test_a_reply_that_is_only_thinking_is_empty() -> None:
    made, _ = await attempt(ScriptedTurn(say="<think>Hm.</think>"))
    assert (made.stop, made.answer, made.turns[0].message.reasoning) == ("empty", "", "Hm.")


async def test_a_reply_cut_at_max_tokens_is_length() -> None:
    made, _ = await attempt(ScriptedTurn(say="The answer is", finish="length"))
    assert (made.stop, made.answer, made.truncated) == ("length", "The answer is", True)


async def test_megabytes_are_cut_before_they_are_kept() -> None:
    async with no_tools() as environment, environment.open(SHELF) as tools:
        chat = ScriptedChat(BEHAVIOURS["megabytes"])
        sample = replace(SHELF, tools=(), world="")
        made = await run_attempt(sample, chat, tools, options())
    assert made.stop == "answered"
    assert KEPT < len(made.answer) < KEPT + 100
    assert "characters cut" in made.answer


@pytest.mark.parametrize("name", ["garbage", "unknown_tool", "invalid_json_call", "echo"])
async def test_what_a_model_says_never_raises(name: str) -> None:
    async with in_memory(ShelfWorld(), SHELF) as tools:
        made = await run_attempt(SHELF, ScriptedChat(BEHAVIOURS[name]), tools, options())
    assert made.stop in ("answered", "turns")
    assert made.end_state == {"book": 1}


async def test_calls_written_as_text_are_noted_and_not_run() -> None:
    said = '<tool_call>{"name": "put", "arguments": {"item": "lamp"}}</tool_call>'
    made, _ = await attempt(ScriptedTurn(say=said))
    assert (made.parse_failures, faults(made)) == (1, ["invalid_json"])
    assert (made.tool_runs[0].name, made.tool_runs[0].arguments) == ("put", None)
    assert made.end_state == {"book": 1}
    assert made.stop == "answered"


async def test_in_text_calls_are_read_run_and_answered_in_text() -> None:
    said = (
        'First.<tool_call>{"name": "put", "arguments": {"item": "lamp"}}</tool_call>'
        '<tool_call>{"name": "look"}</tool_call>'
    )
    made, (first, second) = await attempt(
        ScriptedTurn(say=said), DONE, how=options(text=True), sample=replace(SHELF, max_calls=2)
    )
    assert first.tools == second.tools == ()
    assert [run.result for run in made.tool_runs] == ["lamp: 1", "book, lamp"]
    assert second.messages[-1] == Message(
        role="user",
        content="<tool_response>lamp: 1</tool_response>\n<tool_response>book, lamp"
        "</tool_response>\nNo more calls are possible. Answer.",
    )
    assert (made.stop, made.answer, made.end_state) == ("answered", "Done.", {"book": 1, "lamp": 1})


async def test_in_text_an_unreadable_call_is_a_parse_failure_and_told() -> None:
    broken = ScriptedTurn(say='<tool_call>{"name": "put", "arguments": {"item"</tool_call>')
    made, (_, second) = await attempt(broken, DONE, how=options(text=True))
    assert (faults(made), made.parse_failures) == (["invalid_json"], 1)
    assert "not a JSON object" in second.messages[-1].content


async def test_in_text_a_reply_of_a_thousand_calls_is_cut() -> None:
    many = "".join(
        f'<tool_call>{{"name": "put", "arguments": {{"item": "i{n}"}}}}</tool_call>'
        for n in range(500)
    )
    made, _ = await attempt(ScriptedTurn(say=many), DONE, how=options(text=True))
    assert len(made.tool_runs) == 32


@pytest.mark.parametrize("text", [False, True])
async def test_thinking_is_kept_in_the_record_and_not_sent_back(*, text: bool) -> None:
    said = '<tool_call>{"name": "look"}</tool_call>' if text else ""
    thinks = ScriptedTurn(say=said, think="Hm.", call="" if text else "look")
    made, (_, second) = await attempt(thinks, DONE, how=options(text=text))
    assert made.turns[0].message.reasoning == "Hm."
    assert all(not message.reasoning for message in second.messages)


async def test_a_forced_first_call_is_free_afterwards() -> None:
    _, requests = await attempt(PUT_LAMP, DONE, sample=replace(SHELF, tool_choice="required"))
    assert [request.tool_choice for request in requests] == ["required", "auto"]
