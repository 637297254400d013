"""What the service knows by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from msgspec import Struct

from qbench.benchmarks.catalogue import load_suite, suite_names
from qbench.service.api.answers import answer, says
from qbench.service.api.deps import PricesDep, Reader
from qbench.service.apiprices import installed_litellm, price_lookup, price_missing
from qbench.service.catalogue import DEFAULT_MODEL, ENGINES, MODELS, Model
from qbench.service.formats import Formats, known_formats
from qbench.service.money import MachinePrice, TokenPrice
from qbench.service.pricebook import PriceBook
from qbench.service.reports.values import SCHEMA

router = APIRouter(prefix="/v1/catalogue", tags=["catalogue"])


class Models(Struct, frozen=True, kw_only=True):
    """Models known by name; any other Hub id, folder or API name works too."""

    default: str
    models: tuple[Model, ...]
    schema: int = SCHEMA


class SuiteFacts(Struct, frozen=True, kw_only=True):
    """A suite."""

    name: str
    version: str
    tasks: tuple[str, ...]
    levels: tuple[int, ...]
    description: str
    license: str
    generated: bool


class Suites(Struct, frozen=True, kw_only=True):
    """Suites."""

    suites: tuple[SuiteFacts, ...]
    schema: int = SCHEMA


class Prices(Struct, frozen=True, kw_only=True):
    """Dated prices with their sources."""

    machines: tuple[MachinePrice, ...] = ()
    models: tuple[TokenPrice, ...] = ()
    schema: int = SCHEMA


class Engines(Struct, frozen=True, kw_only=True):
    """Engines: name to what it is."""

    engines: dict[str, str]
    schema: int = SCHEMA


@router.get("/models", responses=says(Models), response_class=Response, summary="Models")
def models(_: Reader) -> Response:
    """List the models known by name."""
    return answer(Models(default=DEFAULT_MODEL, models=tuple(MODELS.values())))


@router.get("/formats", responses=says(Formats, 404), response_class=Response, summary="Formats")
def formats(
    _: Reader, gpu: Annotated[str, Query(max_length=40, description="h100, sm_90, ...")] = "sm_90"
) -> Response:
    """List the number formats, their size, and what runs them on a GPU."""
    return answer(known_formats(gpu))


@router.get("/suites", responses=says(Suites), response_class=Response, summary="Suites")
def suites(_: Reader) -> Response:
    """List the suites with their tasks and levels."""
    facts = tuple(
        SuiteFacts(
            name=suite.name,
            version=suite.version,
            tasks=tuple(suite.tasks),
            levels=tuple(suite.levels),
            description=suite.description,
            license=suite.license,
            generated=suite.generated,
        )
        for suite in map(load_suite, suite_names())
    )
    return answer(Suites(suites=facts))


@router.get("/engines", responses=says(Engines), response_class=Response, summary="Engines")
def engines(_: Reader) -> Response:
    """List the engines."""
    return answer(Engines(engines=ENGINES))


@router.get("/prices", responses=says(Prices, 404), response_class=Response, summary="Prices")
def prices(
    book: PricesDep,
    _: Reader,
    name: Annotated[str, Query(max_length=200, description="A machine or an API model.")] = "",
) -> Response:
    """Show the prices in force of all machines, or of one machine or model."""
    now = datetime.now(UTC)
    if not name:
        return answer(Prices(machines=_machines(book, now)))
    machine = book.machine_price(name, now)
    if machine is not None:
        return answer(Prices(machines=(machine,)))
    token = price_lookup(name, book, installed_litellm())(now)
    if token is None:
        raise price_missing(name, book, installed_litellm())
    return answer(Prices(models=(token,)))


def _machines(book: PriceBook, now: datetime) -> tuple[MachinePrice, ...]:
    names = (f"{one.name}-1core" if one.counted else one.name for one in book.machines)
    priced = (book.machine_price(name, now) for name in names)
    return tuple(price for price in priced if price is not None)
