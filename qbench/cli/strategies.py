"""``strategies``: how an answer may be made, and what each way reached in a run."""

from __future__ import annotations

from typing import Annotated

import typer

from qbench.benchmarks.catalogue import STRATEGIES, load_strategy
from qbench.cli.options import BasisName, Database, Json, basis_of, command
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import console, tables
from qbench.cli.render import strategies as rendered
from qbench.cli.source import Server, open_source
from qbench.errors import ConfigError
from qbench.service.domain import Basis
from qbench.service.reports.strategies.report import strategies_of
from qbench.service.reports.strategies.values import StrategyReport
from qbench.service.reports.values import SCHEMA, to_json


@command
def strategies(
    ref: Annotated[
        str,
        typer.Argument(metavar="[RUN]", help="Run id, its beginning, or `last` [default: list]"),
    ] = "",
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Strategies: how an answer may be made; of a run, what each reached, took and cost."""
    if ref:
        _of_run(ref, basis_of(basis), (server, database), plot, json=json)
    elif plot:
        raise ConfigError("There is nothing to draw.", hint="Name a run: qbench strategies last.")
    else:
        _listed(json=json)


def strategies_question(ref: str, basis: Basis) -> Question[StrategyReport]:
    """Ask what the strategies of a run reached."""
    return Question(
        kind=StrategyReport,
        answer=lambda store: strategies_of(store, ref, basis),
        path=of_run(ref, "strategies"),
        query={"basis": basis},
    )


def _of_run(ref: str, basis: Basis, where: tuple[str, str], plot: str, *, json: bool) -> None:
    with open_source(*where) as source:
        found = source.ask(strategies_question(ref, basis))
    drawn("strategies", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        rendered.strategies(found)


def _listed(*, json: bool) -> None:
    ways = [load_strategy(name) for name in STRATEGIES]
    facts = [
        {
            "name": way.name,
            "version": way.version,
            "number": way.number,
            "options": dict(way.options),
            "sampled": way.sampled,
            "description": way.description,
        }
        for way in ways
    ]
    if json:
        console.raw(to_json({"schema": SCHEMA, "strategies": facts}))
        return
    rows = (
        (
            f"{way.name}@{way.number}" if way.number else way.name,
            ", ".join(f"{key}={value}" for key, value in way.options.items()) or "–",
            way.description,
        )
        for way in ways
    )
    tables.rows_of(("Strategy", "Options and defaults", "How an answer is made"), rows)
