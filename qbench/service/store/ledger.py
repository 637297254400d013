"""The append-only ledger: writing lines and adding them up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update

from qbench.benchmarks.chat import TokenUsage
from qbench.service.domain import LedgerLine
from qbench.service.tables import LEDGER, RUN, SPENDING

NOTHING = Decimal(0)
PAID = ("api", "dedicated", "others")
"""Bases that are really paid; ``saturated`` is a part of ``dedicated``."""

DIGITS = 80
"""More than any sum of lines has: the default of 28 would round."""

USAGE = msgspec.json.Decoder(TokenUsage | None)


def insert_lines(tx: Connection, lines: Iterable[tuple[str | None, LedgerLine]]) -> None:
    """Append lines of cost, each with the run that pays for it, and add them to its spending.

    What the gateway spent belongs to no run: None.
    """
    rows = [_values(run_id, line) for run_id, line in lines]
    if rows:
        tx.execute(insert(LEDGER), rows)
        _add_up(tx, [row for row in rows if row["run_id"] is not None])


def take_turns(tx: Connection, run_ids: Collection[str]) -> None:
    """Lock the runs until the end of the transaction: nobody else saves or books for them.

    On PostgreSQL; SQLite has one writer anyway.
    """
    query = select(RUN.c.id).where(RUN.c.id.in_(run_ids)).order_by(RUN.c.id)
    tx.execute(query.with_for_update(key_share=True)).all()


def _add_up(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    take_turns(tx, {row["run_id"] for row in rows})
    amounts: dict[tuple[str, str], list[Decimal | None]] = {}
    for row in rows:
        amounts.setdefault((row["run_id"], row["basis"]), []).append(row["dollars"])
    with localcontext(prec=DIGITS):
        for (run_id, basis), added in amounts.items():
            _add(tx, run_id, basis, added)


def _add(tx: Connection, run_id: str, basis: str, added: Sequence[Decimal | None]) -> None:
    mine = (SPENDING.c.run_id == run_id) & (SPENDING.c.basis == basis)
    row = tx.execute(select(SPENDING).where(mine)).first()
    known = [dollars for dollars in added if dollars is not None]
    values = {
        "dollars": sum(known, row.dollars if row else NOTHING),
        "priced": (row.priced if row else 0) + len(known),
        "unpriced": (row.unpriced if row else 0) + len(added) - len(known),
    }
    if row is None:
        tx.execute(insert(SPENDING), [values | {"run_id": run_id, "basis": basis}])
    else:
        tx.execute(update(SPENDING).where(mine).values(values))


def line_of(row: RowMapping) -> LedgerLine:
    """Read a row back as the line it was."""
    return LedgerLine(
        attempt_id=row["attempt_id"] or "",
        endpoint_id=row["endpoint_id"] or "",
        call_id=row["call_id"] or "",
        basis=row["basis"],
        dollars=row["dollars"],
        usage=USAGE.decode(row["usage"]),
        seconds=row["seconds"],
        price_id=row["price_id"],
        at=row["at"],
    )


def spent_by_basis(view: Connection, run_id: str) -> dict[str, Decimal]:
    """Return a run's known dollars by basis: superseded attempts and idle engines too.

    A basis without a priced line is absent.
    """
    query = select(SPENDING.c.basis, SPENDING.c.dollars).where(
        SPENDING.c.run_id == run_id, SPENDING.c.priced > 0
    )
    return {row.basis: row.dollars for row in view.execute(query)}


def paid_of(spent: Mapping[str, Decimal]) -> Decimal:
    """Add up what is really paid, of dollars by basis."""
    with localcontext(prec=DIGITS):
        return sum((spent.get(basis, NOTHING) for basis in PAID), NOTHING)


def _values(run_id: str | None, line: LedgerLine) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "attempt_id": line.attempt_id or None,
        "endpoint_id": line.endpoint_id or None,
        "call_id": line.call_id or None,
        "basis": line.basis,
        "price_id": line.price_id,
        "dollars": line.dollars,
        "seconds": line.seconds,
        "usage": msgspec.json.encode(line.usage),
        "at": line.at,
    }
