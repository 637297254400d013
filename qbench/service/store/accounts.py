"""Accounts, their keys, and who did what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from qbench.errors import NotFound
from qbench.service.access import Account, ApiKey, AuditEntry, Scope
from qbench.service.store.ledger import DIGITS
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ACCOUNT, API_KEY, AUDIT

TOUCH_S = 60
"""Seconds between two notes of a key's use: a write for each request would be the bottleneck."""

SAME = ("id", "account_id", "name", "hint", "budget", "spent", "per_minute")
TIMES = ("created_at", "expires_at", "revoked_at", "used_at")


class Accounts(Shelf):
    """Who may use the service."""

    def create_account(self, account: Account) -> Account:
        """Write an account down; one of the same name is returned instead of made twice."""
        values = msgspec.structs.asdict(account)
        named = select(ACCOUNT).where(ACCOUNT.c.name == account.name)
        with self.writing() as tx:
            make = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
            tx.execute(make(ACCOUNT).values(values).on_conflict_do_nothing())
            return _account(tx.execute(named).one())

    def accounts(self) -> tuple[Account, ...]:
        """Return all accounts by name."""
        with self.reading() as view:
            rows = view.execute(select(ACCOUNT).order_by(ACCOUNT.c.name)).all()
        return tuple(_account(row) for row in rows)

    def create_key(self, key: ApiKey, digest: str, entries: Sequence[AuditEntry] = ()) -> None:
        """Write a key's digest and rights with what the audit says about it, both or neither."""
        values: dict[str, Any] = {name: getattr(key, name) for name in (*SAME, *TIMES)}
        values |= {"digest": digest, "scopes": ",".join(key.scopes)}
        with self.writing() as tx:
            tx.execute(insert(API_KEY), [values])
            insert_audit(tx, entries)

    def keys(self) -> tuple[ApiKey, ...]:
        """Return all keys, oldest first, also those that ended."""
        with self.reading() as view:
            rows = view.execute(_keys().order_by(API_KEY.c.id)).all()
        return tuple(_key(row) for row in rows)

    def has_keys(self) -> bool:
        """Say whether a key was ever made: the service does not open again when all ended."""
        with self.reading() as view:
            return view.execute(select(API_KEY.c.id).limit(1)).first() is not None

    def api_key(self, key_id: str) -> ApiKey:
        """Return a key as it is now. Raises NotFound."""
        with self.reading() as view:
            row = view.execute(_keys().where(API_KEY.c.id == key_id)).first()
            if row is not None:
                return _key(row)
            known = view.execute(select(API_KEY.c.id).limit(200)).scalars().all()
        raise _unknown(key_id, known)

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """Return the key with this SHA-256 digest, also one that ended; None when there is none."""
        with self.reading() as view:
            row = view.execute(_keys().where(API_KEY.c.digest == digest)).first()
        return None if row is None else _key(row)

    def revoke_key(self, key_id: str, at: datetime, entries: Sequence[AuditEntry] = ()) -> bool:
        """End a key, with what the audit says about it; False when it was revoked before.

        Raises:
            NotFound: there is no such key.

        """
        mine = (API_KEY.c.id == key_id) & API_KEY.c.revoked_at.is_(None)
        with self.writing() as tx:
            if tx.execute(update(API_KEY).where(mine).values(revoked_at=at)).rowcount:
                insert_audit(tx, entries)
                return True
        self.api_key(key_id)
        return False

    def touch_key(self, key_id: str, at: datetime) -> bool:
        """Note that a key was used, at most once a minute; True when it was written."""
        stale = or_(
            API_KEY.c.used_at.is_(None), API_KEY.c.used_at <= at - timedelta(seconds=TOUCH_S)
        )
        with self.writing() as tx:
            touch = update(API_KEY).where(API_KEY.c.id == key_id, stale).values(used_at=at)
            return bool(tx.execute(touch).rowcount)

    def audit(self, entry: AuditEntry) -> None:
        """Append what somebody did."""
        with self.writing() as tx:
            insert_audit(tx, [entry])

    def audit_entries(self, before_id: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """Return the newest entries first, those before ``before_id`` when it is given."""
        query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(AUDIT.c.id < before_id)
        with self.reading() as view:
            return [_entry(row) for row in view.execute(query).all()]


def add_spent(tx: Connection, key_id: str, dollars: Decimal) -> Decimal:
    """Add to what a key has spent, inside the caller's transaction; return the exact new sum.

    The row stays locked until the transaction ends, so that two calls of one key cannot lose
    one of their costs.

    Raises:
        NotFound: there is no such key.

    """
    mine = API_KEY.c.id == key_id
    before = tx.execute(select(API_KEY.c.spent).where(mine).with_for_update()).scalar_one_or_none()
    if before is None:
        raise _unknown(key_id, [])
    with localcontext(prec=DIGITS):
        spent: Decimal = before + dollars
    tx.execute(update(API_KEY).where(mine).values(spent=spent))
    return spent


def insert_audit(tx: Connection, entries: Sequence[AuditEntry]) -> None:
    """Append entries inside the caller's transaction."""
    rows = [
        {
            "at": entry.at,
            "account_id": entry.account_id,
            "key_id": entry.key_id,
            "act": entry.act,
            "target": entry.target,
            "detail": msgspec.json.encode(entry.detail),
            "address": entry.address,
        }
        for entry in entries
    ]
    if rows:
        tx.execute(insert(AUDIT), rows)


def _keys() -> Select[Any]:
    joined = API_KEY.join(ACCOUNT, ACCOUNT.c.id == API_KEY.c.account_id)
    return select(API_KEY, ACCOUNT.c.name.label("account")).select_from(joined)


def _unknown(key_id: str, known: Sequence[str]) -> NotFound:
    if known:
        return NotFound.among("key", key_id, known)
    return NotFound(f"There is no key {key_id!r}.", hint="List them with `qbench keys list`.")


def _account(row: Row[Any]) -> Account:
    return Account(id=row.id, name=row.name, created_at=row.created_at)


def _key(row: Row[Any]) -> ApiKey:
    values: dict[str, Any] = {name: getattr(row, name) for name in (*SAME, *TIMES, "account")}
    scopes = msgspec.convert(row.scopes.split(","), tuple[Scope, ...])
    return ApiKey(scopes=scopes, **values)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        account_id=row.account_id,
        key_id=row.key_id,
        act=row.act,
        target=row.target,
        detail=msgspec.json.decode(row.detail),
        address=row.address,
    )
