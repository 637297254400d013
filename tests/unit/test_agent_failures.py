from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from qbench.benchmarks.agent.loop import AgentOptions, AttemptFailed, run_attempt
from qbench.benchmarks.chat import Chat, ToolSpec
from qbench.benchmarks.limits import Limits
from qbench.benchmarks.suite import Sample, ToolBox, ToolResult
from qbench.errors import EngineUnavailable, ToolServerError
from qbench.workers.engines.behaviours import Script, ScriptedTurn
from qbench.workers.engines.scripted import ScriptedChat

SAMPLE = Sample(
    id="s", suite="toy", task="t", level=1, family="f", prompt="Look.", tools=("look",), world="w"
)
LOOK = ToolSpec(name="look", description="See.", parameters={"type": "object"})


def scripted(*turns: ScriptedTurn) -> ScriptedChat:
    return ScriptedChat(Script({"*": turns}))


class Tools:
    """Tools whose server fails, or never answers."""

    specs = (LOOK,)

    def __init__(self, *, hangs: bool = False, dies: bool = False) -> None:
        self._hangs, self._dies = hangs, dies

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        del name, arguments
        if self._hangs:
            await asyncio.get_running_loop().create_future()
        if self._dies:
            raise ToolServerError("The server died.", hint="Mend it.")
        return ToolResult(text="a lamp")

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        del answer
        raise ToolServerError("The server died.", hint="Mend it.")


@asynccontextmanager
async def failing(chat: Chat, tools: ToolBox, **limits: Any) -> AsyncIterator[AttemptFailed]:
    with pytest.raises(AttemptFailed) as caught:
        await run_attempt(SAMPLE, chat, tools, AgentOptions(limits=Limits(**limits)))
    yield caught.value


async def test_an_engine_that_fails_leaves_the_transcript_so_far() -> None:
    chat = scripted(ScriptedTurn(call="look"), ScriptedTurn(fault="http_500"))
    async with failing(chat, Tools()) as failed:
        assert isinstance(failed.cause, EngineUnavailable)
        assert len(failed.transcript.turns) == 1
        assert [run.result for run in failed.transcript.tool_runs] == ["a lamp"]
        assert failed.transcript.messages[-1].role == "tool"


async def test_a_tool_server_that_fails_in_a_call_leaves_the_transcript_so_far() -> None:
    async with failing(scripted(ScriptedTurn(call="look")), Tools(dies=True)) as failed:
        assert isinstance(failed.cause, ToolServerError)
        assert failed.what == "The server died."
        assert len(failed.transcript.turns) == 1
        assert failed.transcript.tool_runs == ()


async def test_a_tool_server_that_fails_at_the_end_state_leaves_the_answer() -> None:
    async with failing(scripted(ScriptedTurn(say="Done.")), Tools()) as failed:
        assert failed.transcript.answer == "Done."


async def test_a_tool_that_never_answers_is_infrastructure() -> None:
    chat, tools = scripted(ScriptedTurn(call="look")), Tools(hangs=True)
    async with failing(chat, tools, call_seconds=0.02) as failed:
        assert "did not answer within 0.02 s" in failed.what
