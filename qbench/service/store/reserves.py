"""Reserves: how many workers share one budget without passing it.

Whoever is about to spend sets dollars aside first. What a run has paid and all that is set aside
stays within its budget, so that no order of events passes it.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from qbench.service.queue import Reserve
from qbench.service.store.ledger import DIGITS, NOTHING, paid_of, spent_by_basis, take_turns
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ENDPOINT, SHARD


class Reserves(Shelf):
    """Dollars of a run's budget that are set aside."""

    def reserve_shard(
        self, run_id: str, token: str, budget: Decimal, *, wanted: Decimal, least: Decimal
    ) -> Reserve:
        """Set aside up to ``wanted`` dollars for a leased shard, at least ``least`` or nothing."""
        with self.writing() as tx:
            left, others = _left(tx, run_id, budget, SHARD.c.token != token)
            if left < least:
                return Reserve(dollars=None, final=not others)
            granted = min(wanted, left)
            mine = SHARD.c.token == token
            tx.execute(update(SHARD).where(mine).values(reserved=granted))
            return Reserve(dollars=granted)

    def reserve_engine(
        self, run_id: str, endpoint_id: str, budget: Decimal, needed: Decimal
    ) -> bool:
        """Set aside ``needed`` dollars in all for an open engine session; False when there are not.

        Called again and again while the engine runs, with what it has cost and a while ahead.
        """
        with self.writing() as tx:
            left, _ = _left(tx, run_id, budget, None, ENDPOINT.c.id != endpoint_id)
            if left < needed:
                return False
            mine = ENDPOINT.c.id == endpoint_id
            tx.execute(update(ENDPOINT).where(mine).values(reserved=needed))
            return True


def _left(
    tx: Connection,
    run_id: str,
    budget: Decimal,
    shards: ColumnElement[bool] | None = None,
    engines: ColumnElement[bool] | None = None,
) -> tuple[Decimal, bool]:
    """Return the dollars nobody spent or set aside, and whether some are set aside by others."""
    take_turns(tx, [run_id])
    aside = _aside(tx, SHARD.c.reserved, (SHARD.c.run_id == run_id) & (SHARD.c.token != ""), shards)
    open_ones = (ENDPOINT.c.run_id == run_id) & ENDPOINT.c.stopped_at.is_(None)
    aside += _aside(tx, ENDPOINT.c.reserved, open_ones, engines)
    spent = spent_by_basis(tx, run_id)
    with localcontext(prec=DIGITS):
        return budget - paid_of(spent) - sum(aside, NOTHING), bool(aside)


def _aside(
    tx: Connection, column: Any, where: ColumnElement[bool], others: ColumnElement[bool] | None
) -> list[Decimal]:
    query = select(column).where(where, column.is_not(None))
    return list(tx.execute(query if others is None else query.where(others)).scalars())
