"""Prices and what usage costs at them: exact ``Decimal`` dollars, never a float, never rounded.

Two kinds of price make one axis: API models cost tokens x a dated rate, local engines cost
measured seconds x dollars per hour. Unknown is None and never zero; impossible usage is refused.
"""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Literal

from msgspec import Struct

from qbench.benchmarks.chat import TokenUsage
from qbench.errors import EngineReplyInvalid
from qbench.service.domain import Limits, fingerprint

Commitment = Literal["on-demand", "spot", "1y", "3y", "owned"]
"""How a machine is paid for. ``owned``: purchase, power and space written off per hour."""

Assumption = Literal["cached_at_input", "cache_write_at_input"]
"""A rate that the price does not name, so that the input rate was taken: dearer, never free."""

QUANTUM = Decimal("1e-12")
"""Smallest part of a dollar in a machine cost. Seconds x rate / 3600 has no finite decimal
expansion; a picodollar is a hundred-millionth of the cheapest token sold."""

SECONDS_PER_HOUR = 3600
_DIGITS = 60  # enough for every product and sum below to be exact


class Disagreement(Struct, frozen=True, kw_only=True):
    """Two price lists that differ by more than 1 % on one rate; dollars per million tokens."""

    rate: str
    """``input``, ``output``, ``cached_input`` or ``cache_write``."""
    used: Decimal
    other: Decimal
    other_origin: str

    def __str__(self) -> str:
        return f"{self.rate}: used {self.used}, but {self.other_origin} says {self.other}"


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Dollars per million tokens, by what the tokens are."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    """Prompt tokens read from a cache; None when the list names no such rate."""
    cache_write: Decimal | None = None
    """Prompt tokens written to a cache (Anthropic: the five-minute one)."""
    reasoning: Decimal | None = None
    """Only where thinking has a rate of its own; None: billed as output."""

    @property
    def highest(self) -> Decimal:
        """The dearest of the rates."""
        every = (self.input, self.output, self.cached_input, self.cache_write, self.reasoning)
        return max(rate for rate in every if rate is not None)


class Tier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates of a call with a long prompt. They hold for all its tokens, not for the excess."""

    above: int
    """Prompt tokens: a call with exactly this many still pays the tier below."""
    rates: Rates


class TokenPrice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an API model costs, from one list, at one time."""

    name: str
    """Model as it was asked for, in litellm's spelling: ``openai/gpt-5``."""
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    per_request: Decimal = Decimal(0)
    """Dollars per call."""
    source: str
    """URL of the page with the price."""
    origin: str = ""
    """The list it came through: ``genai-prices 0.2.3`` or a file name."""
    checked: date | None = None
    """When somebody last compared it with the source; None when the list does not say."""
    valid_from: date | None = None
    """None: for as long as the list knows."""
    valid_until: date | None = None
    """First day on which it does not hold any more."""
    disagreements: tuple[Disagreement, ...] = ()

    @property
    def id(self) -> str:
        """Digest of what decides a cost, so that checking a price again does not change it."""
        return fingerprint((self.name, self.rates, self.tiers, self.per_request, self.valid_from))

    def rates_at(self, prompt_tokens: int) -> Rates:
        """Return the rates of a call with ``prompt_tokens``: the highest tier it passes."""
        passed = [tier for tier in self.tiers if prompt_tokens > tier.above]
        return max(passed, key=lambda tier: tier.above).rates if passed else self.rates


class MachinePrice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a machine costs by the hour, all its devices included."""

    name: str
    """Price-book name: ``h100-sxm``."""
    hardware: str
    """As the engine reported it: ``cpu-2core``."""
    commitment: Commitment
    per_unit: Decimal
    """Dollars per hour of one device, or of one virtual CPU."""
    units: int
    """Devices or virtual CPUs in the machine."""
    provider: str
    source: str
    via: str = ""
    """Where the number was read when not on the source itself."""
    origin: str = ""
    """File name of the price book."""
    checked: date
    valid_from: date
    valid_until: date | None = None
    note: str = ""

    @property
    def id(self) -> str:
        """Digest of what decides a cost, so that checking a price again does not change it."""
        parts = (self.name, self.commitment, self.per_unit, self.units, self.valid_from)
        return fingerprint((*parts, self.provider))

    @property
    def per_hour(self) -> Decimal:
        """Dollars per hour of the whole machine."""
        return self.per_unit * self.units


class EnergyPrice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a busy second of an engine costs in electricity."""

    name: str
    """Of the electricity price."""
    hardware: str
    watts: Decimal
    """Mean over the engine's busy seconds, all devices together."""
    how: Literal["nvml", "rapl", "estimated"]
    """Which counter measured them; ``estimated``: the most that the maker's document names."""
    dollars_per_kwh: Decimal
    source: str
    origin: str = ""
    checked: date
    valid_from: date

    @property
    def id(self) -> str:
        """Digest of what decides a cost, so that checking a price again does not change it."""
        parts = (self.name, self.watts, self.how, self.dollars_per_kwh, self.valid_from)
        return fingerprint(("energy", *parts))

    @property
    def per_hour(self) -> Decimal:
        """Dollars per busy hour."""
        return self.watts * self.dollars_per_kwh / 1000


HourlyPrice = MachinePrice | EnergyPrice
"""What engine seconds can be billed at."""


def check_usage(usage: TokenUsage) -> None:
    """Raise EngineReplyInvalid, naming the counters, for usage that cannot have happened."""
    parts = (
        ("cached and cache-write", usage.cached_tokens + usage.cache_write_tokens, "prompt"),
        ("reasoning", usage.reasoning_tokens, "completion"),
    )
    wholes = {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens}
    counts = (*wholes.values(), usage.cached_tokens, usage.cache_write_tokens)
    if min(*counts, usage.reasoning_tokens) < 0:
        raise EngineReplyInvalid(
            f"The endpoint reported a negative token count: {usage}.",
            hint="Its usage cannot be priced: report it to the endpoint's maker.",
        )
    for what, count, whole in parts:
        if count > wholes[whole]:
            raise EngineReplyInvalid(
                f"The endpoint reported {count} {what} tokens in {wholes[whole]} {whole} tokens.",
                hint=f"{what.capitalize()} tokens are part of {whole} tokens; it cannot be priced.",
            )


def token_cost(usage: TokenUsage, price: TokenPrice) -> Decimal:
    """Return the exact dollars of **one call**.

    Tiers and the price per request belong to calls, so usage of several calls is priced call by
    call and the costs added. Cached and cache-write tokens are taken out of ``prompt_tokens``,
    reasoning tokens out of ``completion_tokens``: nothing is billed twice. See ``assumptions``
    for rates that the price does not name.

    Raises:
        EngineReplyInvalid: for impossible usage, such as more cached than prompt tokens.

    """
    check_usage(usage)
    rates = price.rates_at(usage.prompt_tokens)
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    spoken = usage.completion_tokens - usage.reasoning_tokens
    with localcontext(prec=_DIGITS):
        micro_dollars = (
            fresh * rates.input
            + usage.cached_tokens * _or(rates.cached_input, rates.input)
            + usage.cache_write_tokens * _or(rates.cache_write, rates.input)
            + spoken * rates.output
            + usage.reasoning_tokens * _or(rates.reasoning, rates.output)
        )
        return price.per_request + micro_dollars.scaleb(-6)


def assumptions(usage: TokenUsage, price: TokenPrice) -> tuple[Assumption, ...]:
    """Name the rates that ``token_cost`` had to assume for this usage."""
    rates = price.rates_at(usage.prompt_tokens)
    made: list[Assumption] = []
    if usage.cached_tokens and rates.cached_input is None:
        made.append("cached_at_input")
    if usage.cache_write_tokens and rates.cache_write is None:
        made.append("cache_write_at_input")
    return tuple(made)


def exact_seconds(seconds: float) -> Decimal:
    """Return the decimal that ``seconds`` prints as, which is what was measured."""
    return Decimal(str(seconds))


def machine_cost(seconds: Decimal, price: HourlyPrice) -> Decimal:
    """Return the dollars of ``seconds`` of the whole machine, to the nearest ``QUANTUM``."""
    with localcontext(prec=_DIGITS):
        dollars = seconds * price.per_hour / SECONDS_PER_HOUR
        return dollars.quantize(QUANTUM, rounding=ROUND_HALF_EVEN)


def _or(rate: Decimal | None, fallback: Decimal) -> Decimal:
    return fallback if rate is None else rate


class Spending(Struct, frozen=True, kw_only=True):
    """How fast work can spend, for a guard that must stop before a budget is passed."""

    per_attempt: Decimal = Decimal(0)
    """The most that one attempt may cost on an API."""
    per_second: Decimal = Decimal(0)
    """What a started local engine costs per second of wall time, busy or not."""

    @classmethod
    def of_api(cls, limits: Limits, price: TokenPrice) -> Spending:
        """Bound an attempt: every token it may use at the dearest rate, every call it may make.

        ``limits.dollars`` bounds it too. Only a bound while the agent loop enforces the limits;
        the last call may overshoot ``limits.tokens`` by its own ``max_tokens``.
        """
        every = [price.rates, *(tier.rates for tier in price.tiers)]
        highest = max(rates.highest for rates in every)
        with localcontext(prec=_DIGITS):
            most = (limits.tokens * highest).scaleb(-6) + limits.turns * price.per_request
        return cls(per_attempt=most if limits.dollars is None else min(most, limits.dollars))

    @classmethod
    def of_machine(cls, price: MachinePrice) -> Spending:
        """Price a second of ``price``'s machine."""
        return cls(per_second=machine_cost(Decimal(1), price))

    def at_most(self, *, attempts: int = 0, seconds: float = 0.0) -> Decimal:
        """Return the most that ``attempts`` in flight and ``seconds`` of engine may still cost."""
        return attempts * self.per_attempt + exact_seconds(seconds) * self.per_second
