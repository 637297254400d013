"""The append-only ledger: writing lines and adding them up."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, String, insert, select, type_coerce

from qbench.benchmarks.chat import TokenUsage
from qbench.service.domain import LedgerLine
from qbench.service.tables import LEDGER

NOTHING = Decimal(0)
DIGITS = 80
"""More than any sum of lines has: the default of 28 would round."""

USAGE = msgspec.json.Decoder(TokenUsage | None)


def insert_lines(tx: Connection, lines: Iterable[tuple[str, LedgerLine]]) -> None:
    """Append lines of cost, each with the run that pays for it."""
    rows = [_values(run_id, line) for run_id, line in lines]
    if rows:
        tx.execute(insert(LEDGER), rows)


def line_of(row: RowMapping) -> LedgerLine:
    """Read a row back as the line it was."""
    return LedgerLine(
        attempt_id=row["attempt_id"] or "",
        endpoint_id=row["endpoint_id"] or "",
        basis=row["basis"],
        dollars=row["dollars"],
        usage=USAGE.decode(row["usage"]),
        seconds=row["seconds"],
        price_id=row["price_id"],
        at=row["at"],
    )


def spent_by_basis(view: Connection, run_id: str) -> dict[str, Decimal]:
    """Add up a run's known dollars by basis, exactly: superseded attempts and idle engines too."""
    digits = type_coerce(LEDGER.c.dollars, String)
    query = select(LEDGER.c.basis, digits).where(
        LEDGER.c.run_id == run_id, LEDGER.c.dollars.is_not(None)
    )
    total: dict[str, Decimal] = {}
    with localcontext(prec=DIGITS):
        for basis, dollars in view.execute(query):
            total[basis] = total.get(basis, NOTHING) + Decimal(dollars)
    return total


def _values(run_id: str, line: LedgerLine) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "attempt_id": line.attempt_id or None,
        "endpoint_id": line.endpoint_id or None,
        "basis": line.basis,
        "price_id": line.price_id,
        "dollars": line.dollars,
        "seconds": line.seconds,
        "usage": msgspec.json.encode(line.usage),
        "at": line.at,
    }
