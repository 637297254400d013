"""Gateway calls: each with its costs under its key, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import msgspec
from sqlalchemy import func, insert, select, update

from qbench.benchmarks.chat import TokenUsage
from qbench.service.domain import Endpoint, EngineSeconds, LedgerLine
from qbench.service.gateway.calls import GatewayCall, KeyUsage
from qbench.service.store.accounts import add_spent
from qbench.service.store.ledger import DIGITS, NOTHING, insert_lines, line_of
from qbench.service.store.sessions import endpoint_of
from qbench.service.store.shelf import Shelf, clock
from qbench.service.tables import ENDPOINT, GATEWAY_CALL, LEDGER

MUTE = timedelta(minutes=2)
"""Silence after which a gateway counts as dead; longer than clocks disagree."""

SAME = (
    "id",
    "key_id",
    "model",
    "endpoint_id",
    "started_at",
    "e2el_s",
    "ttft_s",
    "busy_s",
    "status",
    "error",
    "finish_reason",
)


class Calls(Shelf):
    """What went through the gateway."""

    def save_call(self, call: GatewayCall, lines: Sequence[LedgerLine]) -> None:
        """Write a call, its ledger lines and what its key has spent: all or nothing."""
        values: dict[str, Any] = {name: getattr(call, name) for name in SAME}
        usage = call.usage
        values |= {
            "prompt_tokens": usage.prompt_tokens if usage else None,
            "cached_tokens": usage.cached_tokens if usage else None,
            "completion_tokens": usage.completion_tokens if usage else None,
            "raw_usage": msgspec.json.encode(call.raw_usage),
        }
        with self.writing() as tx:
            tx.execute(insert(GATEWAY_CALL), [values])
            insert_lines(tx, [(None, line) for line in lines])
            spent = sum((line.dollars for line in lines if line.dollars), NOTHING)
            if call.key_id is not None and spent:
                add_spent(tx, call.key_id, spent)

    def calls(self, *, key_id: str | None = None, limit: int = 50) -> tuple[GatewayCall, ...]:
        """List the newest calls first, of one key or of all."""
        query = select(GATEWAY_CALL).order_by(GATEWAY_CALL.c.id.desc()).limit(limit)
        if key_id is not None:
            query = query.where(GATEWAY_CALL.c.key_id == key_id)
        with self.reading() as view:
            return tuple(_call(row) for row in view.execute(query).mappings())

    def usage(self, key_id: str | None = None) -> tuple[KeyUsage, ...]:
        """Add calls up by key and model; of one key or of all."""
        call = GATEWAY_CALL.c
        query = select(
            call.key_id,
            call.model,
            func.count().label("calls"),
            func.count().filter(call.status >= 400).label("failed"),
            func.coalesce(func.sum(call.prompt_tokens), 0).label("prompt_tokens"),
            func.coalesce(func.sum(call.completion_tokens), 0).label("completion_tokens"),
        ).group_by(call.key_id, call.model)
        lines = (
            select(call.key_id, call.model, LEDGER.c.dollars)
            .join(LEDGER, LEDGER.c.call_id == call.id)
            .where(LEDGER.c.basis.in_(("api", "saturated")))
        )
        if key_id is not None:
            query, lines = query.where(call.key_id == key_id), lines.where(call.key_id == key_id)
        money: dict[tuple[str | None, str], list[Decimal | None]] = {}
        with self.reading() as view:
            for row in view.execute(lines):
                money.setdefault((row.key_id, row.model), []).append(row.dollars)
            rows = view.execute(query.order_by(call.key_id, call.model)).mappings().all()
        return tuple(
            _usage(dict(row), money.get((row["key_id"], row["model"]), [])) for row in rows
        )

    def gateway_lines(self) -> tuple[LedgerLine, ...]:
        """Return the lines that no run pays for, oldest first."""
        query = select(LEDGER).where(LEDGER.c.run_id.is_(None)).order_by(LEDGER.c.id)
        with self.reading() as view:
            return tuple(line_of(row) for row in view.execute(query).mappings())

    def idle_sessions(self) -> tuple[Endpoint, ...]:
        """Return the gateway's engine sessions that nobody ended; they end at their last beat."""
        query = select(ENDPOINT).where(ENDPOINT.c.run_id.is_(None), ENDPOINT.c.stopped_at.is_(None))
        with self.reading() as view:
            rows = view.execute(query.where(ENDPOINT.c.touched_at < clock(view) - MUTE)).all()
        return tuple(endpoint_of(row, stopped_at=row.touched_at) for row in rows)

    def end_session(
        self, endpoint_id: str, seconds: EngineSeconds, at: datetime, lines: Sequence[LedgerLine]
    ) -> bool:
        """End an engine session of the gateway and book its bill once; True for who ended it."""
        values = {"seconds": msgspec.json.encode(seconds), "touched_at": at, "stopped_at": at}
        mine = (ENDPOINT.c.id == endpoint_id) & ENDPOINT.c.stopped_at.is_(None)
        with self.writing() as tx:
            if not tx.execute(update(ENDPOINT).where(mine).values(values)).rowcount:
                return False
            insert_lines(tx, [(None, line) for line in lines])
            return True


def _usage(row: dict[str, Any], dollars: Sequence[Decimal | None]) -> KeyUsage:
    known = [amount for amount in dollars if amount is not None]
    with localcontext(prec=DIGITS):
        total = str(sum(known, NOTHING)) if known else None
    return KeyUsage(**row, dollars=total, unpriced=len(dollars) - len(known))


def _call(row: Any) -> GatewayCall:
    usage = None
    if row["prompt_tokens"] is not None or row["completion_tokens"] is not None:
        usage = TokenUsage(
            prompt_tokens=row["prompt_tokens"] or 0,
            cached_tokens=row["cached_tokens"] or 0,
            completion_tokens=row["completion_tokens"] or 0,
        )
    raw = msgspec.json.decode(row["raw_usage"])
    return GatewayCall(**{name: row[name] for name in SAME}, usage=usage, raw_usage=raw)
