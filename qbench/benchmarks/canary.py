"""Questions that must not leak: what stands in logs, traces and exports in their place.

A set whose makers ask for it carries a canary (``Sample.canary``). Its text stays in the database
and goes to the models that are asked; everything that leaves otherwise goes through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from qbench.benchmarks.chat import Message
from qbench.benchmarks.suite import Score


def withheld(canary: str) -> str:
    """Return what stands in place of a text."""
    return f"[withheld: of a set marked {canary}]"


def veiled(value: Any, canary: str) -> Any:
    """Return ``value``; the texts in it, keys aside, are withheld where there is a canary."""
    if not canary:
        return value
    if isinstance(value, str):
        return withheld(canary) if value else value
    if isinstance(value, dict):
        return {key: veiled(part, canary) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [veiled(part, canary) for part in value]
    return value


def veiled_messages(messages: Sequence[Message], canary: str) -> tuple[Message, ...]:
    """Return ``messages`` without their texts and calls where there is a canary."""
    if not canary:
        return tuple(messages)
    return tuple(
        Message(role=one.role, content=veiled(one.content, canary), tool_call_id=one.tool_call_id)
        for one in messages
    )


def veiled_score(score: Score, canary: str) -> Score:
    """Return ``score`` with a reason that quotes nothing: reasons stand in tables and exports."""
    if not canary or not score.reason:
        return score
    return replace(score, reason=f"Not told: of a set marked {canary}.")
