"""``cascade``: a cheap system first, a dear one where it seems unsure."""

from __future__ import annotations

from typing import Annotated

import typer

from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import cascade as rendered
from qbench.cli.render import console
from qbench.cli.source import Server, open_source
from qbench.service.reports.cascade.report import cascade_of
from qbench.service.reports.cascade.values import CascadeReport
from qbench.service.reports.values import to_json


@command
def cascade(
    ref: RunRef = "last",
    first: Annotated[str, typer.Option(help="The cheap system, as in `compare`.")] = ...,  # type: ignore[assignment]  # required
    then: Annotated[str, typer.Option(help="The dear one.")] = ...,  # type: ignore[assignment]
    signal: Annotated[
        str,
        typer.Option(help="votes: the cheap answers disagree; unread: none could be read."),
    ] = "votes",
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """A cheap system first, a dear one where it seems unsure: accuracy against dollars."""
    told = basis_of(basis)
    question = Question(
        kind=CascadeReport,
        answer=lambda store: cascade_of(store, ref, first, then, signal=signal, basis=told),
        path=of_run(ref, "cascade"),
        query={"first": first, "then": then, "signal": signal, "basis": told},
    )
    with open_source(server, database) as source:
        found = source.ask(question)
    drawn("cascade", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        rendered.cascade(found)
