"""``frontier``: who is worth considering."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import console, frontiers
from qbench.cli.source import Server, open_source
from qbench.service.domain import Basis
from qbench.service.reports.frontier.choice import GROUPINGS, Asked, read_choice
from qbench.service.reports.frontier.objectives import OBJECTIVES
from qbench.service.reports.frontier.report import frontier_of
from qbench.service.reports.frontier.values import Frontier
from qbench.service.reports.values import to_json

On = Annotated[str, typer.Option("--on", help=f"Two or three of {', '.join(OBJECTIVES)}.")]
By = Annotated[
    str, typer.Option("--by", help=f"A frontier for each {', '.join(GROUPINGS[:-1])} or task.")
]
Without = Annotated[
    str,
    typer.Option(metavar="PATTERN", help="What is lost without them: `*@w4a16`, `fp8`, `llama`."),
]
Budget = Annotated[
    str, typer.Option(help="Who is best within it: `$0.001`, or in the second objective's unit.")
]
Accuracy = Annotated[str, typer.Option(help="Who reaches it for the least: `60%`.")]
Reference = Annotated[
    str, typer.Option(help="Worst corner of the hypervolume's box: `cost=0.01,accuracy=20%`.")
]
NativeOnly = Annotated[
    bool, typer.Option("--native-only", help="Leave emulations and weight-only fallbacks out.")
]

Also = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="RUN", help="A further run on the same samples; may repeat."),
]


def _frontier(ref: str, basis: Basis, asked: Asked) -> Question[Frontier]:
    choice = read_choice(asked)
    return Question(
        kind=Frontier,
        answer=lambda store: frontier_of(store, ref, basis, choice),
        path=of_run(ref, "frontier"),
        query={"basis": basis, **msgspec.structs.asdict(asked)},
    )


@command
def frontier(
    ref: RunRef = "last",
    on: On = "accuracy,cost",
    by: By = "",
    without: Without = "",
    budget: Budget = "",
    accuracy: Accuracy = "",
    reference: Reference = "",
    native_only: NativeOnly = False,
    also: Also = None,
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Accuracy against cost, or other objectives: who is undominated, and how surely."""
    asked = Asked(
        on=on,
        by=by,
        without=without,
        budget=budget,
        accuracy=accuracy,
        reference=reference,
        native_only=native_only,
        also=tuple(also or ()),
    )
    question = _frontier(ref, basis_of(basis), asked)
    with open_source(server, database) as source:
        found = source.ask(question)
    drawn("frontier", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        frontiers.frontier(found)
