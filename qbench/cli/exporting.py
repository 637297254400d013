"""``export``: a run's attempts as lines, or as the files of other harnesses."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from qbench.cli.options import Database, RunRef, command
from qbench.cli.render import console
from qbench.cli.source import Server, open_source, place_of
from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.service.exports import inspect_log, lm_eval_files
from qbench.service.reports.values import SCHEMA, to_json
from qbench.service.store import Store

KINDS = ("jsonl", "csv", "inspect", "lm-eval")


@command
def export(
    ref: RunRef = "last",
    kind: Annotated[str, typer.Option("--to", "--as", help="jsonl, csv, inspect or lm-eval.")] = (
        "jsonl"
    ),
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where files of inspect or lm-eval go.")
    ] = "",
    server: Server = "",
    database: Database = "",
) -> None:
    """Write a run's attempts: lines to stdout, or the files that inspect or lm-eval would write.

    jsonl and csv have every attempt, superseded ones too, and the schema version on every line;
    the others have what counts.
    """
    if kind not in KINDS:
        raise NotFound.among("kind of export", kind, KINDS)
    if kind in ("jsonl", "csv"):
        if out:
            raise ConfigError(f"{kind} goes to stdout.", hint="Redirect it: > file.")
        _lines(ref, kind, server, database)
        return
    if place_of(server, database):
        raise Unsupported(
            "A server hands out lines alone.", hint="Export where the database is, or --to jsonl."
        )
    if not out:
        raise ConfigError(
            f"The files of {kind} need a folder.", hint=f"Name one: --to {kind} --out exported"
        )
    with Store.open(database) as store:
        (_inspect if kind == "inspect" else _lm_eval)(store, ref, Path(out))


def _inspect(store: Store, ref: str, folder: Path) -> None:
    for name, log in inspect_log.logs(store, store.run(ref)):
        _write(folder / name, json.dumps(log))  # NaN is inspect's own mark of unscored


def _lm_eval(store: Store, ref: str, folder: Path) -> None:
    for inner, files, left_out in lm_eval_files.folders(store, store.run(ref)):
        for name, body in files.items():
            whole = "\n".join(map(json.dumps, body)) + "\n" if isinstance(body, list) else ""
            _write(folder / inner / name, whole or json.dumps(body, indent=2))
        if left_out:
            console.talk.print(
                f"{inner}: {left_out:,} attempts errored or are unscored, which lm-eval has no"
                " word for: left out.",
                markup=False,
            )


def _write(path: Path, text: str) -> None:
    """Write a file and say so. Raises ConfigError where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror}.", hint="Name a folder of yours."
        ) from None
    console.raw(str(path).encode())


def _lines(ref: str, kind: str, server: str, database: str) -> None:
    with open_source(server, database) as source:
        rows = ({"schema": SCHEMA} | row for row in source.export(ref))
        if kind == "csv":
            _csv(rows)
        else:
            for row in rows:
                console.raw(to_json(row))


def _csv(rows: Iterable[dict[str, Any]]) -> None:
    writer: Any = None
    for row in rows:
        flat = {key: _flat(value) for key, value in row.items()}
        if writer is None:
            writer = csv.DictWriter(sys.stdout, fieldnames=list(flat))
            writer.writeheader()
        writer.writerow(flat)


def _flat(value: Any) -> Any:
    if isinstance(value, (dict, Sequence)) and not isinstance(value, str):
        return to_json(value).decode()
    return value
