"""What was used, as it was told and measured: read as a stream, for pricing it again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import String, func, select, type_coerce

from qbench.service.domain import Endpoint, LedgerLine
from qbench.service.store.columns import chunks
from qbench.service.store.ledger import line_of
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ATTEMPT, ENDPOINT, LEDGER, MODEL_CALL

CHUNK = 2_000
"""Rows in memory at a time."""

BY_TOKEN = ("api", "others")
"""Bases that no engine time is paid on."""

USAGE = msgspec.json.Decoder(dict[str, Any])


class CallUsage(Struct, frozen=True):
    """One model call of an attempt."""

    attempt_id: str
    system_id: str
    started_at: datetime
    raw_usage: dict[str, Any]
    """The provider's own body; empty when it told none."""


class Usage(Shelf):
    """Reading usage."""

    def model_calls(self, run_id: str, system_ids: Collection[str]) -> Iterator[CallUsage]:
        """Yield every model call of some systems of a run, those of superseded attempts too."""
        query = (
            select(
                MODEL_CALL.c.attempt_id,
                ATTEMPT.c.system_id,
                MODEL_CALL.c.started_at,
                MODEL_CALL.c.raw_usage,
            )
            .join(ATTEMPT, ATTEMPT.c.id == MODEL_CALL.c.attempt_id)
            .where(ATTEMPT.c.run_id == run_id, ATTEMPT.c.system_id.in_(sorted(system_ids)))
        )
        with self.reading() as view:
            for row in view.execute(query.execution_options(yield_per=CHUNK)):
                yield CallUsage(*row[:3], USAGE.decode(row.raw_usage))

    def engine_costs(self, run_id: str) -> Iterator[tuple[str, LedgerLine]]:
        """Yield every line of engine time with the id of the session that it paid for."""
        query = (
            select(LEDGER, ATTEMPT.c.endpoint_id.label("session"))
            .join(ATTEMPT, ATTEMPT.c.id == LEDGER.c.attempt_id, isouter=True)
            .where(LEDGER.c.run_id == run_id, LEDGER.c.basis.not_in(BY_TOKEN))
        )
        with self.reading() as view:
            for row in view.execute(query.execution_options(yield_per=CHUNK)).mappings():
                yield row["session"] or row["endpoint_id"] or "", line_of(row)

    def engine_time(
        self, run_id: str
    ) -> Iterator[
        tuple[
            Sequence[str | None],
            Sequence[tuple[str, str, str]],
            Sequence[float | None],
            Sequence[str | None],
        ]
    ]:
        """Yield the lines of engine time part by part as they are written, no object for each.

        Attempt ids; basis, session and price id; seconds; dollars in plain digits.
        """
        session = func.coalesce(ATTEMPT.c.endpoint_id, LEDGER.c.endpoint_id, "")
        line = LEDGER.c
        dollars = type_coerce(line.dollars, String)
        query = (
            select(line.attempt_id, line.basis, session, line.price_id, line.seconds, dollars)
            .join(ATTEMPT, ATTEMPT.c.id == line.attempt_id, isouter=True)
            .where(line.run_id == run_id, line.basis.not_in(BY_TOKEN))
        )
        with self.reading() as view, view.begin():
            for ids, *names, seconds, costs in chunks(view, query):
                yield ids, list(zip(*names, strict=True)), seconds, costs

    def sessions(self, run_id: str) -> dict[str, Endpoint]:
        """Return a run's engine sessions by id, also those whose engine never came up."""
        query = select(ENDPOINT.c.body).where(ENDPOINT.c.run_id == run_id)
        with self.reading() as view:
            bodies = view.execute(query).scalars().all()
        found = [msgspec.json.decode(body, type=Endpoint) for body in bodies]
        return {endpoint.id: endpoint for endpoint in found}
