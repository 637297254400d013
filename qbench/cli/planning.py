"""``plan``: what a run would do, cost and be able to detect; and what would settle a run."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec.structs import replace

from qbench.benchmarks.analysis.design import POWER
from qbench.cli.options import Database, Json, Wish, ordering
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.remote import RemoteSource, connected
from qbench.cli.render import console, forecasts, plans, tables
from qbench.cli.source import Server, open_source, place_of
from qbench.errors import ConfigError
from qbench.service.domain import Controls, Request
from qbench.service.order import to_request
from qbench.service.others import others_of
from qbench.service.plan import Plan, make_plan
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.reports.prospect.design import settling
from qbench.service.reports.prospect.forecast import Forecast
from qbench.service.reports.prospect.report import Prospect, prospect_of
from qbench.service.reports.prospect.values import Planned, Settling
from qbench.service.reports.values import to_json
from qbench.service.store import Store
from qbench.workers.engines import load_engine
from qbench.workers.others import worst_attempt
from qbench.workers.tariffs import expected_hardware, planned_tariff

POINTS = re.compile(r"(?P<number>\d+\.?\d*|\.\d+)\s*(?P<unit>pts?|points?)?")


def planned(
    mde: Annotated[
        str,
        typer.Option(metavar="POINTS", help="How many samples show so small a difference? 1pt."),
    ] = "",
    power: Annotated[float, typer.Option(help="Chance of showing it.")] = POWER,
    discordant: Annotated[
        float | None,
        typer.Option(
            help="Share of samples on which systems disagree [default: by past runs, else 0.3]"
        ),
    ] = None,
    settle: Annotated[
        str, typer.Option(metavar="RUN", help="What would settle a run's inconclusive verdicts?")
    ] = "",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Declare the options of a plan."""


def _plan(
    wish: Wish,
    *,
    mde: str,
    power: float,
    discordant: float | None,
    settle: str,
    plot: str,
) -> None:
    if settle:
        if plot or mde:
            raise ConfigError("--settle has no picture and no --mde.", hint="Leave them out.")
        _settle(wish, settle)
        return
    if discordant is not None and not mde:
        raise ConfigError(
            "--discordant is an assumption of --mde.", hint="Add --mde 1pt, or leave it out."
        )
    wanted = Prospect(
        order=wish.order,
        controls=wish.controls,
        mde=points_of(mde) if mde else None,
        power=power,
        discordant=discordant,
    )
    found = _planned(wish, wanted)
    _draw(found.forecast, plot)
    if wish.json:
        console.raw(to_json(found))
        return
    tables.facts(found.facts(), title="Plan")
    if found.design is not None:
        plans.design(found.design)
    if found.forecast is not None:
        forecasts.forecast(found.forecast)
    if found.paces:
        plans.paces(found.paces)


def _draw(found: Forecast | None, file: str) -> None:
    if file and not (found and found.rows):
        raise ConfigError(
            "There is nothing to draw: too few past runs for a forecast.",
            hint="Plan without --plot, or after some runs.",
        )
    drawn("forecast", found, file)


def _planned(wish: Wish, wanted: Prospect) -> Planned:
    """Plan where a server's past runs are, or here; this machine adds what it knows."""
    place = place_of(wish.server, wish.database)
    if place:
        with connected(place) as http:
            return RemoteSource(http).post(Planned, "/v1/plan", wanted)
    request, prices = to_request(wish.order), read_prices()
    plan = make_plan(request, wish.controls, now=datetime.now(UTC))
    refusals = {s.label: load_engine(s.engine).refuse(s) for s in request.systems}
    places = {s.id: wish.controls.hardware or expected_hardware(s) for s in request.systems}
    with Store.open(wish.database) as store:
        found = prospect_of(store, wanted, places=places, book=prices)
    return replace(
        found,
        dollars_per_hour=_rates(request, wish.controls, prices),
        at_most_dollars=_ceilings(plan, wish.controls, prices),
        refused={label: why for label, why in refusals.items() if why},
    )


def points_of(text: str) -> float:
    """Read ``1pt``, ``2.5 points`` or ``0.01``. Raises ConfigError."""
    found = POINTS.fullmatch(text.strip().lower())
    share = float(found["number"]) / (100 if found["unit"] else 1) if found else 0.0
    if not 0 < share < 1:
        raise ConfigError(
            f"Cannot read a difference from {text!r}.", hint="Write --mde 1pt, or --mde 0.01."
        )
    return share


def _settle(wish: Wish, ref: str) -> None:
    question = Question(
        kind=Settling, answer=lambda store: settling(store, ref), path=of_run(ref, "settle")
    )
    with open_source(wish.server, wish.database) as source:
        found = source.ask(question)
    if wish.json:
        console.raw(to_json(found))
    else:
        plans.settling(found)


def _rates(request: Request, controls: Controls, prices: PriceBook) -> dict[str, float | None]:
    """Return what each local system's machine costs by the hour; None where unpriced."""
    found: dict[str, float | None] = {}
    for system in request.systems:
        machine = planned_tariff(system, controls, prices).machine
        if system.engine != "api":
            found[system.label] = float(machine.per_hour) if machine else None
    return found


def _ceilings(plan: Plan, controls: Controls, prices: PriceBook) -> dict[str, float | None]:
    """Return the most that each system can cost by token, every limit used up; None: unpriced.

    Of a local system it is what the other models of its strategy may cost.
    """
    request = plan.run.request
    attempts = len(plan.samples) * request.epochs
    found: dict[str, float | None] = {}
    for system in request.systems:
        if system.engine == "api" or others_of(system.strategy):
            tariff = planned_tariff(system, controls, prices)
            each = worst_attempt(system, tariff, request.limits, prices)
            found[system.label] = float(each * attempts) if each else None
    return found


plan = ordering(_plan, "Show what a run would do, cost and be able to detect.", planned)
