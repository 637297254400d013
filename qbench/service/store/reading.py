"""Reading results: columns for the analysis, rows for people, everything for export."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Row, func, select

from qbench.benchmarks.transcript import Transcript
from qbench.errors import NotFound
from qbench.service.domain import LedgerLine
from qbench.service.store.ledger import PAID, line_of, paid_of, spent_by_basis
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ATTEMPT, LEDGER, SPENDING, TRANSCRIPT


class AttemptView(Struct, frozen=True, kw_only=True):
    """An attempt in a list, without its transcript."""

    id: str
    system_id: str
    sample_id: str
    epoch: int
    status: str
    passed: bool
    reason: str
    fault: str
    """Kind and message of the infrastructure's failure; empty for none."""
    stop: str
    calls: int
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float
    components: dict[str, float]


class Exported(Struct, frozen=True, kw_only=True):
    """A current attempt of whatever status, as exports for other harnesses need it."""

    id: str
    system_id: str
    sample_id: str
    epoch: int
    status: str
    passed: bool
    value: float | None
    reason: str
    scorer: str
    components: dict[str, float]
    fault_kind: str
    fault_message: str
    seconds: float
    started_at: datetime
    ended_at: datetime


class Reading(Shelf):
    """Queries that only read."""

    def spent(self, run_id: str) -> dict[str, Decimal]:
        """Return exact dollars by basis, superseded attempts included."""
        with self.reading() as view:
            return spent_by_basis(view, run_id)

    def paid(self, run_id: str) -> Decimal:
        """Return what a run has cost so far: calls, and machines for as long as they ran.

        What has no price is not in it: see ``unpriced``.
        """
        return paid_of(self.spent(run_id))

    def unpriced(self, run_id: str) -> int:
        """Count the lines of what a run has to pay (as in ``paid``) whose dollars are unknown."""
        query = select(func.coalesce(func.sum(SPENDING.c.unpriced), 0)).where(
            SPENDING.c.run_id == run_id, SPENDING.c.basis.in_(PAID)
        )
        with self.reading() as view:
            return int(view.execute(query).scalar_one())

    def attempts(
        self,
        run_id: str,
        *,
        system_id: str = "",
        status: str = "",
        passed: bool | None = None,
        after: str = "",
        limit: int = 50,
    ) -> tuple[AttemptView, ...]:
        """List current attempts, newest last, optionally of one system, status or outcome.

        ``after``: those after an attempt in this order.
        """
        query = select(ATTEMPT).where(ATTEMPT.c.run_id == run_id, ATTEMPT.c.superseded_by.is_(None))
        if after:
            query = query.where(ATTEMPT.c.id > after)
        if system_id:
            query = query.where(ATTEMPT.c.system_id == system_id)
        if status:
            query = query.where(ATTEMPT.c.status == status)
        if passed is not None:
            query = query.where(ATTEMPT.c.passed.is_(passed))
        with self.reading() as view:
            rows = view.execute(query.order_by(ATTEMPT.c.id).limit(limit)).all()
        return tuple(_view(row) for row in rows)

    def attempt(self, ref: str) -> AttemptView:
        """Find an attempt by id or the beginning of one. Raises NotFound."""
        query = select(ATTEMPT).where(ATTEMPT.c.id.startswith(ref, autoescape=True)).limit(2)
        with self.reading() as view:
            rows = view.execute(query).all()
        if len(rows) != 1:
            raise NotFound(
                f"{'Several attempts begin' if rows else 'No attempt begins'} with {ref!r}.",
                hint="See `qbench show RUN` for their ids.",
            )
        return _view(rows[0])

    def components(self, run_id: str) -> dict[str, dict[str, tuple[float, int]]]:
        """Add up score components by system: name to (sum, attempts that have it)."""
        query = select(ATTEMPT.c.system_id, ATTEMPT.c.components).where(
            ATTEMPT.c.run_id == run_id,
            ATTEMPT.c.superseded_by.is_(None),
            ATTEMPT.c.status == "scored",
        )
        found: dict[str, dict[str, tuple[float, int]]] = {}
        decode = msgspec.json.Decoder(dict[str, float]).decode
        with self.reading() as view:
            for system_id, body in view.execute(query):
                mine = found.setdefault(system_id, {})
                for name, value in decode(body).items():
                    total, number = mine.get(name, (0.0, 0))
                    mine[name] = (total + value, number + 1)
        return found

    def faults(self, run_id: str) -> dict[str, dict[str, int]]:
        """Count infrastructure failures by system and kind, superseded ones included."""
        query = (
            select(ATTEMPT.c.system_id, ATTEMPT.c.fault_kind, func.count())
            .where(ATTEMPT.c.run_id == run_id, ATTEMPT.c.fault_kind != "")
            .group_by(ATTEMPT.c.system_id, ATTEMPT.c.fault_kind)
        )
        found: dict[str, dict[str, int]] = {}
        with self.reading() as view:
            for system_id, kind, number in view.execute(query):
                found.setdefault(system_id, {})[kind] = number
        return found

    def ledger(self, run_id: str) -> Iterator[LedgerLine]:
        """Yield a run's lines of cost in the order they were written."""
        query = select(LEDGER).where(LEDGER.c.run_id == run_id).order_by(LEDGER.c.id)
        with self.reading() as view:
            for row in view.execute(query).mappings():
                yield line_of(row)

    def exported(self, run_id: str) -> Iterator[tuple[Exported, Transcript]]:
        """Yield the current attempts of a run with what was said in them."""
        names = tuple(name for name in Exported.__struct_fields__ if name != "components")
        columns = (*(ATTEMPT.c[name] for name in names), ATTEMPT.c.components)
        query = (
            select(*columns, TRANSCRIPT.c.body)
            .join(TRANSCRIPT, TRANSCRIPT.c.attempt_id == ATTEMPT.c.id)
            .where(ATTEMPT.c.run_id == run_id, ATTEMPT.c.superseded_by.is_(None))
            .order_by(ATTEMPT.c.id)
        )
        decode = msgspec.json.Decoder(Transcript).decode
        with self.reading() as view:
            for row in view.execute(query).mappings():
                values = {name: row[name] for name in names}
                parts = msgspec.json.decode(row["components"])
                made = Exported(**values, components=parts)
                yield made, decode(zlib.decompress(row["body"]))

    def export(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield every attempt of a run, superseded ones too, as plain values."""
        costs: dict[str, dict[str, Any]] = {}
        for line in self.ledger(run_id):
            costs.setdefault(line.attempt_id, {})[line.basis] = line.dollars
        query = select(ATTEMPT).where(ATTEMPT.c.run_id == run_id).order_by(ATTEMPT.c.id)
        with self.reading() as view:
            for row in view.execute(query).mappings():
                components = msgspec.json.decode(row["components"])
                dollars = costs.get(row["id"], {})
                yield dict(row) | {"components": components, "dollars": dollars}


def _view(row: Row[Any]) -> AttemptView:
    return AttemptView(
        id=row.id,
        system_id=row.system_id,
        sample_id=row.sample_id,
        epoch=row.epoch,
        status=row.status,
        passed=row.passed,
        reason=row.reason,
        fault=": ".join(filter(None, (row.fault_kind, row.fault_message))),
        stop=row.stop,
        calls=row.calls,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        seconds=row.seconds,
        components=msgspec.json.decode(row.components),
    )
