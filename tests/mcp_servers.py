"""The third-party MCP servers for tests: installed once a machine, outside the checkout."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec
import pytest

from qbench.benchmarks.chat import Message
from qbench.benchmarks.data import fetch, origin_of
from qbench.benchmarks.suite import Environment, Sample
from qbench.benchmarks.suites.mcp_servers import getting
from qbench.benchmarks.transcript import ToolRun, Transcript
from qbench.errors import ConfigError


def installed_servers() -> Path:
    """Return a data folder that holds the servers, installing them the first time; or skip."""
    top = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(top) / "qbench-tests" / f"servers-{getting.pinned()}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setenv("QBENCH_DATA", str(folder))
        try:
            if origin_of("mcp-servers") is None:
                fetch("mcp-servers", getting.get, "", lambda _line: None)
        except ConfigError as error:
            pytest.skip(f"the servers cannot be installed here: {error}")
    return folder


async def said(
    environment: Environment, sample: Sample, messages: tuple[Message, ...]
) -> Transcript:
    """Let the tools of ``sample`` run what ``messages`` call, as the agent loop would."""
    runs: list[ToolRun] = []
    async with environment.open(sample) as tools:
        for turn, message in enumerate(messages):
            for call in message.tool_calls:
                arguments = msgspec.json.decode(call.arguments)
                result = await tools.call(call.name, arguments)
                runs.append(
                    ToolRun(
                        turn=turn,
                        call_id=call.id,
                        name=call.name,
                        arguments=arguments,
                        result=result.text,
                        fault="tool_error" if result.is_error else "",
                    )
                )
        state = await tools.end_state(messages[-1].content)
    return Transcript(
        messages=messages,
        turns=(),
        tool_runs=tuple(runs),
        answer=messages[-1].content,
        end_state=state,
    )
