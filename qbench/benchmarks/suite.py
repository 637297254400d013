"""Suite, Task, Sample, Score: what is asked and how an answer is judged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from msgspec import Struct

from qbench.benchmarks.chat import Message, ToolChoice, ToolSpec
from qbench.benchmarks.transcript import Transcript


class ReferenceCall(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool call of the reference solution."""

    name: str
    arguments: dict[str, Any]


class FollowUp(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the user says once the model has answered."""

    prompt: str
    tools: tuple[str, ...] = ()
    """Names of tools that are offered from then on, beside those before."""


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One seeded instance of a task; self-contained, so that it can be stored and re-scored."""

    id: str
    """Suite, task, level, number and a digest of the content: equal ids mean equal samples."""
    suite: str
    task: str
    """For example ``calendar``."""
    level: int
    """1 (one obvious call) to 5 (many steps, distractors, errors to recover from)."""
    family: str
    """Samples made from one template share a family; intervals cluster by it."""
    prompt: str
    system: str = ""
    examples: tuple[Message, ...] = ()
    """Worked examples shown before the prompt (the same for all samples of a task and level)."""
    tools: tuple[str, ...] = ()
    """Names of the tools offered first, distractors included."""
    follow_ups: tuple[FollowUp, ...] = ()
    tool_choice: ToolChoice = "auto"
    """For the first turn; later turns are ``auto``."""
    one_reply: bool = False
    """The first reply is the answer, calls included: nothing is asked after it."""
    any_arguments: bool = False
    """Arguments that do not fit a tool's schema are handed to it all the same, not refused."""
    max_calls: int = 0
    """Most tool calls before the model must answer; 0 means no limit of the sample's own."""
    world: str = ""
    """Name of the world behind the tools; empty for none."""
    start_state: dict[str, Any] = {}
    end_state: dict[str, Any] | None = None
    """The state a right solution leaves."""
    answer: str | None = None
    """The right final answer; None when only the end state counts."""
    reference: tuple[ReferenceCall, ...] = ()
    """A shortest known solution; empty where the right move is to call nothing."""
    details: dict[str, Any] = {}
    """JSON facts of the suite's own that its environment or scorer reads: tests, a grader."""
    canary: str = ""
    """Mark of a set that must not leak: such a sample is never written to logs in full."""

    @property
    def every_tool(self) -> tuple[str, ...]:
        """Names of all tools, those of the follow-ups included, in the order of their offer."""
        later = (name for one in self.follow_ups for name in one.tools)
        return tuple(dict.fromkeys((*self.tools, *later)))


class Score(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The verdict on one attempt."""

    status: Literal["scored", "unscored"]
    """``unscored`` is a value, not a zero: the check could not decide."""
    value: float = 0.0
    """0 to 1."""
    passed: bool = False
    reason: str = ""
    """One sentence: why it failed, empty when it passed."""
    components: dict[str, float] = {}
    """Named parts: tool decisions and MCP-RADAR dimensions; a part that has no meaning for
    this attempt is absent, never zero."""
    scorer: str = ""
    """Name and version of the check, for example ``mcp/1``."""


class ToolResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tool answered."""

    text: str
    is_error: bool = False


class ToolBox(Protocol):
    """The tools of one attempt, backed by that attempt's own world."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools, in a fixed order; those of ``Sample.follow_ups`` too."""
        ...

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a tool. Raises ToolServerError when the server hangs or dies."""
        ...

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Read the world as it is now, or what ``answer`` did when it was executed.

        Raises ToolServerError.
        """
        ...


class Environment(Protocol):
    """The servers of a suite, alive for a whole run and shared by its attempts."""

    def open(self, sample: Sample) -> AbstractAsyncContextManager[ToolBox]:
        """Lease a fresh world for one attempt."""
        ...


class Suite(Protocol):
    """A named family of tasks."""

    name: str
    version: str
    tasks: tuple[str, ...]
    """Asked where the suite is named alone."""
    further_tasks: tuple[str, ...]
    """Asked only where they are named: dear ones, or the same requests in another setting."""
    levels: tuple[int, ...]
    description: str
    license: str
    """Of the questions: an SPDX name, or ``own`` for what qbench makes itself."""
    generated: bool
    """Drawn from a seed without end; False for a finite set of data."""
    tokens: int
    """Most tokens of one attempt, prompts and replies of all its calls, where the user sets none:
    above what a right way of working takes, so that the limit stops only a model that is lost."""

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Draw at most ``limit`` samples spread evenly over ``tasks`` and ``levels``.

        The same arguments give the same samples on any machine; a larger limit extends a
        smaller one. A finite suite may have fewer; ``seed`` then says which come first.

        Raises:
            ConfigError: what the suite needs is not installed; the hint says how to get it.

        """
        ...

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Start what the tools need, for at most ``slots`` attempts at a time."""
        ...

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge an attempt: pure, calls no model and no server."""
        ...

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Return assistant messages, one for each model call, that pass."""
        ...

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Return assistant messages that look like an answer and must fail."""
        ...
