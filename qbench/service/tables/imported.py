"""Runs that another harness made: where they come from."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlmodel import Field, SQLModel

from qbench.service.tables.columns import Moment, key


class ImportRow(SQLModel, table=True):
    """A run that was imported; there is no row for a run that qbench made."""

    __tablename__ = "imported"
    run_id: str = key("run.id", primary=True)
    harness: str
    version: str
    """Of the harness, as its files tell."""
    at: datetime = Field(sa_type=Moment)
    body: bytes = Field(sa_type=LargeBinary)
    """What could not be mapped."""


class ImportFileRow(SQLModel, table=True):
    """A file that was read; the same bytes are not read twice."""

    __tablename__ = "imported_file"
    sha256: str = Field(sa_type=String(64), primary_key=True)
    run_id: str = key("run.id", index=True)
    name: str
