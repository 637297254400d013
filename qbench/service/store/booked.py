"""Telling of ledger lines when they are committed, whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Insert, event

from qbench.service.store.shelf import Shelf
from qbench.service.tables import LEDGER

Told = Callable[[str, Decimal | None], None]
"""Is given basis and dollars of a line."""

_WAITING = "qbench.booked"


class Booked(Shelf):
    """Watching what this process books."""

    def on_booked(self, told: Told) -> None:
        """Call ``told`` for each line that this process appends to the ledger, once committed.

        It is called in the thread that committed and must neither block nor raise.
        """

        def executed(tx: Connection, clause: Any, many: Any, one: Any, *_: Any) -> None:
            if isinstance(clause, Insert) and clause.table is LEDGER:
                tx.info.setdefault(_WAITING, []).extend(many or [one])

        def committed(tx: Connection) -> None:
            for row in _taken(tx):
                told(row["basis"], row["dollars"])

        event.listen(self.database, "after_execute", executed)
        event.listen(self.database, "commit", committed)
        event.listen(self.database, "rollback", _taken)


def _taken(tx: Connection) -> Sequence[dict[str, Any]]:
    rows: list[dict[str, Any]] = tx.info.pop(_WAITING, [])
    return rows
