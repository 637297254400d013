"""The append-only ledger: writing lines and adding them up."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec
from sqlalchemy import Connection, insert, select

from qbench.service.domain import LedgerLine
from qbench.service.tables import ATTEMPT, LEDGER


def insert_lines(tx: Connection, lines: Sequence[LedgerLine]) -> None:
    """Append lines of cost."""
    rows = [
        {
            "attempt_id": line.attempt_id,
            "basis": line.basis,
            "price_id": line.price_id,
            "dollars": line.dollars,
            "seconds": line.seconds,
            "usage": msgspec.json.encode(line.usage),
            "at": line.at,
        }
        for line in lines
    ]
    if rows:
        tx.execute(insert(LEDGER), rows)


def spent_by_basis(view: Connection, run_id: str) -> dict[str, Decimal]:
    """Add up a run's dollars by basis, exactly; superseded attempts were paid for too."""
    query = (
        select(LEDGER.c.basis, LEDGER.c.dollars)
        .join(ATTEMPT, ATTEMPT.c.id == LEDGER.c.attempt_id)
        .where(ATTEMPT.c.run_id == run_id, LEDGER.c.dollars.is_not(None))
    )
    total: dict[str, Decimal] = {}
    for basis, dollars in view.execute(query):
        total[basis] = total.get(basis, Decimal(0)) + dollars
    return total
