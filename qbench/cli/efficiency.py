"""``efficiency``: what a run's tokens would take on a dedicated machine, and a score."""

from __future__ import annotations

from typing import Annotated

import typer

from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import console, efficient
from qbench.cli.source import Server, open_source
from qbench.service.pricebook import read_prices
from qbench.service.reports.efficiency.profiles import Nominal
from qbench.service.reports.efficiency.report import Wanted, efficiency_of
from qbench.service.reports.efficiency.values import Efficiency
from qbench.service.reports.efficiency.weighing import DEFAULT_WEIGHTS
from qbench.service.reports.values import to_json


def _efficiency(ref: str, wanted: Wanted) -> Question[Efficiency]:
    query = {
        "basis": wanted.basis,
        "profile": wanted.profile,
        "cached": wanted.cached or None,
        "weights": wanted.weights,
        "watts": wanted.nominal.watts,
    }
    return Question(
        kind=Efficiency,
        answer=lambda store: efficiency_of(store, ref, read_prices(), wanted),
        path=of_run(ref, "efficiency"),
        query={name: value for name, value in query.items() if value is not None},
    )


@command
def efficiency(
    ref: RunRef = "last",
    profile: Annotated[
        str,
        typer.Option(
            help="Cost every system, APIs too, with this one: format, MODEL@FORMAT or id"
            " [default: each system with its own]"
        ),
    ] = "",
    weights: Annotated[
        str, typer.Option(help="Of the score: accuracy, cost, latency, memory.")
    ] = DEFAULT_WEIGHTS,
    cached: Annotated[
        bool, typer.Option("--cached", help="Leave out prompt tokens that a cache served.")
    ] = False,
    watts: Annotated[
        float | None,
        typer.Option(min=0, help="Power of one device [default: measured, else the price book's]"),
    ] = None,
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Cost a run's recorded tokens on a dedicated machine, without running; weigh its systems."""
    wanted = Wanted(
        basis=basis_of(basis),
        profile=profile,
        cached=cached,
        weights=weights,
        nominal=Nominal(watts=watts),
    )
    with open_source(server, database) as source:
        found = source.ask(_efficiency(ref, wanted))
    drawn("efficiency", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        efficient.report(found)
