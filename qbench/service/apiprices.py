"""What API models cost: genai-prices by date, checked against litellm's map when installed.

Only pricing paths import this module: genai-prices takes about 0.2 s to import. Nothing here goes
to the network; the lists are those of the installed packages. litellm is read as a file, never
imported (it builds some forty clients at import).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import msgspec
from genai_prices import types as genai
from genai_prices.data_snapshot import get_snapshot
from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import PriceMissing
from qbench.service.money import Disagreement, Rates, Tier, TokenPrice
from qbench.service.pricebook import USER_PRICES, PriceBook

LITELLM_FILE = "litellm/model_prices_and_context_window_backup.json"
TOLERANCE = Decimal("0.01")
"""Relative difference of two lists above which a price carries a ``Disagreement``."""

PROVIDERS = {
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "vertex_ai": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}
"""litellm's names of providers that genai-prices spells differently."""

GENAI_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}
LITELLM_KEYS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
}


LITELLM_TIER = re.compile(r"input_cost_per_token_above_(?P<thousands>\d+)k_tokens")


class LitellmMap(Struct, frozen=True, kw_only=True):
    """litellm's price list: dollars per token by model, undated."""

    models: Mapping[str, Mapping[str, Any]]
    origin: str

    def entry(self, model: str) -> Mapping[str, Any] | None:
        """Return the entry of ``model``: under its full name, else under its bare one.

        OpenAI's and Anthropic's models stand under their bare names; the provider must agree.
        """
        if model in self.models:
            return self.models[model]
        provider, _, bare = model.partition("/")
        found = self.models.get(bare)
        return found if found and found.get("litellm_provider") == provider else None


def api_price(
    model: str, at: datetime, *, book: PriceBook, litellm: LitellmMap | None = None
) -> TokenPrice | None:
    """Return the price of API ``model`` in force at ``at``, or None when no list has one.

    The user's and our price book come first, then genai-prices, then litellm's map. Where the
    last two differ by more than 1 % on a rate, the price says so in ``disagreements``. Ask only
    for models of an API engine: bare names are matched by pattern, as the providers' are.

    Args:
        model: litellm's spelling, ``provider/model``, or a bare name as ``gpt-5``.
        at: when the request was made, UTC: prices change, some by the hour of the day.
        book: ``pricebook.read_prices()``.
        litellm: ``installed_litellm()``, or another list; None leaves the check out.

    """
    own = book.model_price(model, at)
    if own is not None:
        return own
    listed = None if litellm is None else litellm.entry(model)
    found = _genai_price(model, at)
    if litellm is None or listed is None:
        return found
    if found is None:
        return _litellm_price(model, listed, litellm.origin)
    return replace(found, disagreements=_disagreements(found.rates, listed, litellm.origin))


def price_lookup(
    model: str, book: PriceBook, litellm: LitellmMap | None = None
) -> Callable[[datetime], TokenPrice | None]:
    """Return ``api_price`` of one model as a function of time alone, for ``api_lines``."""
    return lambda at: api_price(model, at, book=book, litellm=litellm)


def price_missing(model: str, book: PriceBook, litellm: LitellmMap | None = None) -> PriceMissing:
    """Build the error for an API model that no list prices, with close names."""
    known = {f"{provider.id}/{entry.id}" for provider, entry in _genai_models()}
    known |= {entry.name for entry in book.models} | set(litellm.models if litellm else ())
    close = difflib.get_close_matches(model, known, n=3, cutoff=0.6)
    said = f"Did you mean {' or '.join(close)}? " if close else ""
    return PriceMissing(
        f"There is no price for the API model {model!r}.",
        hint=f"{said}Else give its price in a file named by {USER_PRICES}: see docs/money.md.",
    )


@cache
def installed_litellm() -> LitellmMap | None:
    """Read the map out of the installed litellm, or return None where there is none."""
    try:
        return read_litellm(distribution("litellm"))
    except PackageNotFoundError:
        return None


def read_litellm(package: Distribution) -> LitellmMap | None:
    """Read the map of one litellm distribution; None when it ships none."""
    path = Path(str(package.locate_file(LITELLM_FILE)))
    if not path.is_file():
        return None
    content = msgspec.json.Decoder(dict[str, dict[str, Any]], float_hook=Decimal).decode(
        path.read_bytes()
    )
    return LitellmMap(models=content, origin=f"litellm {package.version}")


@cache
def _genai_origin() -> str:
    return f"genai-prices {version('genai-prices')}"


def _genai_models() -> list[tuple[genai.Provider, genai.ModelInfo]]:
    return [(provider, model) for provider in get_snapshot().providers for model in provider.models]


def _genai_price(model: str, at: datetime) -> TokenPrice | None:
    prefix, bare = model.split("/", 1) if "/" in model else ("", model)
    provider_id = PROVIDERS.get(prefix, prefix)
    if prefix and all(provider_id != provider.id for provider in get_snapshot().providers):
        return None
    try:
        provider, found = get_snapshot().find_provider_model(bare, None, provider_id or None, None)
    except LookupError:
        return None
    prices = found.get_prices(at.astimezone(UTC))
    rates = _genai_rates(prices, 0)
    if rates is None:
        return None
    urls = provider.pricing_urls or ["https://github.com/pydantic/genai-prices"]
    return TokenPrice(
        name=model,
        rates=rates,
        tiers=_genai_tiers(prices),
        per_request=_decimal(prices.__dict__.get("requests_kcount")).scaleb(-3),
        source=urls[0],
        origin=_genai_origin(),
        valid_from=_start(found, prices),
    )


def _genai_rates(prices: genai.ModelPrice, prompt_tokens: int) -> Rates | None:
    """Return the rates of a call with ``prompt_tokens``, or None when it sells no text."""
    named = prices.__dict__
    rates = {field: _at(named.get(key), prompt_tokens) for field, key in GENAI_KEYS.items()}
    if rates["input"] is None or rates["output"] is None:
        return None
    return msgspec.convert(rates, Rates)


def _genai_tiers(prices: genai.ModelPrice) -> tuple[Tier, ...]:
    tiered = [p for p in prices.__dict__.values() if isinstance(p, genai.TieredPrices)]
    starts = sorted({tier.start for price in tiered for tier in price.tiers})
    tiers = [(start, _genai_rates(prices, start + 1)) for start in starts]
    return tuple(Tier(above=start, rates=rates) for start, rates in tiers if rates is not None)


def _at(price: Decimal | genai.TieredPrices | None, prompt_tokens: int) -> Decimal | None:
    if not isinstance(price, genai.TieredPrices):
        return price
    passed = [tier.price for tier in price.tiers if prompt_tokens > tier.start]
    return passed[-1] if passed else price.base


def _start(model: genai.ModelInfo, prices: genai.ModelPrice) -> Any:
    """Return the day from which ``prices`` hold, where the list gives one."""
    entries = model.prices if isinstance(model.prices, list) else []
    found = [entry.constraint for entry in entries if entry.prices is prices]
    return next((c.start_date for c in found if isinstance(c, genai.StartDateConstraint)), None)


def _litellm_price(model: str, entry: Mapping[str, Any], origin: str) -> TokenPrice | None:
    """Return the price of a model that only litellm lists; two zeros there mean unknown."""
    rates = _litellm_rates(entry)
    if entry.get("mode") not in ("chat", "completion", "responses"):
        return None
    if not rates.get("input") or not rates.get("output"):
        return None
    return TokenPrice(
        name=model,
        rates=msgspec.convert(rates, Rates),
        tiers=_litellm_tiers(entry, rates),
        source=str(entry.get("source") or "https://github.com/BerriAI/litellm"),
        origin=origin,
    )


def _litellm_rates(entry: Mapping[str, Any], suffix: str = "") -> dict[str, Decimal]:
    """Return dollars per million tokens; a cache rate of 0 there stands for none."""
    values = {field: _decimal(entry.get(key + suffix)) for field, key in LITELLM_KEYS.items()}
    return {field: value.scaleb(6) for field, value in values.items() if value}


def _litellm_tiers(entry: Mapping[str, Any], rates: dict[str, Decimal]) -> tuple[Tier, ...]:
    found = (LITELLM_TIER.fullmatch(key) for key in entry)
    thousands = sorted(int(match["thousands"]) for match in found if match)
    return tuple(
        Tier(
            above=count * 1000,
            rates=msgspec.convert(rates | _litellm_rates(entry, f"_above_{count}k_tokens"), Rates),
        )
        for count in thousands
    )


def _disagreements(rates: Rates, entry: Mapping[str, Any], origin: str) -> tuple[Disagreement, ...]:
    theirs = _litellm_rates(entry)
    pairs = [(field, getattr(rates, field), other) for field, other in theirs.items()]
    return tuple(
        Disagreement(rate=field, used=ours, other=other, other_origin=origin)
        for field, ours, other in pairs
        if ours is not None and abs(ours - other) > TOLERANCE * max(ours, other)
    )


def _decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value or 0)
