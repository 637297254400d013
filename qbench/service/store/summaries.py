"""How far runs are, and what they have cost: read from counters that are kept in step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, RowMapping, func, select

from qbench.service.domain import Run
from qbench.service.store.ledger import PAID
from qbench.service.store.runs import run_of
from qbench.service.store.shelf import Shelf
from qbench.service.tables import CELL, RUN, SPENDING


class RunSummary(Struct, frozen=True, kw_only=True):
    """A run in a list."""

    run: Run
    planned: int
    counts: dict[str, int]
    """Current attempts by status, and ``passed``."""
    dollars: dict[str, Decimal]
    """By basis, superseded attempts included; a basis without a priced line is absent."""
    unpriced: int = 0
    """Lines to be paid whose dollars are unknown."""


class Summaries(Shelf):
    """Reading runs without their attempts."""

    def summary(self, run: Run) -> RunSummary:
        """Sum a run up."""
        with self.reading() as view:
            return _summaries(view, [run])[0]

    def runs(
        self, limit: int = 20, *, before: str = "", status: str = ""
    ) -> tuple[RunSummary, ...]:
        """List the newest runs first: those before one in this order, those in a status."""
        query = select(RUN).order_by(RUN.c.id.desc()).limit(limit)
        if before:
            query = query.where(RUN.c.id < before)
        if status:
            query = query.where(RUN.c.status == status)
        with self.reading() as view:
            return _summaries(view, [run_of(row) for row in view.execute(query)])

    def counts(self, run_id: str) -> dict[str, dict[str, int]]:
        """Count current attempts by system and status, and those ``passed``."""
        with self.reading() as view:
            return _counts(view, run_id)

    def planned(self, run_id: str) -> dict[str, int]:
        """Count the attempts each system is to make."""
        with self.reading() as view:
            return _planned(view, run_id)


COUNTED = ("planned", "scored", "unscored", "errored", "passed")


def _summaries(view: Connection, runs: Sequence[Run]) -> tuple[RunSummary, ...]:
    """Sum many runs up with two queries."""
    ids = [run.id for run in runs]
    sums = [func.sum(CELL.c[name]).label(name) for name in COUNTED]
    cells = select(CELL.c.run_id, *sums).where(CELL.c.run_id.in_(ids)).group_by(CELL.c.run_id)
    counts = {row["run_id"]: row for row in view.execute(cells).mappings()}
    spending: dict[str, list[Any]] = {}
    for row in view.execute(select(SPENDING).where(SPENDING.c.run_id.in_(ids))):
        spending.setdefault(row.run_id, []).append(row)
    return tuple(_summed(run, counts.get(run.id), spending.get(run.id, [])) for run in runs)


def _summed(run: Run, counts: RowMapping | None, spending: Sequence[Row[Any]]) -> RunSummary:
    numbers = {name: int(counts[name]) for name in COUNTED} if counts else {}
    planned = numbers.pop("planned", 0)
    return RunSummary(
        run=run,
        planned=planned,
        counts={name: n for name, n in numbers.items() if n},
        dollars={row.basis: row.dollars for row in spending if row.priced},
        unpriced=sum(row.unpriced for row in spending if row.basis in PAID),
    )


def _counts(view: Connection, run_id: str) -> dict[str, dict[str, int]]:
    names = ("scored", "unscored", "errored", "passed")
    query = select(CELL.c.system_id, *(CELL.c[name] for name in names))
    found: dict[str, Counter[str]] = {}
    for system_id, *numbers in view.execute(query.where(CELL.c.run_id == run_id)):
        counts = found.setdefault(system_id, Counter())
        counts.update(dict(zip(names, numbers, strict=True)))
    return {system_id: _told(counts) for system_id, counts in found.items() if counts.total()}


def _told(counts: Counter[str]) -> dict[str, int]:
    return {name: n for name, n in counts.items() if n or name == "passed"}


def _planned(view: Connection, run_id: str) -> dict[str, int]:
    query = select(CELL.c.system_id, CELL.c.planned).where(CELL.c.run_id == run_id)
    planned: dict[str, int] = {}
    for system_id, number in view.execute(query):
        planned[system_id] = planned.get(system_id, 0) + number
    return planned
