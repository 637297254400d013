"""``import``: results of other harnesses as runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qbench.cli.options import Database, Json, command
from qbench.cli.render import console
from qbench.cli.running import show
from qbench.service.imports.building import build, read_files
from qbench.service.imports.suite_file import write_suite
from qbench.service.pricebook import read_prices
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.store import Store


@command
def import_results(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Logs of inspect (.eval, .json), results_*.json of lm-eval with their samples"
            " beside them, or folders of either.",
        ),
    ],
    scorer: Annotated[
        str,
        typer.Option(help="Whose verdicts count: a scorer of inspect, a metric of lm-eval."),
    ] = "",
    baseline: Annotated[
        str, typer.Option(help="Model the others are compared with [default: of the first file]")
    ] = "",
    suite_to: Annotated[
        str,
        typer.Option(metavar="FILE.yaml", help="Only write the samples, as a suite to run here."),
    ] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Read results of inspect or lm-eval as a run: compared and priced here, but not resumed.

    Nothing is executed: a task's program is refused.
    """
    evals = read_files(files, scorer)
    if suite_to:
        number, grader = write_suite(evals, Path(suite_to))
        console.talk.print(
            f"{suite_to}: {number:,} samples, graded by {grader}, which {evals[0].harness}'s own "
            f"{evals[0].scorer} need not agree with. Run it: qbench run -s ./{suite_to}",
            markup=False,
        )
        return
    built = build(evals, read_prices(), baseline)
    with Store.open(database) as store:
        store.save_import(built)
        console.talk.print(
            f"Run {built.run.id}: {len(built.attempts):,} attempts of "
            f"{len(built.run.request.systems)} systems; {built.origin.told}",
            markup=False,
        )
        show(leaderboard_of(store, built.run.id, components=json), json=json)
