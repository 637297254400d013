"""``cost-of-pass``: what a right answer costs."""

from __future__ import annotations

from typing import Annotated

import typer

from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import console
from qbench.cli.render.costs import costs
from qbench.cli.source import Server, open_source
from qbench.service.pricebook import read_prices
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.cost.report import costs_of_pass
from qbench.service.reports.cost.values import CostsOfPass
from qbench.service.reports.values import to_json


@command
def cost_of_pass(
    ref: RunRef = "last",
    basis: BasisName = "saturated",
    expert: Annotated[
        str,
        typer.Option(
            help="Dollars of an expert's right answer [default: the price book's, if any]"
        ),
    ] = "",
    retries: Annotated[
        int, typer.Option(metavar="K", help="Also show at most K attempts at each problem.")
    ] = 0,
    family: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATTERN", help="A group by MODEL@FORMAT; may be repeated."),
    ] = None,
    released: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=DAY", help="A model's release, 2026-05-01; may be repeated."),
    ] = None,
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """What a right answer costs: per problem, as a ratio of means, and on the frontier."""
    asked = {
        "expert": expert,
        "retries": retries,
        "family": family or [],
        "released": released or [],
    }
    options = CostOptions.read(
        expert=expert, retries=retries, families=family or (), released=released or ()
    )
    chosen = basis_of(basis)
    question = Question(
        kind=CostsOfPass,
        answer=lambda store: costs_of_pass(store, ref, chosen, options, read_prices()),
        path=of_run(ref, "cost-of-pass"),
        query={"basis": chosen, **asked},
    )
    with open_source(server, database) as source:
        found = source.ask(question)
    drawn("cost-of-pass", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        costs(found)
