"""Runs that another harness made: written whole or not at all, and never twice."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import insert, select

from qbench.errors import ConfigError, Unsupported
from qbench.service.imports.values import Imported
from qbench.service.store.attempts import write_attempts
from qbench.service.store.ledger import take_turns
from qbench.service.store.runs import insert_new, lay_out, run_values
from qbench.service.store.sessions import endpoint_values
from qbench.service.store.shelf import Shelf
from qbench.service.store.written import Built
from qbench.service.tables import ENDPOINT, IMPORTED, IMPORTED_FILE, PRICE, RUN


class Imports(Shelf):
    """Where runs come from that qbench did not make."""

    def save_import(self, built: Built) -> None:
        """Write a run that was imported, in one transaction.

        Raises:
            ConfigError: one of its files was imported before.

        """
        origin = built.origin
        self.refuse_again([one.sha256 for one in origin.files])
        with self.writing() as tx:
            tx.execute(insert(RUN), [run_values(built.run)])
            lay_out(tx, built.cells, built.shards, built.samples)
            ended = {"healthy": True, "stopped_at": built.run.finished_at}
            told = [endpoint_values(one) | ended for one in built.endpoints]
            tx.execute(insert(ENDPOINT), told)
            prices = [
                {"id": key, "kind": type(one).__name__, "body": msgspec.json.encode(one)}
                for key, one in built.prices.items()
            ]
            if prices:
                tx.execute(insert_new(tx, PRICE), prices)
            take_turns(tx, {built.run.id})
            write_attempts(tx, built.attempts)
            row = {
                "run_id": built.run.id,
                "harness": origin.harness,
                "version": origin.version,
                "at": origin.at,
                "body": msgspec.json.encode(origin),
            }
            tx.execute(insert(IMPORTED), [row])
            files = [
                {"sha256": f.sha256, "run_id": built.run.id, "name": f.name} for f in origin.files
            ]
            tx.execute(insert(IMPORTED_FILE), files)

    def refuse_again(self, hashes: Sequence[str]) -> None:
        """Raise ConfigError when a file with one of these hashes was imported before."""
        query = select(IMPORTED_FILE).where(IMPORTED_FILE.c.sha256.in_(hashes))
        with self.reading() as view:
            row = view.execute(query.limit(1)).first()
        if row is not None:
            raise ConfigError(
                f"These very bytes were imported before, as {row.name}: run {row.run_id}.",
                hint=f"Look at it: qbench leaderboard {row.run_id}",
            )

    def refuse_imported(self, run_id: str, *, hint: str) -> None:
        """Raise Unsupported for a run whose attempts qbench cannot make or judge itself."""
        origin = self.import_of(run_id)
        if origin is not None:
            raise Unsupported(
                f"Run {run_id} was imported from {origin.harness}: qbench did not make it.",
                hint=hint,
            )

    def import_of(self, run_id: str) -> Imported | None:
        """Return where a run comes from; None for one that qbench made."""
        query = select(IMPORTED.c.body).where(IMPORTED.c.run_id == run_id)
        with self.reading() as view:
            body = view.execute(query).scalar_one_or_none()
        return None if body is None else msgspec.json.decode(body, type=Imported)
