"""Tournaments and their judgements: written once, read as often as wanted."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import select

from qbench.benchmarks.transcript import Transcript
from qbench.errors import NotFound
from qbench.service.domain import AttemptStatus
from qbench.service.store.runs import inserted
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ATTEMPT, JUDGEMENT, SAMPLE, TOURNAMENT, TRANSCRIPT
from qbench.service.tournaments import Entrant, Judgement, Tournament

CHUNK = 500
KEY = ("tournament_id", "sample_id", "epoch", "slot", "swapped")


class StoredTournament(Struct, frozen=True, kw_only=True):
    """A tournament and when it began."""

    id: str
    created_at: datetime
    tournament: Tournament


class Tournaments(Shelf):
    """Who judged what."""

    def open_tournament(self, tournament: Tournament) -> bool:
        """Write a tournament unless it is there; return whether it is new."""
        values = {
            "id": tournament.id,
            "run_id": tournament.run_id,
            "created_at": datetime.now(UTC),
            "body": msgspec.json.encode(tournament),
        }
        with self.writing() as tx:
            return inserted(tx, TOURNAMENT, values)

    def tournaments(self, run_id: str) -> tuple[StoredTournament, ...]:
        """Return the tournaments of a run, newest first."""
        query = select(TOURNAMENT).where(TOURNAMENT.c.run_id == run_id)
        with self.reading() as view:
            rows = view.execute(query.order_by(TOURNAMENT.c.created_at.desc())).all()
        decode = msgspec.json.Decoder(Tournament).decode
        return tuple(
            StoredTournament(id=row.id, created_at=row.created_at, tournament=decode(row.body))
            for row in rows
        )

    def tournament(self, run_id: str, ref: str = "") -> StoredTournament:
        """Find a tournament of a run by the beginning of its id; the newest without one.

        Raises:
            NotFound: there is none, or several begin so.

        """
        known = self.tournaments(run_id)
        found = [one for one in known if one.id.startswith(ref)]
        if not known:
            raise NotFound(
                f"Nobody has judged run {run_id}.",
                hint=f"Judge it: qbench arena {run_id} --judge …",
            )
        if not found or (ref and len(found) > 1 and found[0].id != ref):
            raise NotFound.among("tournament", ref, [one.id for one in known])
        return found[0]

    def save_judgements(self, tournament_id: str, made: Sequence[Judgement]) -> int:
        """Keep judgements that are not there yet, in one transaction; return how many were new."""
        with self.writing() as tx:
            return sum(inserted(tx, JUDGEMENT, _values(tournament_id, one)) for one in made)

    def judgements(self, tournament_id: str) -> tuple[Judgement, ...]:
        """Return what a judge said so far, in the order it was asked."""
        query = select(JUDGEMENT).where(JUDGEMENT.c.tournament_id == tournament_id)
        order = (JUDGEMENT.c.started_at, *(JUDGEMENT.c[name] for name in KEY[1:]))
        with self.reading() as view:
            rows = view.execute(query.order_by(*order)).mappings().all()
        return tuple(_judgement(dict(row)) for row in rows)

    def entrants(self, run_id: str) -> tuple[Entrant, ...]:
        """Return the current attempts of a run that did not error, as far as matches need them."""
        names = ("id", "system_id", "sample_id", "epoch", "status", "passed")
        query = select(*(ATTEMPT.c[name] for name in names)).where(
            ATTEMPT.c.run_id == run_id,
            ATTEMPT.c.superseded_by.is_(None),
            ATTEMPT.c.status != AttemptStatus.ERRORED.value,
        )
        with self.reading() as view:
            rows = view.execute(query.order_by(ATTEMPT.c.id)).all()
        scored = AttemptStatus.SCORED.value
        return tuple(
            Entrant(
                id=row.id,
                system_id=row.system_id,
                sample_id=row.sample_id,
                epoch=row.epoch,
                scored=row.status == scored,
                passed=row.passed,
            )
            for row in rows
        )

    def answers(self, attempt_ids: Collection[str]) -> dict[str, str]:
        """Return the final answers of attempts."""
        wanted, found = sorted(attempt_ids), {}
        decode = msgspec.json.Decoder(Transcript).decode
        columns = (TRANSCRIPT.c.attempt_id, TRANSCRIPT.c.body)
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            with self.reading() as view:
                query = select(*columns).where(TRANSCRIPT.c.attempt_id.in_(part))
                for row in view.execute(query):
                    found[row.attempt_id] = decode(zlib.decompress(row.body)).answer
        return found

    def families(self, sample_ids: Collection[str]) -> dict[str, str]:
        """Return the family of each sample."""
        wanted, found = sorted(sample_ids), dict[str, str]()
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            with self.reading() as view:
                query = select(SAMPLE.c.id, SAMPLE.c.family).where(SAMPLE.c.id.in_(part))
                found |= {row.id: row.family for row in view.execute(query)}
        return found


def _values(tournament_id: str, one: Judgement) -> dict[str, Any]:
    return msgspec.structs.asdict(one) | {
        "tournament_id": tournament_id,
        "raw_usage": msgspec.json.encode(one.raw_usage),
    }


def _judgement(row: dict[str, Any]) -> Judgement:
    del row["tournament_id"]
    return Judgement(**(row | {"raw_usage": msgspec.json.decode(row["raw_usage"])}))
