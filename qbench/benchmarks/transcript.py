"""What was said and done in one attempt: enough to score it again without any model."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from qbench.benchmarks.chat import Message, TokenUsage, Turn

Stop = Literal["answered", "turns", "tokens", "time", "cost", "calls", "length", "empty"]
"""Why the loop ended: the model answered, a limit was hit, ``length`` for a reply cut at
max_tokens, ``empty`` for a reply with neither text nor a call."""

CallFault = Literal[
    "", "unknown_tool", "invalid_json", "invalid_arguments", "tool_error", "refused"
]
"""What was wrong with a tool call: the model's fault, or an error the tool answered with.
``refused``: not run, because it repeated the calls before it or passed the call limit."""


class ToolRun(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One tool call and what came of it."""

    turn: int
    """Index into ``Transcript.turns`` of the model call that asked for it."""
    call_id: str
    name: str
    """As the model wrote it; empty when no name could be read."""
    arguments: dict[str, Any] | None
    """Parsed arguments; None when they were not a JSON object."""
    result: str = ""
    """Text given back to the model."""
    fault: CallFault = ""
    seconds: float = 0.0


class Transcript(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole of one attempt, append-only while it runs and frozen when it ends."""

    messages: tuple[Message, ...]
    """In order, from the system message to the last reply; tool results included."""
    turns: tuple[Turn, ...]
    """Model calls in order, with usage and timing; their messages are also in ``messages``."""
    tool_runs: tuple[ToolRun, ...] = ()
    answer: str = ""
    """The final text, thinking removed."""
    stop: Stop = "answered"
    end_state: dict[str, Any] | None = None
    """The world after the last call; None for a sample without a world."""
    parse_failures: int = 0
    """Replies in which a tool call was attempted but could not be read."""
    seconds: float = 0.0
    """Wall time of the whole attempt."""

    @property
    def usage(self) -> TokenUsage | None:
        """Tokens of all calls; None when any call reported none."""
        parts = [turn.usage for turn in self.turns]
        known = [part for part in parts if part is not None]
        return sum(known, TokenUsage()) if len(known) == len(parts) else None

    @property
    def written(self) -> str:
        """Everything the model wrote, in order: thinking, text, and calls as it wrote them."""
        return "\n".join(
            part
            for turn in self.turns
            for part in (
                turn.message.reasoning,
                turn.message.content,
                *(f"{call.name}({call.arguments})" for call in turn.message.tool_calls),
            )
            if part
        )

    @property
    def truncated(self) -> bool:
        """Whether a reply was cut at ``max_tokens`` or a limit ended the attempt."""
        return self.stop not in ("answered", "empty")
