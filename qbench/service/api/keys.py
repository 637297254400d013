"""``/v1/keys``, ``/v1/audit``, ``/v1/me``: who may do what, and who did what."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from msgspec import Struct

from qbench.errors import ConfigError
from qbench.service.access import ApiKey, AuditEntry, Scope
from qbench.service.api.deps import Admin, Reader, StoreDep
from qbench.service.keys import KeyOrder, issue, revoke
from qbench.service.reports.values import SCHEMA, to_json

router = APIRouter(prefix="/v1", tags=["access"])


class Keys(Struct, frozen=True, kw_only=True):
    """All keys, oldest first."""

    keys: tuple[ApiKey, ...]
    schema: int = SCHEMA


class NewKey(Struct, frozen=True, kw_only=True):
    """A key that was just made; ``secret`` is shown this once."""

    secret: str
    key: ApiKey
    schema: int = SCHEMA


class Ended(Struct, frozen=True, kw_only=True):
    """A key that no longer works; within 5 s in every process."""

    id: str
    before: bool
    """It had been revoked before."""
    schema: int = SCHEMA


class Audit(Struct, frozen=True, kw_only=True):
    """Who did what, newest first."""

    entries: list[AuditEntry]
    before: int | None
    """Ask with this for the older ones; None: there are none."""
    schema: int = SCHEMA


class Me(Struct, frozen=True, kw_only=True):
    """Who asks."""

    name: str
    scopes: tuple[Scope, ...]
    key: ApiKey | None
    """None on the open service of one machine."""
    budget_left: str | None
    """Dollars; None: not limited."""
    schema: int = SCHEMA


async def _body(request: Request) -> bytes:
    return await request.body()


@router.get("/keys")
def list_keys(_caller: Admin, store: StoreDep) -> Response:
    """List the keys, also those that ended."""
    return _json(Keys(keys=store.keys()))


@router.post("/keys", status_code=201)
def make_key(caller: Admin, store: StoreDep, body: Annotated[bytes, Depends(_body)]) -> Response:
    """Make a key. The answer holds it, and nothing does afterwards."""
    try:
        order = msgspec.json.decode(body, type=KeyOrder)
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"Cannot read the key that is asked for: {error}.",
            hint='Send JSON like {"name": "ci", "scope": "run", "budget": "5"}.',
        ) from None
    issued = issue(store, order, caller)
    return _json(NewKey(secret=issued.secret, key=issued.key), status=201)


@router.delete("/keys/{key_id}")
def end_key(key_id: str, caller: Admin, store: StoreDep) -> Response:
    """Revoke a key."""
    return _json(Ended(id=key_id, before=not revoke(store, key_id, caller)))


@router.get("/audit")
def read_audit(
    _caller: Admin,
    store: StoreDep,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Return the audit, newest first."""
    entries = store.audit_entries(before, limit)
    return _json(Audit(entries=entries, before=entries[-1].id if len(entries) == limit else None))


@router.get("/me")
def me(caller: Reader, store: StoreDep) -> Response:
    """Say who asks and what may still be spent."""
    key = store.api_key(caller.key_id) if caller.key_id else None
    left = key.left if key else None
    shown = None if left is None else format(left, "f")
    return _json(Me(name=caller.name, scopes=caller.scopes, key=key, budget_left=shown))


def _json(value: Any, status: int = 200) -> Response:
    """Answer with ``value``; keys and rights are not for caches."""
    headers = {"Cache-Control": "no-store"}
    return Response(to_json(value), status, headers, media_type="application/json")
