"""What a model that knows the reference solution would say, message by message."""

from __future__ import annotations

from typing import Any

import msgspec

from qbench.benchmarks.chat import Message, ToolCall
from qbench.benchmarks.suite import Sample

DONE = "Done."
"""The last word where the end state alone counts."""


def called(number: int, name: str, arguments: dict[str, Any]) -> Message:
    """Return the message that makes one call; ``number`` tells its id from others."""
    text = msgspec.json.encode(arguments).decode()
    call = ToolCall(id=f"call_{number}", name=name, arguments=text)
    return Message(role="assistant", tool_calls=(call,))


def played(sample: Sample) -> tuple[Message, ...]:
    """Make the reference's calls, one a message, then give the answer."""
    calls = (called(n, one.name, one.arguments) for n, one in enumerate(sample.reference))
    return (*calls, Message(role="assistant", content=sample.answer or DONE))
