"""``compare`` and ``noise``: what differs between systems, and between runs of the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command
from qbench.cli.question import Question, of_run
from qbench.cli.render import console, recovery, spread, tables
from qbench.cli.source import Server, open_source
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Basis
from qbench.service.reports.comparison import comparison
from qbench.service.reports.noise import noise_of
from qbench.service.reports.noise_values import RunNoise
from qbench.service.reports.recovery import recovery_of
from qbench.service.reports.recovery_values import FormatComparison
from qbench.service.reports.values import Comparison, to_json


def _comparison(ref: str, first: str, second: str) -> Question[Comparison]:
    return Question(
        kind=Comparison,
        answer=lambda store: comparison(store, ref, first, second),
        path=of_run(ref, "compare"),
        query={"first": first, "second": second},
    )


def _recovery(ref: str, basis: Basis) -> Question[FormatComparison]:
    return Question(
        kind=FormatComparison,
        answer=lambda store: recovery_of(store, ref, basis),
        path=of_run(ref, "recovery"),
        query={"basis": basis},
    )


def _noise(refs: Sequence[str]) -> Question[RunNoise]:
    return Question(
        kind=RunNoise,
        answer=lambda store: noise_of(store, refs),
        path="/v1/noise",
        query={"run": list(refs)},
    )


@command
def compare(
    ref: RunRef,
    first: Annotated[str, typer.Argument(help="A format, or MODEL@FORMAT.")] = "",
    second: Annotated[str, typer.Argument(help="Another one.")] = "",
    by: Annotated[
        str, typer.Option("--by", help="format: the baseline against every format.")
    ] = "",
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Compare two systems of a run part by part, or its baseline with every format."""
    if by not in ("", "format"):
        raise NotFound.among("way to compare", by, ["format"])
    if bool(by) == bool(first) or bool(first) != bool(second):
        raise ConfigError(
            "Two systems are compared, or all formats.",
            hint="qbench compare RUN w4a16 bf16, or qbench compare RUN --by format",
        )
    with open_source(server, database) as source:
        if by:
            _by_format(source.ask(_recovery(ref, basis_of(basis))), json=json)
            return
        found = source.ask(_comparison(ref, first, second))
    if json:
        console.raw(to_json(found))
    else:
        tables.comparison(found)


def _by_format(found: FormatComparison, *, json: bool) -> None:
    if json:
        console.raw(to_json(found))
    else:
        recovery.by_format(found)


@command
def noise(
    refs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Runs of the same systems; one: all ended runs of its request."
        ),
    ],
    server: Server = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Show how far runs of the same systems are apart: Std@Acc, length, divergence."""
    with open_source(server, database) as source:
        found = source.ask(_noise(refs))
    if json:
        console.raw(to_json(found))
    else:
        spread.noise(found)
