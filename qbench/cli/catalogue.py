"""``models`` and ``prices``: what qbench knows by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from qbench.cli.options import Json, command
from qbench.cli.render import console, tables
from qbench.service.apiprices import installed_litellm, price_lookup, price_missing
from qbench.service.catalogue import DEFAULT_MODEL, MODELS, is_api
from qbench.service.money import MachinePrice, TokenPrice
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.reports.values import SCHEMA, to_json


@command
def models(json: Json = False) -> None:
    """Models qbench knows by name; any other Hub id, folder or API name works too."""
    if json:
        known = list(MODELS.values())
        console.raw(to_json({"schema": SCHEMA, "default": DEFAULT_MODEL, "models": known}))
        return
    tables.rows_of(
        ("Model", "Parameters>", "Licence", "Levels", "Note"),
        (
            (
                known.name,
                f"{known.parameters / 1e6:,.0f} M",
                known.license,
                ", ".join(map(str, known.levels)) or "all",
                f"the default; {known.note}" if known.name == DEFAULT_MODEL else known.note,
            )
            for known in MODELS.values()
        ),
    )


@command
def prices(
    name: Annotated[str, typer.Argument(help="A machine or an API model; empty: machines.")] = "",
    json: Json = False,
) -> None:
    """Dated prices of machines and API models, with their source."""
    book, now = read_prices(), datetime.now(UTC)
    found = [_one(name, book, now)] if name else _machines(book, now)
    if json:
        console.raw(to_json({"schema": SCHEMA, "prices": found}))
        return
    headers = ("Name", "Price", "Since", "Checked", "Source")
    tables.rows_of(headers, map(_price_row, found))


def _machines(book: PriceBook, now: datetime) -> list[MachinePrice | TokenPrice]:
    names = [f"{one.name}-1core" if one.counted else one.name for one in book.machines]
    priced = (book.machine_price(name, now) for name in names)
    return [price for price in priced if price is not None]


def _one(name: str, book: PriceBook, now: datetime) -> MachinePrice | TokenPrice:
    """Find the price of a machine or a model. Raises PriceMissing with close names."""
    machine = book.machine_price(name, now)
    if machine is not None:
        return machine
    token = price_lookup(name, book, installed_litellm())(now)
    if token is not None:
        return token
    if is_api(name):
        raise price_missing(name, book, installed_litellm())
    raise book.machine_missing(name)


def _price_row(price: MachinePrice | TokenPrice) -> tuple[str, ...]:
    since = f"{price.valid_from}" if price.valid_from else "–"
    checked = f"{price.checked}" if price.checked else "–"
    if isinstance(price, MachinePrice):
        said = f"{console.dollars(price.per_hour)}/h {price.commitment}"
    else:
        said = f"${price.rates.input} in, ${price.rates.output} out per million tokens"
    return price.name, said, since, checked, price.source
