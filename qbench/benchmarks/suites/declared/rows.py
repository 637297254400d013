"""Rows of JSONL, JSON, CSV and Parquet files, read one by one and named by file and line."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from qbench.errors import ConfigError

LONGEST_CELL = 16 * 1024 * 1024
"""Characters of one CSV cell."""

READERS = {
    ".jsonl": "qbench.benchmarks.suites.declared.rows:json_lines",
    ".ndjson": "qbench.benchmarks.suites.declared.rows:json_lines",
    ".json": "qbench.benchmarks.suites.declared.rows:json_list",
    ".csv": "qbench.benchmarks.suites.declared.rows:comma_separated",
    ".tsv": "qbench.benchmarks.suites.declared.rows:tab_separated",
    ".parquet": "qbench.benchmarks.suites.declared.parquet:parquet",
}
"""By ending; Parquet needs pyarrow and is loaded when it is asked for."""


class Row(Struct, frozen=True, kw_only=True):
    """One row and where it stands."""

    cells: dict[str, Any]
    where: str
    """File and line, or row, counted from 1."""


class BadRow(Exception):
    """A row that cannot be read; the message names file and line."""


Reader = Callable[[Path], Iterator[Row | BadRow]]


def rows(files: Sequence[Path]) -> Iterator[Row | BadRow]:
    """Read all rows of ``files`` in order; bad ones are given as what is wrong with them.

    Raises:
        ConfigError: a file is missing, empty, of an unknown kind, or needs a package.

    """
    for path in files:
        first = True
        for row in _reader(path)(path):
            first = False
            yield row
        if first:
            raise ConfigError(f"{path} has no rows.", hint="Check the file.")


def _reader(path: Path) -> Reader:
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.", hint="Check source.path.")
    if path.suffix not in READERS:
        raise ConfigError(
            f"{path} is of no known kind.", hint=f"Known endings: {', '.join(READERS)}."
        )
    module, _, name = READERS[path.suffix].partition(":")
    try:
        reader: Reader = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Reading {path.name} needs {error.name}.", hint="pip install 'qbench[suites]'"
        ) from None
    return reader


def json_lines(path: Path) -> Iterator[Row | BadRow]:
    """Read one JSON object a line; blank lines are passed over."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _object(line, f"{path.name}:{number}")


def _object(line: bytes, where: str) -> Row | BadRow:
    try:
        return Row(cells=msgspec.json.decode(line, type=dict[str, Any]), where=where)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return BadRow(f"{where}: no JSON object ({error})")


def json_list(path: Path) -> Iterator[Row | BadRow]:
    """Read a JSON file that is one list of objects."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        yield BadRow(f"{path.name}: no list of JSON objects ({error})")
        return
    for number, cells in enumerate(found, start=1):
        yield Row(cells=cells, where=f"{path.name}, row {number}")


def comma_separated(path: Path) -> Iterator[Row | BadRow]:
    """Read CSV with a line of names on top."""
    yield from _separated(path, ",")


def tab_separated(path: Path) -> Iterator[Row | BadRow]:
    """Read TSV with a line of names on top."""
    yield from _separated(path, "\t")


def _separated(path: Path, delimiter: str) -> Iterator[Row | BadRow]:
    csv.field_size_limit(LONGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.reader(lines, delimiter=delimiter, strict=True)
        names: list[str] = []
        start = 1
        try:
            for cells in table:
                where, start = f"{path.name}:{start}", table.line_num + 1
                if not names:
                    names = cells
                elif cells:
                    yield _named(names, cells, where)
        except (csv.Error, UnicodeDecodeError) as error:
            yield BadRow(f"{path.name}:{start}: {error}")


def _named(names: Sequence[str], cells: Sequence[str], where: str) -> Row | BadRow:
    if len(cells) != len(names):
        return BadRow(f"{where}: {len(cells)} cells where the top line names {len(names)}")
    return Row(cells=dict(zip(names, cells, strict=True)), where=where)
