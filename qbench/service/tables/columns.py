"""Column types, and how a foreign key is written."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, ForeignKey, String
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field


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


def key(target: str, *, index: bool = False, primary: bool = False, nullable: bool = False) -> Any:
    """Declare a foreign key to ``target``, a ``table.column``."""
    return Field(
        default=None if nullable else ...,
        sa_type=String(32),
        sa_column_args=[ForeignKey(target)],
        index=index,
        primary_key=primary,
    )
