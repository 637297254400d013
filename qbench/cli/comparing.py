"""``compare``: what differs between systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from qbench.benchmarks.analysis.comparison.multiplicity import Correction
from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import console, pairs, recovery, strategies
from qbench.cli.source import Server, open_source
from qbench.cli.strategies import strategies_question
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Basis
from qbench.service.reports.comparison.pairs import pairs_of
from qbench.service.reports.comparison.report import comparison
from qbench.service.reports.comparison.values import Comparison, Pairs
from qbench.service.reports.recovery.report import recovery_of
from qbench.service.reports.recovery.values import FormatComparison
from qbench.service.reports.values import to_json

T = TypeVar("T")


def _comparison(ref: str, first: str, second: str, *, one_sided: bool) -> Question[Comparison]:
    return Question(
        kind=Comparison,
        answer=lambda store: comparison(store, ref, first, second, non_inferior=one_sided),
        path=of_run(ref, "compare"),
        query={"first": first, "second": second, **_asked(one_sided=one_sided)},
    )


def _pairs(ref: str, correction: Correction, *, one_sided: bool) -> Question[Pairs]:
    return Question(
        kind=Pairs,
        answer=lambda store: pairs_of(store, ref, correction, non_inferior=one_sided),
        path=of_run(ref, "pairs"),
        query={"correction": correction, **_asked(one_sided=one_sided)},
    )


def _asked(*, one_sided: bool) -> dict[str, str]:
    return {"non_inferior": "true"} if one_sided else {}


def _recovery(ref: str, basis: Basis) -> Question[FormatComparison]:
    return Question(
        kind=FormatComparison,
        answer=lambda store: recovery_of(store, ref, basis),
        path=of_run(ref, "recovery"),
        query={"basis": basis},
    )


@command
def compare(
    ref: RunRef,
    first: Annotated[str, typer.Argument(help="A format, or MODEL@FORMAT.")] = "",
    second: Annotated[str, typer.Argument(help="Another one.")] = "",
    by: Annotated[
        str, typer.Option("--by", help="format or strategy: the first against all others.")
    ] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Every system against every other one.")
    ] = False,
    correction: Annotated[
        str,
        typer.Option(help="Of --all: holm (no false finding), or bh (few of the findings false)."),
    ] = "holm",
    non_inferior: Annotated[
        bool,
        typer.Option("--non-inferior", help="Ask only that the first is not worse by the margin."),
    ] = False,
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Compare two systems by every method, all pairs, or the baseline with every format."""
    if by not in ("", "format", "strategy"):
        raise NotFound.among("way to compare", by, ["format", "strategy"])
    if [bool(first), bool(by), every].count(True) != 1 or bool(first) != bool(second):
        raise ConfigError(
            "Two systems are compared, or all of them, or all formats.",
            hint="qbench compare RUN w4a16 bf16, qbench compare RUN --all, "
            "or qbench compare RUN --by format",
        )
    if by and plot:
        raise ConfigError(f"There is no picture of --by {by}.", hint="Draw --all, or two systems.")
    if by and non_inferior:
        raise ConfigError(
            f"--by {by} judges by its own rule.",
            hint="Use --non-inferior with --all or two systems.",
        )
    with open_source(server, database) as source:
        if by == "strategy":
            asked_by = strategies_question(ref, basis_of(basis))
            _shown("", source.ask(asked_by), strategies.strategies, json=json, plot="")
        elif by:
            _by_format(source.ask(_recovery(ref, basis_of(basis))), json=json)
        elif every:
            asked = _pairs(ref, _correction(correction), one_sided=non_inferior)
            _shown("pairs", source.ask(asked), pairs.pairs, json=json, plot=plot)
        else:
            question = _comparison(ref, first, second, one_sided=non_inferior)
            _shown("comparison", source.ask(question), pairs.comparison, json=json, plot=plot)


def _correction(name: str) -> Correction:
    known: dict[str, Correction] = {"holm": "holm", "bh": "bh"}
    if name not in known:
        raise NotFound.among("correction", name, known)
    return known[name]


def _shown(name: str, found: T, draw: Callable[[T], None], *, json: bool, plot: str) -> None:
    drawn(name, found, plot)
    if json:
        console.raw(to_json(found))
    else:
        draw(found)


def _by_format(found: FormatComparison, *, json: bool) -> None:
    if json:
        console.raw(to_json(found))
    else:
        recovery.by_format(found)
