"""A chat that says what it was told to, so that solutions go through the real agent loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from qbench.benchmarks.agent.loop import AgentOptions, run_attempt
from qbench.benchmarks.chat import ChatRequest, Message, Timing, TokenUsage, Turn
from qbench.benchmarks.suite import Environment, Sample, Score, Suite

SILENT = Message(role="assistant")
"""What is said where nothing is known to say."""


class Playing:
    """Answers each call with the next message; the last one again when there are no more."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = list(messages) or [SILENT]
        self._said = 0

    async def reply(self, request: ChatRequest) -> Turn:
        """Say the next message."""
        del request
        message = self._messages[min(self._said, len(self._messages) - 1)]
        self._said += 1
        return Turn(
            message=message,
            finish_reason="tool_calls" if message.tool_calls else "stop",
            timing=Timing(started_at=datetime.now(UTC), e2el_s=0.0),
            usage=TokenUsage(),
        )


async def played(
    suite: Suite, environment: Environment, sample: Sample, messages: Sequence[Message]
) -> Score:
    """Let ``messages`` be a model's replies to ``sample``, and judge the attempt.

    Raises:
        AttemptFailed: a tool server failed.

    """
    async with environment.open(sample) as tools:
        transcript = await run_attempt(sample, Playing(messages), tools, AgentOptions())
    return suite.score(sample, transcript)
