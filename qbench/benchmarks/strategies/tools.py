"""tools: a Python interpreter in the sandbox beside the sample (as PAL, arXiv 2211.10435)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.chat import ToolSpec
from qbench.benchmarks.sandbox.program import Outcome, Program
from qbench.benchmarks.sandbox.running import run
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Strategy
from qbench.benchmarks.suite import Sample, Suite, ToolBox, ToolResult
from qbench.benchmarks.suites.drawing import training_samples
from qbench.errors import ConfigError, ToolServerError

NAME = "python"
PYTHON = ToolSpec(
    name=NAME,
    description="Run a Python program and return what it prints. Nothing is kept between calls.",
    parameters={
        "type": "object",
        "properties": {"code": {"type": "string", "description": "The program; it must print."}},
        "required": ["code"],
    },
)
HINT = (
    "You can run Python code with the tool `python` before you answer. Then give the final answer "
    "alone on the last line, in the form that was asked for."
)
SHOWN = 4000
"""Characters of what a program printed that the model sees."""


class Tools(Single):
    """The way."""

    name = "tools"
    version = "1"
    description = "one answer, with a Python interpreter at hand"

    def runs_code(self, strategy: Strategy) -> bool:
        """Run the model's programs."""
        del strategy
        return True

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse suites whose samples have tools, and limits on calling them."""
        del strategy
        if not suite.generated:
            return ""
        drawn = training_samples(suite, seed=0, limit=len(suite.tasks))
        if any(sample.every_tool for sample in drawn):
            return "its samples have tools of their own"
        return ""

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Ask once, with the interpreter."""
        return (await asking.path(_hinted(asking.sample), wrap=WithPython),)


def _hinted(sample: Sample) -> Sample:
    """Say that there is an interpreter; worked examples that do without are left out."""
    return replace(sample, prompt=f"{sample.prompt}\n\n{HINT}", examples=())


class WithPython:
    """A sample's tools and the interpreter."""

    def __init__(self, tools: ToolBox) -> None:
        self._tools = tools

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The sample's tools, then the interpreter."""
        return (*self._tools.specs, PYTHON)

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a program, or call the sample's tool. Raises ToolServerError."""
        if name != NAME:
            return await self._tools.call(name, arguments)
        try:
            outcome = await run(Program(language="python", source=arguments["code"]))
        except ConfigError as error:
            raise ToolServerError(error.what, hint=error.hint) from error
        return told(outcome)

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Read the sample's own world."""
        return await self._tools.end_state(answer)


def told(outcome: Outcome) -> ToolResult:
    """Tell what a program printed, or how it ended."""
    text = outcome.stdout[:SHOWN]
    if outcome.status == "ok":
        return ToolResult(text=text or "(nothing was printed)")
    why = outcome.stderr[-SHOWN:] or f"stopped: {outcome.status}"
    return ToolResult(text=f"{text}\n{why}".strip(), is_error=True)
