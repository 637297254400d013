"""Reading results: columns for the analysis, rows for people, everything for export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, func, select
from sqlalchemy import Float as SqlFloat
from sqlalchemy import cast as sql_cast

from qbench.benchmarks.analysis.outcomes import ERRORED, SCORED, UNSCORED, Outcomes
from qbench.errors import NotFound
from qbench.service.domain import LedgerLine
from qbench.service.store.ledger import line_of, spent_by_basis
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ATTEMPT, LEDGER, SAMPLE

STATUS_CODES = {"scored": SCORED, "unscored": UNSCORED, "errored": ERRORED}

COLUMNS = (
    ATTEMPT.c.id,
    ATTEMPT.c.system_id,
    ATTEMPT.c.sample_id,
    ATTEMPT.c.epoch,
    ATTEMPT.c.status,
    ATTEMPT.c.passed,
    ATTEMPT.c.value,
    ATTEMPT.c.prompt_tokens,
    ATTEMPT.c.cached_tokens,
    ATTEMPT.c.completion_tokens,
    ATTEMPT.c.seconds,
    ATTEMPT.c.truncated,
    ATTEMPT.c.parse_failures,
    ATTEMPT.c.retries,
    ATTEMPT.c.calls,
)


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


class Reading(Shelf):
    """Queries that only read."""

    def outcomes(self, run_ids: str | Sequence[str]) -> Outcomes:
        """Return the current attempts of one or more runs as columns.

        A cost column holds what the current attempts cost; what superseded ones cost is in
        ``spent`` alone. An attempt with an unpriced line, or no line on a basis, is NaN there.
        """
        wanted = [run_ids] if isinstance(run_ids, str) else list(run_ids)
        current = ATTEMPT.c.run_id.in_(wanted) & ATTEMPT.c.superseded_by.is_(None)
        with self.reading() as view:
            rows = view.execute(select(*COLUMNS).where(current)).all()
            columns: list[Any] = list(zip(*rows, strict=True)) or [() for _ in COLUMNS]
            costs = _costs(view, current, np.array(columns[0], dtype="U32"))
            samples, sample = np.unique(np.array(columns[2], dtype=object), return_inverse=True)
            facts = _sample_facts(view, [str(i) for i in samples])
        return _outcomes(columns, facts, sample.astype(np.int32), costs)

    def spent(self, run_id: str) -> dict[str, Decimal]:
        """Return exact dollars by basis, superseded attempts included."""
        with self.reading() as view:
            return spent_by_basis(view, run_id)

    def paid(self, run_id: str) -> Decimal:
        """Return what a run has cost so far: API calls, and machines for as long as they ran."""
        spent = self.spent(run_id)
        return spent.get("api", Decimal(0)) + spent.get("dedicated", Decimal(0))

    def attempts(
        self,
        run_id: str,
        *,
        system_id: str = "",
        status: str = "",
        passed: bool | None = None,
        limit: int = 50,
    ) -> tuple[AttemptView, ...]:
        """List current attempts, newest last, optionally of one system, status or outcome."""
        query = select(ATTEMPT).where(ATTEMPT.c.run_id == run_id, ATTEMPT.c.superseded_by.is_(None))
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


def _costs(view: Connection, current: Any, ids: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return dollars per attempt by basis, aligned with ``ids``."""
    dollars = sql_cast(LEDGER.c.dollars, SqlFloat)
    query = (
        select(LEDGER.c.attempt_id, LEDGER.c.basis, dollars)
        .join(ATTEMPT, ATTEMPT.c.id == LEDGER.c.attempt_id)
        .where(current)
    )
    by_basis: dict[str, tuple[list[str], list[float]]] = {}
    for attempt_id, basis, amount in view.execute(query):
        keys, amounts = by_basis.setdefault(basis, ([], []))
        keys.append(attempt_id)
        amounts.append(float("nan") if amount is None else amount)
    order = np.argsort(ids)
    return {basis: _aligned(ids, order, *pair) for basis, pair in by_basis.items()}


def _aligned(
    ids: NDArray[Any], order: NDArray[np.intp], keys: list[str], amounts: list[float]
) -> NDArray[np.float64]:
    """Add ``amounts`` up per id; an id without any is NaN."""
    places = order[np.searchsorted(ids, np.array(keys, dtype="U32"), sorter=order)]
    total = np.zeros(len(ids))
    np.add.at(total, places, amounts)
    total[np.bincount(places, minlength=len(ids)) == 0] = np.nan
    return total


def _sample_facts(view: Connection, ids: list[str]) -> list[tuple[str, str, str, int]]:
    """Return (id, family, task, level) in the order of ``ids``."""
    found: dict[str, tuple[str, str, str, int]] = {}
    columns = (SAMPLE.c.id, SAMPLE.c.family, SAMPLE.c.task, SAMPLE.c.level)
    for start in range(0, len(ids), 500):
        query = select(*columns).where(SAMPLE.c.id.in_(ids[start : start + 500]))
        found.update({row.id: tuple(row) for row in view.execute(query)})
    return [found[key] for key in ids]


def _outcomes(
    columns: list[Any],
    facts: list[tuple[str, str, str, int]],
    sample: NDArray[np.int32],
    costs: dict[str, NDArray[np.float64]],
) -> Outcomes:
    systems, system = _codes(columns[1])
    families, sample_family = _codes([fact[1] for fact in facts])
    tasks, sample_task = _codes([fact[2] for fact in facts])
    return Outcomes(
        systems=systems,
        samples=tuple(fact[0] for fact in facts),
        sample_family=sample_family,
        families=families,
        sample_level=np.array([fact[3] for fact in facts], dtype=np.int32),
        sample_task=sample_task,
        tasks=tasks,
        system=system,
        sample=sample,
        epoch=np.array(columns[3], dtype=np.int32),
        status=np.array([STATUS_CODES[code] for code in columns[4]], dtype=np.int8),
        passed=np.array(columns[5], dtype=np.bool_),
        value=np.array(columns[6], dtype=np.float64),
        prompt_tokens=np.array(columns[7], dtype=np.float64),
        cached_tokens=np.array(columns[8], dtype=np.float64),
        completion_tokens=np.array(columns[9], dtype=np.float64),
        seconds=np.array(columns[10], dtype=np.float64),
        truncated=np.array(columns[11], dtype=np.bool_),
        parse_failures=np.array(columns[12], dtype=np.int32),
        retries=np.array(columns[13], dtype=np.int32),
        calls=np.array(columns[14], dtype=np.int32),
        cost=costs,
    )


def _codes(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Number the distinct names in sorted order."""
    known, codes = np.unique(np.array(names, dtype=object), return_inverse=True)
    return tuple(str(name) for name in known), codes.astype(np.int32)


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
