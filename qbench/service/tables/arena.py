"""Tournaments: who judged what, every question to a judge with its reply and its money."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlmodel import Field, SQLModel

from qbench.service.tables.columns import Dollars, Moment, key


class TournamentRow(SQLModel, table=True):
    """One way of judging one run; the same settings are the same tournament."""

    __tablename__ = "tournament"
    id: str = Field(sa_type=String(32), primary_key=True)
    run_id: str = key("run.id", index=True)
    created_at: datetime = Field(sa_type=Moment)
    body: bytes = Field(sa_type=LargeBinary)


class JudgementRow(SQLModel, table=True):
    """One question to a judge and its reply; never changed, and never asked again."""

    __tablename__ = "judgement"
    tournament_id: str = key("tournament.id", primary=True)
    sample_id: str = Field(sa_column_args=[ForeignKey("sample.id")], primary_key=True)
    epoch: int = Field(primary_key=True)
    slot: str = Field(primary_key=True)
    """Place of the match in the design."""
    swapped: bool = Field(primary_key=True)
    """The second of the two orders."""
    first: str = key("attempt.id")
    """Attempt that was shown first."""
    second: str = key("attempt.id")
    choice: str
    confidence: float | None
    reply: str
    prompt_tokens: int | None = Field(sa_type=BigInteger)
    completion_tokens: int | None = Field(sa_type=BigInteger)
    raw_usage: bytes = Field(sa_type=LargeBinary)
    dollars: Decimal | None = Field(sa_type=Dollars)
    """Of this call alone; NULL when unknown. No ledger line: the run did not cause it."""
    price_id: str
    started_at: datetime = Field(sa_type=Moment)
    e2el_s: float
    finish_reason: str
    served_model: str
    retries: int
