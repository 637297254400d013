"""What is asked about costs of right answers, read from the texts of a command line or a URL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

from msgspec import Struct

from qbench.errors import ConfigError
from qbench.service.pricebook import PriceBook
from qbench.service.reports.cost.values import ExpertCost

MOST_RETRIES = 1000


class CostOptions(Struct, frozen=True, kw_only=True):
    """What the user says beyond the run."""

    expert: Decimal | None = None
    """Dollars of an expert's answer; None: what the price book says of the suite."""
    retries: int = 0
    """K; 0 leaves them out."""
    families: dict[str, str] = {}
    """Name to a shell pattern of MODEL@FORMAT."""
    released: dict[str, date] = {}
    """Model, or the end of its name, to its day."""

    @classmethod
    def read(
        cls,
        *,
        expert: str = "",
        retries: int = 0,
        families: Sequence[str] = (),
        released: Sequence[str] = (),
    ) -> CostOptions:
        """Read texts. Raises ConfigError."""
        if not 0 <= retries <= MOST_RETRIES:
            raise ConfigError(
                f"Cannot try {retries} times.", hint=f"Give --retries from 1 to {MOST_RETRIES}."
            )
        days = dict(_pair(text, "released", "MODEL=2026-05-01") for text in released)
        return cls(
            expert=_dollars(expert) if expert else None,
            retries=retries,
            families=dict(_pair(text, "family", "NAME='*llama*'") for text in families),
            released={model: _day(day) for model, day in days.items()},
        )

    def expert_of(self, suite: str, book: PriceBook) -> ExpertCost | None:
        """Return the expert of a suite: the one given, else the book's, else None."""
        if self.expert is not None:
            return ExpertCost(dollars=self.expert, source="own: given with --expert")
        known = book.expert(suite)
        if known is None:
            return None
        return ExpertCost(dollars=known.dollars, source=known.source, checked=known.checked)

    def released_on(self, model: str, book: PriceBook) -> date | None:
        """Return a model's day: the one given, else the book's, else None."""
        for name, day in self.released.items():
            if name.lower() in (model.lower(), model.rsplit("/", 1)[-1].lower()):
                return day
        known = book.release(model)
        return known.released if known else None


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ConfigError(f"Cannot read {text!r}.", hint=f"Write --{option} {example}.")
    return name, value


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a day.", hint="Write --released MODEL=2026-05-01."
        ) from None


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount <= 0:
        raise ConfigError(
            f"Cannot read an expert's cost from {text!r}.", hint="Write dollars: --expert 2.50."
        )
    return amount
