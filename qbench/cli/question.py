"""What a reading verb asks: once for this machine's database, once for a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from msgspec import Struct

from qbench.service.store import Store

T = TypeVar("T")


class Question(Struct, Generic[T], frozen=True, kw_only=True):
    """A question about runs, whose answer is the same value either way."""

    kind: type[T]
    """Of the answer."""
    answer: Callable[[Store], T]
    """Where the database is here."""
    path: str
    """Where a server is asked; see ``of_run``."""
    query: dict[str, Any] = {}
    """Its parameters; empty ones are not sent."""


def of_run(ref: str, what: str) -> str:
    """Return the path of ``what`` about a run."""
    return f"/v1/runs/{quote(ref, safe='')}/{what}"
