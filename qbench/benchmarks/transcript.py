"""What was said and done in one attempt: enough to score it again without any model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

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
    asked: int = 0
    """Index of the user message that it serves: above 0 after ``Sample.follow_ups``."""


CANDIDATE = "candidate"
"""Role of a path that is a whole answer of its own."""


class Path(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One chain of model calls within an attempt: a candidate, or a step towards the answer."""

    role: str
    """``candidate``, or what else it was for: ``critique``, ``plan``."""
    turns: tuple[int, ...]
    """Indices into ``Transcript.turns``, in order."""
    tool_runs: tuple[int, ...] = ()
    """Indices into ``Transcript.tool_runs``."""
    answer: str = ""
    stop: Stop = "answered"
    end_state: dict[str, Any] | None = None
    states: tuple[dict[str, Any] | None, ...] = ()
    parse_failures: int = 0
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
    states: tuple[dict[str, Any] | None, ...] = ()
    """The world after each of the user's messages but the last, for a sample with follow-ups."""
    parse_failures: int = 0
    """Replies in which a tool call was attempted but could not be read."""
    seconds: float = 0.0
    """Wall time of the whole attempt."""
    paths: tuple[Path, ...] = ()
    """Chains of calls of a strategy that makes more than one; empty where one call chain is all.
    Answer, stop and states above are those of the accepted path."""
    accepted: tuple[int, ...] = ()
    """Indices into ``paths``: those one had to wait for, the one that answers last."""

    @property
    def usage(self) -> TokenUsage | None:
        """Tokens of the system's own calls; None when any of them reported none."""
        return _used(turn for turn in self.turns if not turn.by)

    @property
    def others_usage(self) -> TokenUsage | None:
        """Tokens of the calls that other models answered; None when any reported none."""
        return _used(turn for turn in self.turns if turn.by)

    @property
    def own_calls(self) -> int:
        """Calls that the system's own model answered."""
        return sum(not turn.by for turn in self.turns)

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

    def along(self, *numbers: int) -> Transcript:
        """Return the paths ``numbers`` alone, as if nothing else had been asked.

        What it ends with is the last one's; its turns and tool runs are those of all.
        """
        chosen = [self.paths[number] for number in numbers]
        turns = [turn for path in chosen for turn in path.turns]
        place = {turn: new for new, turn in enumerate(turns)}
        runs = [self.tool_runs[run] for path in chosen for run in path.tool_runs]
        last = chosen[-1]
        return Transcript(
            messages=tuple(self.turns[turn].message for turn in turns),
            turns=tuple(self.turns[turn] for turn in turns),
            tool_runs=tuple(replace(run, turn=place[run.turn]) for run in runs),
            answer=last.answer,
            stop=last.stop,
            end_state=last.end_state,
            states=last.states,
            parse_failures=sum(path.parse_failures for path in chosen),
            seconds=sum(path.seconds for path in chosen),
        )


def _used(turns: Iterable[Turn]) -> TokenUsage | None:
    parts = [turn.usage for turn in turns]
    known = [part for part in parts if part is not None]
    return sum(known, TokenUsage()) if len(known) == len(parts) else None
