"""What a team needs beside its runs: who may do what, who works where, what recurs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, LargeBinary, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from qbench.service.tables.columns import Dollars, Moment, key


class AccountRow(SQLModel, table=True):
    """Who uses the service: a person or a program."""

    __tablename__ = "account"
    id: str = Field(sa_type=String(32), primary_key=True)
    name: str = Field(unique=True)
    created_at: datetime = Field(sa_type=Moment)


class ApiKeyRow(SQLModel, table=True):
    """A key of an account. Only its digest is kept."""

    __tablename__ = "api_key"
    id: str = Field(sa_type=String(32), primary_key=True)
    account_id: str = key("account.id", index=True)
    name: str
    hint: str
    """The key's first characters, for people."""
    digest: str = Field(unique=True)
    scopes: str
    """Comma-separated: ``read``, ``run``, ``admin``."""
    budget: Decimal | None = Field(default=None, sa_type=Dollars)
    spent: Decimal = Field(sa_type=Dollars)
    """What its gateway calls cost so far, kept in step with the ledger."""
    per_minute: int | None = None
    """Requests; NULL: not limited."""
    created_at: datetime = Field(sa_type=Moment)
    expires_at: datetime | None = Field(default=None, sa_type=Moment)
    revoked_at: datetime | None = Field(default=None, sa_type=Moment)
    used_at: datetime | None = Field(default=None, sa_type=Moment)


class AuditRow(SQLModel, table=True):
    """Who did what, append-only."""

    __tablename__ = "audit"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Moment, index=True)
    account_id: str | None = Field(default=None, sa_type=String(32))
    key_id: str | None = Field(default=None, sa_type=String(32))
    act: str
    """For example ``run.submit``."""
    target: str
    detail: bytes = Field(sa_type=LargeBinary)
    address: str


class IdempotencyRow(SQLModel, table=True):
    """A submission that may be sent again without being done again."""

    __tablename__ = "idempotency"
    account: str = Field(primary_key=True)
    """Account id; empty for the open service of one machine."""
    token: str = Field(primary_key=True)
    """The Idempotency-Key that was sent."""
    digest: str
    """Of what was submitted: the same key with another body is a mistake."""
    run_id: str = key("run.id")
    at: datetime = Field(sa_type=Moment, index=True)


class WorkerRow(SQLModel, table=True):
    """A worker process that beats."""

    __tablename__ = "worker"
    id: str = Field(sa_type=String(32), primary_key=True)
    beat_at: datetime = Field(sa_type=Moment)
    draining: bool
    body: bytes = Field(sa_type=LargeBinary)


class DeviceRow(SQLModel, table=True):
    """What one engine at a time may use; a row while one does."""

    __tablename__ = "device"
    id: str = Field(primary_key=True)
    """Machine and slot: ``3f2a.../gpu0``."""
    token: str
    beat_at: datetime = Field(sa_type=Moment)
    used_for: str
    """For people: which run or gateway model."""


class HostingRow(SQLModel, table=True):
    """One engine of a run: waiting, leased by the worker that hosts it, or over."""

    __tablename__ = "hosting"
    id: str = Field(sa_type=String(32), primary_key=True)
    run_id: str = key("run.id", index=True)
    engine_key: str
    needs: str
    """``gpu``, ``cpu`` or ``nothing``: any worker reaches it."""
    state: str = Field(index=True)
    worker_id: str = ""
    node: str = ""
    """Worker that reaches it; empty: any does."""
    token: str = ""
    beat_at: datetime | None = Field(default=None, sa_type=Moment)
    endpoint_id: str = Field(default="", sa_type=String(32))
    parallel: int = 1
    """Shards that may be leased at once, and the attempts in flight of each."""
    width: int = 1
    tries: int = 0
    reason: str = ""
    """Why it waits or was given up."""


class SweepRow(SQLModel, table=True):
    """When something that one of many processes does was done last."""

    __tablename__ = "sweep"
    name: str = Field(primary_key=True)
    at: datetime = Field(sa_type=Moment)


class ScheduleRow(SQLModel, table=True):
    """What recurs."""

    __tablename__ = "schedule"
    id: str = Field(sa_type=String(32), primary_key=True)
    account_id: str | None = key("account.id", nullable=True)
    name: str = Field(unique=True)
    cron: str
    timezone: str
    act: str
    """``run`` or ``reprice``."""
    paused: bool
    created_at: datetime = Field(sa_type=Moment)
    next_at: datetime | None = Field(default=None, sa_type=Moment, index=True)
    removed_at: datetime | None = Field(default=None, sa_type=Moment)
    body: bytes = Field(sa_type=LargeBinary)


class FiringRow(SQLModel, table=True):
    """One time that a schedule came due; at most one per due time."""

    __tablename__ = "firing"
    __table_args__ = (UniqueConstraint("schedule_id", "due_at", name="firing_once"),)
    id: str = Field(sa_type=String(32), primary_key=True)
    schedule_id: str = key("schedule.id")
    due_at: datetime = Field(sa_type=Moment)
    at: datetime = Field(sa_type=Moment)
    state: str = Field(index=True)
    run_id: str | None = key("run.id", nullable=True)
    confirm_run_id: str | None = key("run.id", nullable=True)
    body: bytes = Field(sa_type=LargeBinary)


class AlertRow(SQLModel, table=True):
    """What was raised, and whether it was delivered."""

    __tablename__ = "alert"
    id: str = Field(sa_type=String(32), primary_key=True)
    firing_id: str = key("firing.id", index=True)
    at: datetime = Field(sa_type=Moment)
    delivered_at: datetime | None = Field(default=None, sa_type=Moment)
    tries: int = 0
    error: str = ""
    body: bytes = Field(sa_type=LargeBinary)


class SnapshotRow(SQLModel, table=True):
    """A run's leaderboard at the prices of one day; append-only."""

    __tablename__ = "snapshot"
    id: str = Field(sa_type=String(32), primary_key=True)
    run_id: str = key("run.id", index=True)
    at: datetime = Field(sa_type=Moment)
    as_of: datetime = Field(sa_type=Moment)
    """Date of the prices."""
    basis: str
    body: bytes = Field(sa_type=LargeBinary)


class GatewayCallRow(SQLModel, table=True):
    """One call through the gateway: the provider's own usage body, untouched, and its timing."""

    __tablename__ = "gateway_call"
    id: str = Field(sa_type=String(32), primary_key=True)
    key_id: str | None = key("api_key.id", index=True, nullable=True)
    model: str
    endpoint_id: str | None = key("endpoint.id", index=True, nullable=True)
    """The engine session that served it; NULL for an API."""
    started_at: datetime = Field(sa_type=Moment, index=True)
    e2el_s: float
    ttft_s: float | None = None
    busy_s: float | None = None
    """Its share of the engine's busy seconds."""
    status: int
    """As HTTP."""
    error: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cached_tokens: int | None = Field(default=None, sa_type=BigInteger)
    completion_tokens: int | None = Field(default=None, sa_type=BigInteger)
    raw_usage: bytes = Field(sa_type=LargeBinary)
