"""Keys of the service: how they are made, what is kept of them, how one is issued and ended.

A key is ``qb_`` and 43 url-safe characters: 256 random bits. Only its SHA-256 is kept. A slow
hash such as bcrypt protects passwords that people choose, of which an attacker tries the likely
ones; among 2**256 equally likely keys there are no likely ones, so a fast digest is as safe, can
be looked up by an index, and costs the service nothing for each request. Finding a row by its
digest also compares nothing byte by byte with the key itself, so time tells nothing about it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from qbench.errors import ConfigError
from qbench.service.access import Account, ApiKey, AuditEntry, Caller, Scope
from qbench.service.domain import new_id
from qbench.service.store import Store

PREFIX = "qb_"
SHAPE = re.compile(r"qb_[A-Za-z0-9_-]{43}")
HINT = 7
"""Characters of a key that people see afterwards: the prefix and 24 of its 256 bits."""

AGES = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class KeyOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key somebody asks for."""

    name: str
    account: str = ""
    """Whose key; empty: an account named as the key. Made when there is none."""
    scope: Scope = "read"
    budget: Decimal | None = None
    """Dollars."""
    per_minute: int | None = None
    expires_at: datetime | None = None


class Issued(Struct, frozen=True, kw_only=True):
    """A new key. The only value that holds the secret; it is shown once and not kept."""

    secret: str
    key: ApiKey


def draw() -> str:
    """Make a new secret."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Return the 64 hex digits that are kept of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def issue(store: Store, order: KeyOrder, by: Caller) -> Issued:
    """Make a key and audit it.

    Raises:
        ConfigError: an empty name, or a budget, rate or end that no request could meet.

    """
    now = datetime.now(UTC)
    _check(order, now)
    owner = order.account or order.name
    account = store.create_account(Account(id=new_id(), name=owner, created_at=now))
    secret = draw()
    key = ApiKey(
        id=new_id(),
        account_id=account.id,
        account=account.name,
        name=order.name,
        hint=secret[:HINT],
        scopes=(order.scope,),
        budget=order.budget,
        per_minute=order.per_minute,
        created_at=now,
        expires_at=order.expires_at,
    )
    detail = {"name": key.name, "account": key.account, "scope": order.scope, "hint": key.hint}
    detail["budget"] = str(order.budget)
    store.create_key(key, digest_of(secret), [entry_of(by, "key.create", key.id, detail)])
    return Issued(secret=secret, key=key)


def revoke(store: Store, key_id: str, by: Caller) -> bool:
    """End a key and audit it; False when it was revoked before. Raises NotFound."""
    entry = entry_of(by, "key.revoke", key_id)
    return store.revoke_key(key_id, entry.at, [entry])


def entry_of(
    caller: Caller, act: str, target: str, detail: dict[str, Any] | None = None
) -> AuditEntry:
    """Make the audit entry for what ``caller`` does now."""
    return AuditEntry(
        at=datetime.now(UTC),
        account_id=caller.account_id,
        key_id=caller.key_id,
        act=act,
        target=target,
        detail=detail or {},
        address=caller.address,
    )


def audited(
    store: Store, caller: Caller, act: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    """Write down that ``caller`` did ``act`` (``run.submit``) to ``target`` (an id)."""
    store.audit(entry_of(caller, act, target, detail))


def moment_of(text: str, now: datetime) -> datetime | None:
    """Read when a key ends: ``30d``, ``12h``, ``2w``, or a date; empty: never. Raises ConfigError.

    A date or time without a zone is UTC.
    """
    if not text:
        return None
    age = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if age:
        return now + timedelta(**{AGES[age[2]]: int(age[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"Cannot read a time from {text!r}.", hint="Write 30d, 12h, 2w or 2027-01-31."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check(order: KeyOrder, now: datetime) -> None:
    if not order.name.strip() or len(order.name) > 100 or len(order.account) > 100:
        raise ConfigError(
            "A key's name and account have 1 to 100 characters.", hint="Name it for its user."
        )
    if order.budget is not None and not (order.budget.is_finite() and order.budget > 0):
        raise ConfigError(
            f"A budget of {order.budget} allows nothing.", hint="Give dollars above zero, or none."
        )
    if order.per_minute is not None and order.per_minute < 1:
        raise ConfigError(
            f"{order.per_minute} requests a minute allow nothing.", hint="Give 1 or more, or none."
        )
    _check_end(order.expires_at, now)


def _check_end(end: datetime | None, now: datetime) -> None:
    if end is None:
        return
    if end.tzinfo is None:
        raise ConfigError(f"{end} has no time zone.", hint="Write it as 2027-01-31T00:00:00Z.")
    if end <= now:
        raise ConfigError(
            f"The key would end in the past, at {end:%Y-%m-%d %H:%M}.", hint="Give a later time."
        )
