"""Who asks, and what they may do."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from qbench.errors import Forbidden

Scope = Literal["read", "run", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "run", "admin")
"""Each includes those before it."""


class Caller(Struct, frozen=True, kw_only=True):
    """Who sent a request."""

    account_id: str | None
    """None on the open service of one machine, which has no keys."""
    name: str
    key_id: str | None = None
    scopes: tuple[Scope, ...] = SCOPES
    address: str = ""

    def must(self, scope: Scope) -> None:
        """Raise Forbidden unless the caller may do what needs ``scope``."""
        if not any(SCOPES.index(mine) >= SCOPES.index(scope) for mine in self.scopes):
            raise Forbidden(
                f"This key may {' and '.join(self.scopes) or 'do nothing'}, not {scope}.",
                hint=f"Ask an administrator for a key with the scope {scope!r}.",
            )


LOCAL = Caller(account_id=None, name="local")
"""Whoever sits at this machine."""
