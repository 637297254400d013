"""``frontier``: who is worth considering."""

from __future__ import annotations

from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import console, tables
from qbench.cli.source import Server, open_source
from qbench.service.domain import Basis
from qbench.service.reports.frontier import frontier_of
from qbench.service.reports.values import Frontier, to_json


def _frontier(ref: str, basis: Basis) -> Question[Frontier]:
    return Question(
        kind=Frontier,
        answer=lambda store: frontier_of(store, ref, basis),
        path=of_run(ref, "frontier"),
        query={"basis": basis},
    )


@command
def frontier(
    ref: RunRef = "last",
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Accuracy against cost: who is undominated, and how surely."""
    with open_source(server, database) as source:
        found = source.ask(_frontier(ref, basis_of(basis)))
    drawn("frontier", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        tables.frontier(found)
