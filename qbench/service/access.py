"""Who asks, and what they may do."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

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


class Account(Struct, frozen=True, kw_only=True):
    """Who uses the service: a person or a program."""

    id: str
    name: str
    created_at: datetime


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key of an account: what it may do, never the key itself nor its digest."""

    id: str
    account_id: str
    account: str
    """The account's name."""
    name: str
    hint: str
    """The key's first characters, for people."""
    scopes: tuple[Scope, ...]
    budget: Decimal | None = None
    """Dollars; None: not limited."""
    spent: Decimal = Decimal(0)
    """Dollars so far."""
    per_minute: int | None = None
    """Requests; None: not limited."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    used_at: datetime | None = None
    """To the minute."""

    def ended(self, now: datetime) -> str:
        """Say why the key is no longer good: ``revoked``, ``expired``, or empty when it is."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else ""

    @property
    def left(self) -> Decimal | None:
        """Dollars that may still be spent, negative when overdrawn; None: not limited."""
        return None if self.budget is None else self.budget - self.spent


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Who did what. Entries are appended, never changed."""

    id: int | None = None
    """Given by the database, ascending."""
    at: datetime
    account_id: str | None = None
    key_id: str | None = None
    act: str
    """For example ``run.submit``."""
    target: str
    """Id of what it was done to."""
    detail: dict[str, Any] = {}
    address: str = ""
    """Where the request came from."""
