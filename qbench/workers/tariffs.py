"""Which price a system's work is billed at, known before it starts as far as possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct

from qbench.benchmarks.catalogue import most_paths
from qbench.benchmarks.chat import Turn
from qbench.benchmarks.limits import Limits
from qbench.errors import ConfigError
from qbench.service.apiprices import installed_litellm, price_lookup, price_missing
from qbench.service.attribution import PriceAt, api_lines, call_dollars
from qbench.service.domain import Attempt, Controls, Endpoint, LedgerLine, Request, System
from qbench.service.money import MachinePrice, Spending, TokenPrice
from qbench.service.pricebook import PriceBook
from qbench.workers.hardware import this_machine

LOCAL_ENGINES = frozenset({"embedded", "vllm"})
"""Engines that run on this very machine, so that its price is known before they start."""

NOTHING = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """How work is paid: by token (``token``), by machine second (``machine``), or unpriced."""

    token: PriceAt | None = None
    machine: MachinePrice | None = None

    @property
    def per_second(self) -> Decimal:
        """Dollars per wall second of a local engine; zero where none is priced."""
        return Spending.of_machine(self.machine).per_second if self.machine else NOTHING

    def worst(self, limits: Limits, paths: int = 1) -> Decimal:
        """Return the most that an attempt of ``paths`` may cost on an API; zero where unpriced."""
        price = self.token(datetime.now(UTC)) if self.token else None
        return paths * Spending.of_api(limits, price).per_attempt if price else NOTHING

    def turn_dollars(self, turn: Turn) -> Decimal | None:
        """Price one model call; None when usage or price is unknown."""
        price = self.token(turn.timing.started_at) if self.token else None
        return call_dollars(turn.usage, price)

    def attempt_lines(self, attempt: Attempt) -> list[LedgerLine]:
        """Return the ledger lines known when an attempt ends: those of API calls."""
        return api_lines(attempt, self.token) if self.token else []


def tariff_of(system: System, endpoint: Endpoint, controls: Controls, book: PriceBook) -> Tariff:
    """Find the tariff of a system from what really serves it, in force when that started."""
    hardware = controls.hardware or endpoint.hardware
    return _tariff(system, hardware, endpoint.devices, endpoint.started_at, book)


def planned_tariff(system: System, controls: Controls, book: PriceBook) -> Tariff:
    """Find the tariff before the engine is up: local engines run on this machine."""
    hardware = controls.hardware or expected_hardware(system)
    return _tariff(system, hardware, 1, datetime.now(UTC), book)


def expected_hardware(system: System) -> str:
    """Return what a local engine will report, or an empty string for a remote one."""
    on_gpu = system.options.get("device", "") != "cpu"
    return this_machine(gpu=on_gpu).name if system.engine in LOCAL_ENGINES else ""


def other_tariff(system: System, book: PriceBook) -> Tariff:
    """Find the tariff of another model that a strategy asks: by token, however it is served.

    What no provider sells is priced by its name in the price book, or not at all.
    """
    if system.engine == "api":
        return Tariff(token=price_lookup(system.model, book, installed_litellm()))
    return Tariff(token=lambda at: book.model_price(system.model, at))


Keep = Callable[[dict[str, Struct]], None]
"""Keeps prices by id."""


def keeping(tariff: Tariff, keep: Keep) -> Tariff:
    """Return the same tariff, which hands every price to ``keep`` before a line points at it."""
    if tariff.machine is not None:
        keep({tariff.machine.id: tariff.machine})
    lookup, kept = tariff.token, set[str]()
    if lookup is None:
        return tariff

    def token(at: datetime) -> TokenPrice | None:
        price = lookup(at)
        if price is not None and price.id not in kept:
            keep({price.id: price})
            kept.add(price.id)
        return price

    return replace(tariff, token=token)


def _tariff(system: System, hardware: str, devices: int, at: datetime, book: PriceBook) -> Tariff:
    if system.engine == "api":
        return Tariff(token=price_lookup(system.model, book, installed_litellm()))
    if not hardware:
        return Tariff()
    return Tariff(machine=book.machine_price(hardware, at, devices=devices))


def check_budget(request: Request, controls: Controls, book: PriceBook) -> None:
    """Refuse a budget that could not be watched.

    Raises:
        PriceMissing: a system has no price, so that its spending would be unknown.
        ConfigError: one attempt may cost more than all of it.

    """
    if controls.budget is None:
        return
    for system in request.systems:
        tariff = planned_tariff(system, controls, book)
        worst = tariff.worst(request.limits, most_paths(system.strategy))
        if system.engine == "api" and not worst:
            raise price_missing(system.model, book)
        if worst > controls.budget:
            raise ConfigError(
                f"One attempt of {system.label} may cost ${worst:.2f} (all "
                f"{request.limits.tokens:,} tokens used), more than the budget of "
                f"${controls.budget}: none could start.",
                hint="Raise --budget, or lower --token-limit.",
            )
        if system.engine != "api" and tariff.machine is None:
            hardware = controls.hardware or expected_hardware(system) or f"{system.engine} engine"
            raise book.machine_missing(hardware)
