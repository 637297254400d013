"""Attempts: saved in batches, superseded when they errored, never counted twice."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, update

from qbench.benchmarks.suite import Score
from qbench.benchmarks.transcript import Transcript
from qbench.errors import NotFound
from qbench.service.domain import Attempt, AttemptStatus, AttemptWork, LedgerLine
from qbench.service.store.ledger import insert_lines, take_turns
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ATTEMPT, CELL, MODEL_CALL, SCORE_REVISION, TRANSCRIPT

Key = tuple[str, str, str, int]

SUPERSEDE = (
    update(ATTEMPT).where(ATTEMPT.c.id == bindparam("old")).values(superseded_by=bindparam("new"))
)
ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(Transcript)
CHUNK = 500


class Recorded(Struct, frozen=True, kw_only=True):
    """An attempt with the ledger lines known when it ended."""

    attempt: Attempt
    lines: tuple[LedgerLine, ...] = ()


class Output(Struct, frozen=True, kw_only=True):
    """A scored attempt, as far as repeated runs are compared by it."""

    system_id: str
    sample_id: str
    epoch: int
    passed: bool
    tokens: int | None
    """Generated over all calls; None when a call reported no usage."""


class Made(Struct, frozen=True, kw_only=True):
    """An attempt of whatever status."""

    attempt_id: str
    system_id: str
    sample_id: str
    scored: bool
    """Current and scored: one that the pass rate counts."""


class Attempts(Shelf):
    """Writing attempts, and reading what re-scoring and billing need."""

    def append(self, batch: Sequence[Recorded]) -> int:
        """Save attempts in one transaction; return how many were new.

        An attempt whose key already has a scored or unscored one is left out with its lines (a
        message was delivered twice); an errored one is superseded and stays in the books.
        """
        with self.writing() as tx:
            take_turns(tx, {recorded.attempt.run_id for recorded in batch})
            current = _current(tx, batch)
            fresh: dict[Key, Recorded] = {}
            for recorded in batch:
                key = _key(recorded.attempt)
                if key not in fresh and not _ended(current.get(key)):
                    fresh[key] = recorded
            _supersede(tx, current, fresh)
            write_attempts(tx, list(fresh.values()))
            _count(
                tx,
                [r.attempt for r in fresh.values()],
                [current[k] for k in fresh.keys() & current.keys()],
            )
        return len(fresh)

    def attempts_of(self, endpoint_id: str) -> list[AttemptWork]:
        """Return what each attempt of an engine session made it compute, errored ones too."""
        query = select(
            ATTEMPT.c.id,
            ATTEMPT.c.prompt_tokens,
            ATTEMPT.c.cached_tokens,
            ATTEMPT.c.completion_tokens,
            ATTEMPT.c.system_id,
        ).where(ATTEMPT.c.endpoint_id == endpoint_id)
        with self.reading() as view:
            return [_work(*row) for row in view.execute(query)]

    def transcript(self, attempt_id: str) -> Transcript:
        """Return what was said and done in an attempt. Raises NotFound."""
        query = select(TRANSCRIPT.c.body).where(TRANSCRIPT.c.attempt_id == attempt_id)
        with self.reading() as view:
            body = view.execute(query).scalar_one_or_none()
        if body is None:
            raise NotFound(f"There is no attempt {attempt_id!r}.", hint="See `qbench show RUN`.")
        return _unpack(body)

    def for_rescore(self, run_id: str) -> Iterator[tuple[str, str, Transcript]]:
        """Yield (attempt id, sample id, transcript) of current attempts that did not error."""
        query = (
            select(ATTEMPT.c.id, ATTEMPT.c.sample_id, TRANSCRIPT.c.body)
            .join(TRANSCRIPT, TRANSCRIPT.c.attempt_id == ATTEMPT.c.id)
            .where(
                ATTEMPT.c.run_id == run_id,
                ATTEMPT.c.superseded_by.is_(None),
                ATTEMPT.c.status != AttemptStatus.ERRORED.value,
            )
        )
        for row in self._paged(query):
            yield row.id, row.sample_id, _unpack(row.body)

    def outputs(self, run_id: str) -> Iterator[tuple[Output, Transcript]]:
        """Yield what each current, scored attempt of a run wrote, in the order they were made."""
        columns = (ATTEMPT.c.id, ATTEMPT.c.system_id, ATTEMPT.c.sample_id, ATTEMPT.c.epoch)
        query = (
            select(*columns, ATTEMPT.c.passed, ATTEMPT.c.completion_tokens, TRANSCRIPT.c.body)
            .join(TRANSCRIPT, TRANSCRIPT.c.attempt_id == ATTEMPT.c.id)
            .where(
                ATTEMPT.c.run_id == run_id,
                ATTEMPT.c.superseded_by.is_(None),
                ATTEMPT.c.status == AttemptStatus.SCORED.value,
            )
        )
        for row in self._paged(query):
            made = Output(
                system_id=row.system_id,
                sample_id=row.sample_id,
                epoch=row.epoch,
                passed=row.passed,
                tokens=row.completion_tokens,
            )
            yield made, _unpack(row.body)

    def every_transcript(self, run_id: str) -> Iterator[tuple[Made, Transcript]]:
        """Yield every attempt of a run, errored and superseded ones too, as they were made."""
        columns = (ATTEMPT.c.id, ATTEMPT.c.system_id, ATTEMPT.c.sample_id)
        query = (
            select(*columns, ATTEMPT.c.status, ATTEMPT.c.superseded_by, TRANSCRIPT.c.body)
            .join(TRANSCRIPT, TRANSCRIPT.c.attempt_id == ATTEMPT.c.id)
            .where(ATTEMPT.c.run_id == run_id)
        )
        for row in self._paged(query):
            scored = row.superseded_by is None and row.status == AttemptStatus.SCORED.value
            made = Made(
                attempt_id=row.id, system_id=row.system_id, sample_id=row.sample_id, scored=scored
            )
            yield made, _unpack(row.body)

    def _paged(self, query: Select[Any]) -> Iterator[Row[Any]]:
        """Yield the rows of a query over attempts by id, ``CHUNK`` at a time."""
        last = ""
        while True:
            with self.reading() as view:
                part = query.where(ATTEMPT.c.id > last).order_by(ATTEMPT.c.id).limit(CHUNK)
                rows = view.execute(part).all()
            if not rows:
                return
            last = rows[-1].id
            yield from rows

    def rescore(self, scores: Iterable[tuple[str, Score]]) -> int:
        """Replace verdicts, and keep each new one as a revision; return how many."""
        at, pairs = datetime.now(UTC), list(scores)
        if not pairs:
            return 0
        changed = [
            {"old": key} | _verdict(score, AttemptStatus(score.status)) for key, score in pairs
        ]
        values: dict[str, Any] = {name: bindparam(name) for name in changed[0] if name != "old"}
        kept = [{"attempt_id": k, "at": at, "score": ENCODER.encode(score)} for k, score in pairs]
        with self.writing() as tx:
            tx.execute(
                update(ATTEMPT).where(ATTEMPT.c.id == bindparam("old")).values(values), changed
            )
            tx.execute(insert(SCORE_REVISION), kept)
            _recount(tx, [key for key, _ in pairs])
        return len(pairs)


def _key(attempt: Attempt) -> Key:
    return attempt.run_id, attempt.system_id, attempt.sample_id, attempt.epoch


def _current(tx: Connection, batch: Sequence[Recorded]) -> dict[Key, Row[Any]]:
    """Return the current attempts under the batch's keys."""
    columns = (ATTEMPT.c.run_id, ATTEMPT.c.system_id, ATTEMPT.c.sample_id, ATTEMPT.c.epoch)
    query = select(ATTEMPT.c.id, ATTEMPT.c.status, ATTEMPT.c.cell_id, *columns).where(
        ATTEMPT.c.run_id.in_({r.attempt.run_id for r in batch}),
        ATTEMPT.c.system_id.in_({r.attempt.system_id for r in batch}),
        ATTEMPT.c.sample_id.in_({r.attempt.sample_id for r in batch}),
        ATTEMPT.c.superseded_by.is_(None),
    )
    return {tuple(row[3:]): row for row in tx.execute(query)}  # type: ignore[misc]  # a Key


def _ended(row: Row[Any] | None) -> bool:
    return row is not None and row.status != AttemptStatus.ERRORED.value


def _supersede(tx: Connection, current: dict[Key, Row[Any]], fresh: dict[Key, Recorded]) -> None:
    pairs = [
        {"old": current[key].id, "new": recorded.attempt.id}
        for key, recorded in fresh.items()
        if key in current
    ]
    if pairs:
        tx.execute(SUPERSEDE, pairs)


def _count(tx: Connection, made: Sequence[Attempt], replaced: Sequence[Row[Any]]) -> None:
    """Keep the cells' counters in step; what is replaced had errored."""
    changes: dict[str, Counter[str]] = {}
    for attempt in made:
        change = changes.setdefault(attempt.cell_id, Counter())
        change[attempt.status.value] += 1
        change["passed"] += bool(attempt.score and attempt.score.passed)
    for row in replaced:
        changes.setdefault(row.cell_id, Counter())["errored"] -= 1
    for cell_id in sorted(changes):
        counters = {name: CELL.c[name] + change for name, change in changes[cell_id].items()}
        tx.execute(update(CELL).where(CELL.c.id == cell_id).values(counters))


def _recount(tx: Connection, attempt_ids: Sequence[str]) -> None:
    """Count anew the cells in which verdicts were replaced."""
    for start in range(0, len(attempt_ids), CHUNK):
        part = attempt_ids[start : start + CHUNK]
        cells = select(ATTEMPT.c.cell_id).where(ATTEMPT.c.id.in_(part)).distinct()
        for cell_id in tx.execute(cells).scalars().all():
            _count_anew(tx, cell_id)


def _count_anew(tx: Connection, cell_id: str) -> None:
    mine = (ATTEMPT.c.cell_id == cell_id) & ATTEMPT.c.superseded_by.is_(None)
    whole = [func.count().filter(ATTEMPT.c.status == s.value).label(s.value) for s in AttemptStatus]
    passed = func.count().filter(ATTEMPT.c.passed).label("passed")
    found = tx.execute(select(*whole, passed).where(mine)).mappings().one()
    tx.execute(update(CELL).where(CELL.c.id == cell_id).values(dict(found)))


def write_attempts(tx: Connection, fresh: Sequence[Recorded]) -> None:
    """Write attempts with their transcripts, calls and lines of cost."""
    if not fresh:
        return
    attempts = [recorded.attempt for recorded in fresh]
    tx.execute(insert(ATTEMPT), [_values(attempt) for attempt in attempts])
    bodies = [{"attempt_id": a.id, "body": _pack(a.transcript)} for a in attempts]
    tx.execute(insert(TRANSCRIPT), bodies)
    calls = [values for attempt in attempts for values in _calls(attempt)]
    if calls:
        tx.execute(insert(MODEL_CALL), calls)
    insert_lines(tx, [(r.attempt.run_id, line) for r in fresh for line in r.lines])


def _values(attempt: Attempt) -> dict[str, Any]:
    transcript, fault = attempt.transcript, attempt.fault
    usage = transcript.usage if transcript.own_calls else None
    return _verdict(attempt.score, attempt.status) | {
        "id": attempt.id,
        "run_id": attempt.run_id,
        "system_id": attempt.system_id,
        "sample_id": attempt.sample_id,
        "epoch": attempt.epoch,
        "cell_id": attempt.cell_id,
        "endpoint_id": attempt.endpoint_id,
        "superseded_by": None,
        "fault_kind": fault.kind if fault else "",
        "fault_message": fault.message if fault else "",
        "stop": transcript.stop,
        "truncated": transcript.truncated,
        "parse_failures": transcript.parse_failures,
        "retries": sum(turn.retries for turn in transcript.turns),
        "calls": transcript.own_calls,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "seconds": transcript.seconds,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
    }


def _verdict(score: Score | None, status: AttemptStatus) -> dict[str, Any]:
    return {
        "status": status.value,
        "passed": bool(score and score.passed),
        "value": score.value if score and score.status == "scored" else None,
        "reason": score.reason if score else "",
        "scorer": score.scorer if score else "",
        "components": ENCODER.encode(score.components if score else {}),
    }


def _calls(attempt: Attempt) -> Iterator[dict[str, Any]]:
    for number, turn in enumerate(attempt.transcript.turns):
        if turn.by:  # another model's: the transcript has it, and a ledger line of its own
            continue
        yield {
            "attempt_id": attempt.id,
            "n": number,
            "started_at": turn.timing.started_at,
            "e2el_s": turn.timing.e2el_s,
            "ttft_s": turn.timing.ttft_s,
            "finish_reason": turn.finish_reason,
            "retries": turn.retries,
            "served_model": turn.served_model,
            "raw_usage": ENCODER.encode(turn.raw_usage),
        }


def _work(
    key: str, prompt: int | None, cached: int | None, completion: int | None, system_id: str
) -> AttemptWork:
    return AttemptWork(
        attempt_id=key,
        uncached_prompt_tokens=None if prompt is None else prompt - (cached or 0),
        completion_tokens=completion,
        system_id=system_id,
    )


def _pack(transcript: Transcript) -> bytes:
    return zlib.compress(ENCODER.encode(transcript), 1)


def _unpack(body: bytes) -> Transcript:
    return DECODER.decode(zlib.decompress(body))
