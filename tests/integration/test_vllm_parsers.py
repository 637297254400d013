"""The names of parsers against those that the real vLLM registers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from qbench.workers.engines.vllm_environment import VllmEnvironment, find_vllm
from qbench.workers.engines.vllm_parsers import REASONING_PARSERS, TOOL_PARSERS

LIST = """
import json
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
managers = (ToolParserManager, ReasoningParserManager)
print(json.dumps([sorted(manager.list_registered()) for manager in managers]))
"""


@pytest.mark.skipif(
    not (os.environ.get("QBENCH_VLLM") and find_vllm()),
    reason="QBENCH_VLLM does not name a vLLM executable or environment",
)
def test_every_parser_that_a_family_gets_is_registered() -> None:
    environment = VllmEnvironment(find_vllm())
    python = Path(environment.program[0]).parent / "python"
    told = {**os.environ, "VLLM_TARGET_DEVICE": "cpu"}
    done = subprocess.run(
        [str(python), "-c", LIST], env=told, capture_output=True, text=True, check=True
    )
    tools, thinking = json.loads(done.stdout.splitlines()[-1])
    assert {parser for _, parser in TOOL_PARSERS} <= set(tools)
    assert {parser for _, parser in REASONING_PARSERS if parser} <= set(thinking)
