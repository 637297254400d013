"""Dated facts that stand in the price book beside prices, each with its source.

What an expert's answer costs, when a model was released, what a machine draws, what power costs.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from msgspec import Struct

from qbench.service.domain import fingerprint


class Expert(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a human expert's right answer to one problem of a suite costs."""

    name: str
    """Of the suite."""
    dollars: Decimal
    source: str
    checked: date
    note: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        positive(self.dollars, "dollars")
        if not self.dollars:
            raise ValueError("`dollars` is 0: leave out an expert whose cost nobody knows")
        sourced(self.source)


class Release(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a model was released."""

    name: str
    matches: tuple[str, ...] = ()
    """Regular expressions for whole normalised names without the maker: ``gpt-4o-mini``."""
    released: date
    source: str
    checked: date
    note: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        compiled(self.matches)
        sourced(self.source)


class Power(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one device, or one virtual CPU, draws at most, by its maker's document."""

    name: str
    """Price-book name of the machine."""
    watts: Decimal
    source: str
    checked: date
    note: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        positive(self.watts, "watts", "watts")
        sourced(self.source)


class Electricity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a kilowatt-hour costs."""

    name: str
    dollars_per_kwh: Decimal
    source: str
    checked: date
    valid_from: date
    valid_until: date | None = None
    note: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        positive(self.dollars_per_kwh, "dollars_per_kwh")
        sourced(self.source)

    @property
    def id(self) -> str:
        """Digest of what decides a cost, so that checking a price again does not change it."""
        return fingerprint((self.name, self.dollars_per_kwh, self.valid_from))


def positive(value: Decimal, field: str, unit: str = "dollars") -> None:
    """Raise ValueError for what is no amount."""
    if not value.is_finite() or value < 0:
        raise ValueError(f"`{field}` is {value}, not a number of {unit}")


def sourced(text: str) -> None:
    """Raise ValueError for what is no source."""
    if "://" not in text and not text.startswith("own"):
        raise ValueError(f"`source` is {text!r}: give the URL, or 'own: ...' for your own figures")


def compiled(patterns: tuple[str, ...]) -> None:
    """Raise ValueError for what is no regular expression."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


def normal(name: str) -> str:
    """Return a name in lower case with words joined by ``-``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
