"""What an engine's electricity costs: its watts, measured or documented, at a dated price."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from msgspec import Struct

from qbench.service.domain import Endpoint
from qbench.service.money import EnergyPrice, exact_seconds
from qbench.service.pricebook import PriceBook

MILLIWATT = Decimal("0.001")


class Drawn(Struct, frozen=True, kw_only=True):
    """What an engine's devices drew, spread over its busy seconds."""

    watts: Decimal
    how: Literal["nvml", "rapl", "estimated"]
    hardware: str


def power_drawn(endpoint: Endpoint, hardware: str, book: PriceBook) -> Drawn | None:
    """Return what a session drew; None where it was not measured and nobody documents it.

    Measured joules are all from when attempts could come to the end, idle time in between
    included. An estimate takes the documented maximum for the busy seconds, and nothing for the
    rest.

    Args:
        endpoint: with its final seconds.
        hardware: price-book name that the user gave; empty: what the engine reports.
        book: for documented watts.

    """
    measured, busy = endpoint.details.get("energy"), exact_seconds(endpoint.seconds.busy)
    name = hardware or endpoint.hardware
    if measured and busy > 0:
        watts = Decimal(str(measured["joules"])) / busy
        exact = watts.quantize(MILLIWATT, rounding=ROUND_HALF_EVEN)
        return Drawn(watts=exact, how=measured["meter"], hardware=name)
    documented = book.watts(name, devices=endpoint.devices) if name else None
    if documented is None:
        return None
    return Drawn(watts=documented[1], how="estimated", hardware=name)


def energy_price(drawn: Drawn, book: PriceBook, at: datetime) -> EnergyPrice | None:
    """Return what a busy second costs at the price of electricity in force; None without one."""
    power = book.kilowatt_hour(at)
    if power is None:
        return None
    return EnergyPrice(
        name=power.name,
        hardware=drawn.hardware,
        watts=drawn.watts,
        how=drawn.how,
        dollars_per_kwh=power.dollars_per_kwh,
        source=power.source,
        origin=power.origin,
        checked=power.checked,
        valid_from=power.valid_from,
    )


def at_electricity(price: EnergyPrice, book: PriceBook, at: datetime) -> EnergyPrice | None:
    """Return the same watts at the electricity of another day; None without a price."""
    drawn = Drawn(watts=price.watts, how=price.how, hardware=price.hardware)
    return energy_price(drawn, book, at)
