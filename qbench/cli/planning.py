"""``plan``: what a run would do, cost and be able to detect; and what would settle a run."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from qbench.benchmarks.analysis.design import POWER, assumed, detectable
from qbench.cli.options import Database, Json, Wish, ordering
from qbench.cli.question import Question, of_run
from qbench.cli.render import console, plans, tables
from qbench.cli.source import Server, open_source
from qbench.errors import ConfigError
from qbench.service.domain import Controls, Request
from qbench.service.order import to_request
from qbench.service.plan import Plan, make_plan
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.reports.planning import designed, settling
from qbench.service.reports.planning_values import Design, Planned, Settling
from qbench.service.reports.sequential import decided_after
from qbench.service.reports.values import to_json
from qbench.service.store import Store
from qbench.workers.engines import load_engine
from qbench.workers.tariffs import planned_tariff

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
) -> None:
    """Declare the options of a plan."""


def _plan(wish: Wish, *, mde: str, power: float, discordant: float | None, settle: str) -> None:
    if settle:
        _settle(wish, settle)
        return
    request = to_request(wish.order)
    design = _design(wish, request, points_of(mde), power, discordant) if mde else None
    found = _planned(wish, request, design)
    if wish.json:
        console.raw(to_json(found))
        return
    tables.facts(found.facts(), title="Plan")
    if design is not None:
        plans.design(design)


def _planned(wish: Wish, request: Request, design: Design | None) -> Planned:
    prices = read_prices()
    plan = make_plan(request, wish.controls, now=datetime.now(UTC))
    refusals = {s.label: load_engine(s.engine).refuse(s) for s in request.systems}
    return Planned(
        suite=f"{request.suite} {request.suite_version}",
        levels=request.levels,
        systems=tuple(s.label for s in request.systems),
        samples=len(plan.samples),
        epochs=request.epochs,
        attempts=plan.attempts,
        cells=len(plan.cells),
        shards=len(plan.shards),
        detectable_difference=detectable(len(plan.samples), assumed().variance(1)),
        margin=request.margin,
        dollars_per_hour=_rates(request, wish.controls, prices),
        at_most_dollars=_ceilings(plan, wish.controls, prices),
        refused={label: why for label, why in refusals.items() if why},
        decided_after_samples=decided_after(request),
        design=design,
    )


def _design(
    wish: Wish, request: Request, mde: float, power: float, discordant: float | None
) -> Design:
    with Store.open(wish.database) as store:
        return designed(store, request, wish.controls, mde=mde, power=power, discordant=discordant)


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
    """Return the most that each API system can cost, every limit used up; None where unpriced."""
    request = plan.run.request
    attempts = len(plan.samples) * request.epochs
    found: dict[str, float | None] = {}
    for system in request.systems:
        if system.engine == "api":
            each = planned_tariff(system, controls, prices).worst(request.limits)
            found[system.label] = float(each * attempts) if each else None
    return found


plan = ordering(_plan, "Show what a run would do, cost and be able to detect.", planned)
