from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.chat import ChatRequest, Message, Turn
from qbench.errors import ConfigError, EngineReplyInvalid, EngineTimeout, EngineUnavailable
from qbench.service.domain import System
from qbench.workers.engines import load_engine
from qbench.workers.engines.behaviours import FAULTS
from qbench.workers.engines.scripted import FAULT_ERRORS, ScriptedEngine


def system(format_name: str = "fp8", **options: Any) -> System:
    return System(model="fake/model", format=format_name, engine="scripted", options=options)


def ask(prompt: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=prompt),))


async def reply(told: System, prompt: str = "2 + 2", *, concurrency: int = 4) -> Turn:
    async with ScriptedEngine().serve(told, concurrency=concurrency, say=print) as serving:
        return await serving.chat.reply(ask(prompt))


def test_the_table_of_engines_finds_it() -> None:
    assert isinstance(load_engine("scripted"), ScriptedEngine)


async def test_a_reply_has_text_usage_timing_and_no_hardware() -> None:
    async with ScriptedEngine().serve(system(accuracy=1.0), concurrency=4, say=print) as serving:
        turn = await serving.chat.reply(ask("2 + 2"))
        seconds = await serving.seconds()
    assert turn.message.content == "4"
    assert turn.finish_reason == "stop"
    assert turn.usage is not None
    assert turn.raw_usage == {
        "prompt_tokens": turn.usage.prompt_tokens,
        "completion_tokens": turn.usage.completion_tokens,
    }
    assert turn.timing.e2el_s >= 0
    assert 0 < seconds.busy < seconds.busy + seconds.idle
    assert serving.endpoint.hardware == ""
    assert serving.endpoint.format_requested == "fp8"
    assert serving.endpoint.engine_key == system(accuracy=1.0).engine_key


async def test_accuracy_is_a_matter_of_format() -> None:
    by_format = {"bf16": 1.0, "w4a16": 0.0, "*": 1.0}
    assert (await reply(system("bf16", accuracy=by_format))).message.content == "4"
    assert (await reply(system("w4a16", accuracy=by_format))).message.content != "4"
    assert (await reply(system("nvfp4", accuracy=by_format))).message.content == "4"


async def test_a_script_may_be_given_in_place_or_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text('"*":\n  - {call: add, arguments: {a: 1}, prompt_tokens: 9}\n')
    turn = await reply(system(script=str(path)))
    assert turn.message.tool_calls[0].arguments == '{"a":1}'
    assert turn.finish_reason == "tool_calls"
    assert turn.usage is not None
    assert turn.usage.prompt_tokens == 9
    assert (await reply(system(script={"*": [{"say": "hi"}]}))).message.content == "hi"


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "hang"])
async def test_faults_are_infrastructure_errors_after_retries(fault: str) -> None:
    with pytest.raises((EngineUnavailable, EngineTimeout, EngineReplyInvalid), match=fault) as told:
        await reply(system(faults={fault: 1.0}))
    assert type(told.value) is FAULT_ERRORS[fault]  # type: ignore[index]  # a name from FAULTS


async def test_a_hang_lasts_until_it_is_cancelled_and_frees_its_place() -> None:
    async with ScriptedEngine().serve(
        system(script={"stop": [{"fault": "hang"}], "*": [{"say": "hi"}]}), concurrency=1, say=print
    ) as serving:
        stuck = asyncio.create_task(serving.chat.reply(ask("stop")))
        waiting = asyncio.create_task(serving.chat.reply(ask("go")))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not stuck.done()
        assert not waiting.done()
        stuck.cancel()
        assert (await waiting).message.content == "hi"


async def test_latencies_asked_for_are_those_reported() -> None:
    turn = await reply(system(script={"*": [{"say": "x", "completion_tokens": 3}]}, ttft_s=0.01))
    assert turn.timing.ttft_s == 0.01
    assert turn.timing.e2el_s >= 0.01


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"skript": "sum"}, "skript"),
        ({"script": "summ"}, "Did you mean sum"),
        ({"accuracy": "high"}, "accuracy"),
        ({"accuracy": 80}, "<= 1"),
        ({"accuracy": {"fp8": -0.1}}, ">= 0"),
        ({"ttft_s": -1.0}, ">= 0"),
        ({"faults": {"rain": 1.0}}, "rain"),
        ({"script": {"hi": []}}, "no turns"),
    ],
)
async def test_wrong_options_are_refused_before_anything_starts(
    options: dict[str, Any], said: str
) -> None:
    wrong = system(**options)
    assert said in ScriptedEngine().refuse(wrong)
    with pytest.raises(ConfigError, match=said):
        await reply(wrong)


def test_right_options_are_not_refused() -> None:
    assert ScriptedEngine().refuse(system()) == ""
