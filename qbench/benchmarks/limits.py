"""What one attempt may use before it is stopped."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """What one attempt may use; with a strategy that asks along several paths, each of them."""

    turns: int = 40
    """Model calls for each of the user's messages. The longest reference solution of ours takes 35:
    a limit below that would count a right way of working as a failure."""
    tokens: int = 32_768
    """Prompt and completion tokens over all calls."""
    seconds: float = 300.0
    dollars: Decimal | None = None
    """For API models only: local cost is known when the engine stops."""
    call_seconds: float = 30.0
    """One tool call."""
