"""Runs, cells and shards."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Row,
    RowMapping,
    Table,
    bindparam,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from qbench.benchmarks.suite import Sample
from qbench.errors import NotFound
from qbench.service.domain import (
    AttemptStatus,
    Cell,
    Controls,
    Request,
    Run,
    RunStatus,
    Shard,
)
from qbench.service.money import EnergyPrice, MachinePrice, TokenPrice
from qbench.service.store.shelf import Shelf
from qbench.service.tables import (
    ATTEMPT,
    CELL,
    PRICE,
    RUN,
    SAMPLE,
    SHARD,
)

PRICES: dict[str, msgspec.json.Decoder[TokenPrice | MachinePrice | EnergyPrice]] = {
    "TokenPrice": msgspec.json.Decoder(TokenPrice),
    "MachinePrice": msgspec.json.Decoder(MachinePrice),
    "EnergyPrice": msgspec.json.Decoder(EnergyPrice),
}
ENDED = (RunStatus.DONE, RunStatus.PARTIAL)
PLAIN = (
    "id",
    "created_at",
    "finished_at",
    "version",
    "account_id",
    "schedule_id",
    "priority",
    "queued_at",
    "traceparent",
)
"""Fields of a run that are columns as they are."""


class Closed(Struct, frozen=True, kw_only=True):
    """What closing a shard closed with it."""

    cell: bool
    run: bool


class Runs(Shelf):
    """What was asked for, and how far it is."""

    def create_run(
        self, run: Run, cells: Sequence[Cell], shards: Sequence[Shard], samples: Sequence[Sample]
    ) -> None:
        """Write a run and everything it will do, or nothing."""
        with self.writing() as tx:
            tx.execute(insert(RUN), [run_values(run)])
            lay_out(tx, cells, shards, samples)

    def run(self, ref: str) -> Run:
        """Find a run by id, by the beginning of one, or the newest as ``last``.

        Raises:
            NotFound: none or several match.

        """
        query = select(RUN).order_by(RUN.c.created_at.desc(), RUN.c.id.desc())
        if ref != "last":
            query = query.where(RUN.c.id.startswith(ref, autoescape=True))
        with self.reading() as view:
            rows = view.execute(query.limit(2)).all()
            if rows and (len(rows) == 1 or ref == "last" or rows[0].id == ref):
                return run_of(rows[0])
            known = view.execute(select(RUN.c.id).limit(200)).scalars().all()
        if not known:
            raise NotFound("There is no run yet.", hint="Start one: qbench run --suite mcp")
        raise NotFound.among("run", ref, known)

    def resumable(self, request_id: str) -> Run | None:
        """Return the newest run of this very request, whatever its status."""
        query = select(RUN).where(RUN.c.request_id == request_id).order_by(RUN.c.created_at.desc())
        with self.reading() as view:
            row = view.execute(query.limit(1)).first()
        return run_of(row) if row else None

    def set_status(self, run_id: str, status: RunStatus, at: datetime) -> None:
        """Write where the run stands; ``at`` becomes its end when it has one."""
        values = {"status": status.value, "finished_at": at if status in ENDED else None}
        with self.writing() as tx:
            tx.execute(update(RUN).where(RUN.c.id == run_id).values(values))

    def set_controls(self, run_id: str, controls: Controls) -> None:
        """Write how the run is driven from now on."""
        body = msgspec.json.encode(controls)
        with self.writing() as tx:
            tx.execute(update(RUN).where(RUN.c.id == run_id).values(controls=body))

    def samples_of(self, run_id: str) -> dict[str, Sample]:
        """Return the samples that a run asks."""
        wanted = {i for shard in self.shards(run_id) for i in shard.sample_ids}
        return self.samples(wanted)

    def samples(self, ids: Collection[str]) -> dict[str, Sample]:
        """Return samples by id; unknown ids are absent."""
        wanted, found = sorted(ids), {}
        with self.reading() as view:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                query = select(SAMPLE.c.body).where(SAMPLE.c.id.in_(part))
                for body in view.execute(query).scalars():
                    sample = msgspec.json.decode(body, type=Sample)
                    found[sample.id] = sample
        return found

    def cells(self, run_id: str) -> tuple[Cell, ...]:
        """Return a run's cells."""
        query = select(CELL).where(CELL.c.run_id == run_id).order_by(CELL.c.id)
        with self.reading() as view:
            return tuple(Cell(**row) for row in view.execute(query).mappings())

    def shards(self, run_id: str, *, open_only: bool = False) -> tuple[Shard, ...]:
        """Return a run's shards in the order of the plan."""
        query = select(SHARD).where(SHARD.c.run_id == run_id).order_by(SHARD.c.id)
        if open_only:
            query = query.where(SHARD.c.closed.is_(False))
        with self.reading() as view:
            return tuple(shard_of(row) for row in view.execute(query).mappings())

    def missing(self, shard: Shard) -> tuple[tuple[str, int], ...]:
        """Return (sample id, epoch) without a current scored or unscored attempt."""
        with self.reading() as view:
            return _missing(view, shard)

    def reopen(self, run_id: str) -> int:
        """Open the shards in which something is missing, close the others; count the open ones.

        Called when no one works on the run: it mends what a killed process left half-written.
        """
        shards = self.shards(run_id)
        with self.writing() as tx:
            done = _done(tx, run_id)
            opened = {shard.id for shard in shards if not _complete(shard, done)}
            changed = [
                {"key": shard.id, "to": not shard.closed}
                for shard in shards
                if shard.closed is (shard.id in opened)
            ]
            _set(tx, SHARD.c.closed, changed)
            pending = dict.fromkeys((shard.cell_id for shard in shards), 0)
            for shard in shards:
                pending[shard.cell_id] += shard.id in opened
            _set(tx, CELL.c.pending, [{"key": key, "to": n} for key, n in pending.items()])
        return len(opened)

    def skip(self, run_id: str, shard_ids: Collection[str]) -> None:
        """Close shards that nobody needs any more: they are not planned, nor missing.

        What is planned is counted anew, so that the shards of the last call alone are skipped.
        """
        shards = self.shards(run_id)
        planned = dict.fromkeys((shard.cell_id for shard in shards), 0)
        pending = dict(planned)
        for shard in shards:
            if shard.id not in shard_ids:
                planned[shard.cell_id] += len(shard.sample_ids) * shard.epochs
                pending[shard.cell_id] += not shard.closed
        closing = [s.id for s in shards if s.id in shard_ids and not s.closed]
        with self.writing() as tx:
            _set(tx, SHARD.c.closed, [{"key": key, "to": True} for key in closing])
            _set(tx, CELL.c.planned, [{"key": key, "to": n} for key, n in planned.items()])
            _set(tx, CELL.c.pending, [{"key": key, "to": n} for key, n in pending.items()])

    def close_shard(self, shard_id: str) -> Closed:
        """Close a shard; the last of a cell closes the cell, the last cell the run.

        Closing twice counts once. Exactly one caller learns that it closed a cell or the run.
        """
        with self.writing() as tx:
            closing = (
                update(SHARD)
                .where(SHARD.c.id == shard_id, SHARD.c.closed.is_(False))
                .values(closed=True)
                .returning(SHARD.c.cell_id, SHARD.c.run_id)
            )
            row = tx.execute(closing).first()
            if row is None:
                return Closed(cell=False, run=False)
            counting = (
                update(CELL)
                .where(CELL.c.id == row.cell_id)
                .values(pending=CELL.c.pending - 1)
                .returning(CELL.c.pending)
            )
            cell = tx.execute(counting).scalar_one() == 0
            left = select(func.sum(CELL.c.pending)).where(CELL.c.run_id == row.run_id)
            return Closed(cell=cell, run=cell and tx.execute(left).scalar_one() == 0)

    def prices(self) -> dict[str, TokenPrice | MachinePrice | EnergyPrice]:
        """Return every price that a ledger line points at, by id."""
        with self.reading() as view:
            rows = view.execute(select(PRICE)).all()
        return {row.id: PRICES[row.kind].decode(row.body) for row in rows}

    def save_prices(self, prices: dict[str, Struct]) -> None:
        """Keep the dated prices that ledger lines point at, by id; known ones are left alone."""
        rows = [
            {"id": key, "kind": type(price).__name__, "body": msgspec.json.encode(price)}
            for key, price in prices.items()
        ]
        if rows:
            with self.writing() as tx:
                tx.execute(insert_new(tx, PRICE), rows)


def lay_out(
    tx: Connection, cells: Sequence[Cell], shards: Sequence[Shard], samples: Sequence[Sample]
) -> None:
    """Write what a run will do."""
    _insert_samples(tx, samples)
    tx.execute(insert(CELL), [msgspec.structs.asdict(cell) for cell in cells])
    tx.execute(insert(SHARD), [_shard_values(shard) for shard in shards])


def insert_new(tx: Connection, table: Table) -> Any:
    """Build an INSERT that leaves existing keys alone."""
    make = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
    return make(table).on_conflict_do_nothing()


def inserted(tx: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless its key is there; say whether it was not.

    Asked by RETURNING: PostgreSQL's driver does not count the rows of an INSERT.
    """
    made = insert_new(tx, table).values(values).returning(literal(1))
    return tx.execute(made).first() is not None


def _insert_samples(tx: Connection, samples: Sequence[Sample]) -> None:
    rows = [
        {
            "id": sample.id,
            "suite": sample.suite,
            "task": sample.task,
            "level": sample.level,
            "family": sample.family,
            "body": msgspec.json.encode(sample),
        }
        for sample in samples
    ]
    tx.execute(insert_new(tx, SAMPLE), rows)


def _set(tx: Connection, column: Column[Any], changes: list[dict[str, Any]]) -> None:
    """Write ``column`` of the rows with the id ``key``."""
    if changes:
        table = column.table
        one = update(table).where(table.c.id == bindparam("key"))
        tx.execute(one.values({column.name: bindparam("to")}), changes)


def _done(view: Connection, run_id: str) -> dict[tuple[str, str], int]:
    """Count the epochs that ended scored or unscored, by system and sample."""
    query = (
        select(ATTEMPT.c.system_id, ATTEMPT.c.sample_id, func.count())
        .where(
            ATTEMPT.c.run_id == run_id,
            ATTEMPT.c.superseded_by.is_(None),
            ATTEMPT.c.status != AttemptStatus.ERRORED.value,
        )
        .group_by(ATTEMPT.c.system_id, ATTEMPT.c.sample_id)
    )
    return {(system, sample): number for system, sample, number in view.execute(query)}


def _complete(shard: Shard, done: dict[tuple[str, str], int]) -> bool:
    return all(done.get((shard.system_id, i), 0) >= shard.epochs for i in shard.sample_ids)


def _missing(view: Connection, shard: Shard) -> tuple[tuple[str, int], ...]:
    there = select(ATTEMPT.c.sample_id, ATTEMPT.c.epoch).where(
        ATTEMPT.c.run_id == shard.run_id,
        ATTEMPT.c.system_id == shard.system_id,
        ATTEMPT.c.superseded_by.is_(None),
        ATTEMPT.c.status != AttemptStatus.ERRORED.value,
        ATTEMPT.c.sample_id.in_(shard.sample_ids),
    )
    done = {tuple(row) for row in view.execute(there)}
    wanted = ((i, epoch) for i in shard.sample_ids for epoch in range(shard.epochs))
    return tuple(pair for pair in wanted if pair not in done)


def run_values(run: Run) -> dict[str, Any]:
    """Write a run as its row."""
    return {name: getattr(run, name) for name in PLAIN} | {
        "request_id": run.request.id,
        "status": run.status.value,
        "request": msgspec.json.encode(run.request),
        "controls": msgspec.json.encode(run.controls),
    }


def run_of(row: Row[Any]) -> Run:
    """Read a row back as the run it was."""
    return Run(
        request=msgspec.json.decode(row.request, type=Request),
        controls=msgspec.json.decode(row.controls, type=Controls),
        status=RunStatus(row.status),
        **{name: getattr(row, name) for name in PLAIN},
    )


def _shard_values(shard: Shard) -> dict[str, Any]:
    return msgspec.structs.asdict(shard) | {"sample_ids": msgspec.json.encode(shard.sample_ids)}


def shard_of(row: RowMapping) -> Shard:
    """Read a row back as the shard it was."""
    ids = msgspec.json.decode(row["sample_ids"], type=tuple[str, ...])
    known = {name: row[name] for name in Shard.__struct_fields__}
    return Shard(**(known | {"sample_ids": ids}))
