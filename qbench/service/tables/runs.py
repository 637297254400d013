"""What a run is made of: its plan, its attempts, its money."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from qbench.service.tables.columns import Dollars, Moment, key


class RunRow(SQLModel, table=True):
    """One request and its state."""

    __tablename__ = "run"
    __table_args__ = (
        Index(
            "run_queue",
            "status",
            "queued_at",
            sqlite_where=text("queued_at IS NOT NULL"),
            postgresql_where=text("queued_at IS NOT NULL"),
        ),
    )
    id: str = Field(sa_type=String(32), primary_key=True)
    request_id: str = Field(index=True)
    status: str
    created_at: datetime = Field(sa_type=Moment, index=True)
    finished_at: datetime | None = Field(default=None, sa_type=Moment)
    version: str
    request: bytes = Field(sa_type=LargeBinary)
    controls: bytes = Field(sa_type=LargeBinary)
    account_id: str | None = Field(default=None, sa_type=String(32), index=True)
    schedule_id: str | None = Field(default=None, sa_type=String(32), index=True)
    priority: int = 0
    queued_at: datetime | None = Field(default=None, sa_type=Moment)
    """When it was handed to the service; NULL while the service has nothing to do for it."""
    traceparent: str = ""


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
    run_id: str = key("run.id", index=True)
    system_id: str
    task: str
    pending: int
    planned: int = 0
    """Attempts to be made."""
    scored: int = 0
    """Current attempts by status, and those that passed: what status pages read."""
    unscored: int = 0
    errored: int = 0
    passed: int = 0


class ShardRow(SQLModel, table=True):
    """A slice of a cell's attempts."""

    __tablename__ = "shard"
    id: str = Field(sa_type=String(32), primary_key=True)
    cell_id: str = key("cell.id", index=True)
    run_id: str = key("run.id", index=True)
    system_id: str
    closed: bool
    epochs: int
    sample_ids: bytes = Field(sa_type=LargeBinary)
    hosting_id: str | None = Field(default=None, sa_type=String(32), index=True)
    worker_id: str = ""
    """Who works on it; with ``token`` its lease, empty when nobody does."""
    token: str = ""
    beat_at: datetime | None = Field(default=None, sa_type=Moment)
    tries: int = 0
    """Leases in a row that saved nothing."""
    missing: int = 0
    """Attempts missing when it was leased last."""
    reserved: Decimal | None = Field(default=None, sa_type=Dollars)
    """Dollars that its lease may spend."""


class LeaseRow(SQLModel, table=True):
    """The process that drives a run; no row, or a row that is not beating, when none does."""

    __tablename__ = "lease"
    run_id: str = key("run.id", primary=True)
    token: str
    beat_at: datetime = Field(sa_type=Moment)
    holder: bytes = Field(sa_type=LargeBinary)


class EndpointRow(SQLModel, table=True):
    """One engine session."""

    __tablename__ = "endpoint"
    id: str = Field(sa_type=String(32), primary_key=True)
    run_id: str | None = key("run.id", index=True, nullable=True)
    """NULL for an engine that the gateway started."""
    healthy: bool
    touched_at: datetime = Field(sa_type=Moment)
    stopped_at: datetime | None = Field(default=None, sa_type=Moment)
    seconds: bytes = Field(sa_type=LargeBinary)
    body: bytes = Field(sa_type=LargeBinary)
    reserved: Decimal | None = Field(default=None, sa_type=Dollars)
    """Dollars set aside for an open session of a budgeted run: accrued, and a while ahead."""


class ProbeRow(SQLModel, table=True):
    """Next-token distributions of an engine session on the fixed text."""

    __tablename__ = "probe"
    endpoint_id: str = key("endpoint.id", primary=True)
    again: bool = Field(primary_key=True)
    """The second time, all passages at once."""
    run_id: str = key("run.id", index=True)
    engine_key: str
    text: str
    """Digest of the text."""
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
    run_id: str = key("run.id")
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
    attempt_id: str = key("attempt.id", primary=True)
    body: bytes = Field(sa_type=LargeBinary)


class ModelCallRow(SQLModel, table=True):
    """One model call: the provider's own usage body, untouched, and its timing."""

    __tablename__ = "model_call"
    attempt_id: str = key("attempt.id", primary=True)
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

    Its cause is an attempt, a gateway call, or an engine session that served none.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        UniqueConstraint("attempt_id", "basis", "price_id"),
        UniqueConstraint("endpoint_id", "basis", "price_id"),
        UniqueConstraint("call_id", "basis", "price_id", name="ledger_call"),
        CheckConstraint(
            "(attempt_id IS NOT NULL AND endpoint_id IS NULL AND call_id IS NULL)"
            " OR (attempt_id IS NULL AND endpoint_id IS NOT NULL AND call_id IS NULL)"
            " OR (attempt_id IS NULL AND endpoint_id IS NULL AND call_id IS NOT NULL)",
            name="ledger_one_cause",
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    run_id: str | None = key("run.id", index=True, nullable=True)
    """NULL for what the gateway spent."""
    attempt_id: str | None = key("attempt.id", nullable=True)
    endpoint_id: str | None = key("endpoint.id", nullable=True)
    call_id: str | None = key("gateway_call.id", nullable=True)
    basis: str
    price_id: str
    dollars: Decimal | None = Field(sa_type=Dollars)
    seconds: float | None
    usage: bytes = Field(sa_type=LargeBinary)
    at: datetime = Field(sa_type=Moment)


class SpendingRow(SQLModel, table=True):
    """What a run's lines add up to, kept in step with them: what status pages and budgets read."""

    __tablename__ = "spending"
    run_id: str = key("run.id", primary=True)
    basis: str = Field(primary_key=True)
    dollars: Decimal = Field(sa_type=Dollars)
    priced: int
    """Lines whose dollars are known."""
    unpriced: int


class ScoreRevisionRow(SQLModel, table=True):
    """A verdict given later by another scorer; append-only."""

    __tablename__ = "score_revision"
    id: int | None = Field(default=None, primary_key=True)
    attempt_id: str = key("attempt.id", index=True)
    at: datetime = Field(sa_type=Moment)
    score: bytes = Field(sa_type=LargeBinary)
