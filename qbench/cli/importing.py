"""``import``: results of other harnesses as runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from qbench.benchmarks.suite import Sample
from qbench.cli.options import Database, Json, command
from qbench.cli.render import console
from qbench.cli.running import show
from qbench.errors import ConfigError
from qbench.service.imports.building import build, read_files
from qbench.service.imports.values import ForeignEval
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
    samples_to: Annotated[
        str,
        typer.Option(metavar="FILE", help="Only write the samples, as JSON lines for a suite."),
    ] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Read results of inspect or lm-eval as a run: compared and priced here, but not resumed.

    Nothing is executed: a task's program is refused.
    """
    evals = read_files(files, scorer)
    if samples_to:
        _write_samples(evals, Path(samples_to))
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


def _write_samples(evals: list[ForeignEval], path: Path) -> None:
    """Write each sample once, in the order of the files."""
    found = {made.sample.id: made.sample for one in evals for made in one.attempts}
    rows = b"".join(msgspec.json.encode(_line(one)) + b"\n" for one in found.values())
    try:
        path.write_bytes(rows)
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror}.", hint="Name a file in a folder of yours."
        ) from None
    console.talk.print(f"{path}: {len(found):,} samples.", markup=False)


def _line(sample: Sample) -> dict[str, object]:
    return {
        "id": sample.details.get("native_id", sample.id),
        "task": sample.task,
        "system": sample.system,
        "prompt": sample.prompt,
        "target": sample.details.get("target"),
        "choices": sample.details.get("choices"),
        "metadata": sample.details.get("metadata") or sample.details.get("doc"),
    }
