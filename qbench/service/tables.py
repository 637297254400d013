"""The SQL tables, nothing else. Written and read by ``store`` alone.

Bodies (JSON as bytes) are msgspec encodings of the values in ``domain``; columns beside a body are
those that queries filter or sum by. Times are UTC. Money is exact: text on both databases.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel


class Dollars(TypeDecorator[Decimal]):
    """A Decimal kept as text, so that SQLite stores it exactly."""

    impl = String(64)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write plain digits."""
        return None if value is None else format(value, "f")

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        """Read it back, digit for digit."""
        return None if value is None else Decimal(value)


class Moment(TypeDecorator[datetime]):
    """A UTC time; SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Put the zone back."""
        return None if value is None else value.replace(tzinfo=UTC) if not value.tzinfo else value


def _key(target: str, *, index: bool = False, primary: bool = False) -> Any:
    return Field(
        sa_type=String(32),
        sa_column_args=[ForeignKey(target)],
        index=index,
        primary_key=primary,
    )


class RunRow(SQLModel, table=True):
    """One request and its state."""

    __tablename__ = "run"
    id: str = Field(sa_type=String(32), primary_key=True)
    request_id: str = Field(index=True)
    status: str
    created_at: datetime = Field(sa_type=Moment, index=True)
    finished_at: datetime | None = Field(default=None, sa_type=Moment)
    version: str
    request: bytes = Field(sa_type=LargeBinary)
    controls: bytes = Field(sa_type=LargeBinary)


class SampleRow(SQLModel, table=True):
    """A sample, once for all runs that ask it."""

    __tablename__ = "sample"
    id: str = Field(primary_key=True)
    suite: str
    task: str
    level: int
    family: str
    body: bytes = Field(sa_type=LargeBinary)


class CellRow(SQLModel, table=True):
    """One system x one task of a run."""

    __tablename__ = "cell"
    id: str = Field(sa_type=String(32), primary_key=True)
    run_id: str = _key("run.id", index=True)
    system_id: str
    task: str
    pending: int


class ShardRow(SQLModel, table=True):
    """A slice of a cell's attempts."""

    __tablename__ = "shard"
    id: str = Field(sa_type=String(32), primary_key=True)
    cell_id: str = _key("cell.id", index=True)
    run_id: str = _key("run.id", index=True)
    system_id: str
    closed: bool
    epochs: int
    sample_ids: bytes = Field(sa_type=LargeBinary)


class LeaseRow(SQLModel, table=True):
    """The process that drives a run; no row, or a row that is not beating, when none does."""

    __tablename__ = "lease"
    run_id: str = _key("run.id", primary=True)
    token: str
    beat_at: datetime = Field(sa_type=Moment)
    holder: bytes = Field(sa_type=LargeBinary)


class EndpointRow(SQLModel, table=True):
    """One engine session."""

    __tablename__ = "endpoint"
    id: str = Field(sa_type=String(32), primary_key=True)
    run_id: str = _key("run.id", index=True)
    healthy: bool
    touched_at: datetime = Field(sa_type=Moment)
    stopped_at: datetime | None = Field(default=None, sa_type=Moment)
    seconds: bytes = Field(sa_type=LargeBinary)
    body: bytes = Field(sa_type=LargeBinary)


class AttemptRow(SQLModel, table=True):
    """One attempt. At most one per key is current, that is, not superseded."""

    __tablename__ = "attempt"
    __table_args__ = (
        Index(
            "attempt_current",
            "run_id",
            "system_id",
            "sample_id",
            "epoch",
            unique=True,
            sqlite_where=text("superseded_by IS NULL"),
            postgresql_where=text("superseded_by IS NULL"),
        ),
    )
    id: str = Field(sa_type=String(32), primary_key=True)
    run_id: str = _key("run.id")
    system_id: str
    sample_id: str = Field(sa_column_args=[ForeignKey("sample.id")])
    epoch: int
    cell_id: str
    endpoint_id: str = Field(sa_type=String(32), index=True)
    superseded_by: str | None = None
    status: str
    passed: bool
    value: float | None
    reason: str
    scorer: str
    components: bytes = Field(sa_type=LargeBinary)
    fault_kind: str
    fault_message: str
    stop: str
    truncated: bool
    parse_failures: int
    retries: int
    calls: int
    prompt_tokens: int | None = Field(sa_type=BigInteger)
    cached_tokens: int | None = Field(sa_type=BigInteger)
    completion_tokens: int | None = Field(sa_type=BigInteger)
    seconds: float
    started_at: datetime = Field(sa_type=Moment)
    ended_at: datetime = Field(sa_type=Moment)


class TranscriptRow(SQLModel, table=True):
    """An attempt's transcript, compressed: zlib over msgspec JSON."""

    __tablename__ = "transcript"
    attempt_id: str = _key("attempt.id", primary=True)
    body: bytes = Field(sa_type=LargeBinary)


class ModelCallRow(SQLModel, table=True):
    """One model call: the provider's own usage body, untouched, and its timing."""

    __tablename__ = "model_call"
    attempt_id: str = _key("attempt.id", primary=True)
    n: int = Field(primary_key=True)
    started_at: datetime = Field(sa_type=Moment)
    e2el_s: float
    ttft_s: float | None
    finish_reason: str
    retries: int
    served_model: str
    raw_usage: bytes = Field(sa_type=LargeBinary)


class PriceRow(SQLModel, table=True):
    """A dated price that ledger lines point at."""

    __tablename__ = "price"
    id: str = Field(sa_type=String(32), primary_key=True)
    kind: str
    body: bytes = Field(sa_type=LargeBinary)


class LedgerRow(SQLModel, table=True):
    """One append-only line of cost; triggers refuse to change or delete it.

    Its cause is an attempt, or an engine session that served none.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        UniqueConstraint("attempt_id", "basis", "price_id"),
        UniqueConstraint("endpoint_id", "basis", "price_id"),
        CheckConstraint("(attempt_id IS NULL) <> (endpoint_id IS NULL)", name="ledger_cause"),
    )
    id: int | None = Field(default=None, primary_key=True)
    run_id: str = _key("run.id", index=True)
    attempt_id: str | None = _key("attempt.id")
    endpoint_id: str | None = _key("endpoint.id")
    basis: str
    price_id: str
    dollars: Decimal | None = Field(sa_type=Dollars)
    seconds: float | None
    usage: bytes = Field(sa_type=LargeBinary)
    at: datetime = Field(sa_type=Moment)


class ScoreRevisionRow(SQLModel, table=True):
    """A verdict given later by another scorer; append-only."""

    __tablename__ = "score_revision"
    id: int | None = Field(default=None, primary_key=True)
    attempt_id: str = _key("attempt.id", index=True)
    at: datetime = Field(sa_type=Moment)
    score: bytes = Field(sa_type=LargeBinary)


TABLES = SQLModel.metadata.tables
RUN = TABLES["run"]
SAMPLE = TABLES["sample"]
CELL = TABLES["cell"]
SHARD = TABLES["shard"]
LEASE = TABLES["lease"]
ENDPOINT = TABLES["endpoint"]
ATTEMPT = TABLES["attempt"]
TRANSCRIPT = TABLES["transcript"]
MODEL_CALL = TABLES["model_call"]
PRICE = TABLES["price"]
LEDGER = TABLES["ledger"]
SCORE_REVISION = TABLES["score_revision"]
