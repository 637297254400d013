"""A published table of results as text: which column means what, and the number in each cell."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from qbench.benchmarks.analysis.printed import Printed, printed
from qbench.errors import ConfigError, NotFound

NAMES: dict[str, tuple[str, ...]] = {
    "system": ("system", "model", "setting", "method", "agent", "name", "format"),
    "group": ("group", "domain", "table", "task", "suite", "benchmark", "category"),
    "case": ("case", "use_case"),
    "n": ("n", "samples", "tasks", "n_items", "n_samples", "problems"),
    "trials": ("trials", "n_runs", "runs", "epochs"),
    "passed": ("passed", "correct", "successes", "resolved"),
    "accuracy": ("accuracy", "acc", "pass_rate", "success_rate", "pass_1", "score", "resolve_rate"),
    "se": ("se", "stderr", "standard_error", "std_err"),
    "cost": ("cost", "usd", "cost_per_attempt", "dollars", "cost_per_task", "mean_cost"),
    "cost_of_pass": ("cost_of_pass", "published_cost_of_pass", "ratio_of_means_cost_of_pass"),
    "recovery": ("recovery", "published_recovery"),
    "latency": ("latency", "latency_s", "seconds", "e2e_latency_s"),
    "gpu": ("gpu", "hardware", "device"),
    "gpus": ("gpus", "n_gpus", "gpu_count"),
    "qpd": ("qpd", "queries_per_dollar"),
    "reduction": ("cost_reduction", "avg_cost_reduction", "published_avg_cost_reduction"),
}
"""Role to the names it is recognised by; the first that a table has is taken."""

TEXTS = ("system", "group", "case", "gpu")
PASS = re.compile(r"^pass_([2-9])$")
UNKNOWN = ("", "-", "–", "—", "n/a", "na", "nan", "none", "null", "?")
NOTHING = ("", "-", "–", "—")
"""Unknown as a name: ``none`` is one, an effort for example."""
UNITS = re.compile(r"_(pct|percent|usd|usd_per_attempt)$")
SHARES = ("accuracy", "recovery", "se")
ROW = "row"


@dataclass(frozen=True)
class Cells:
    """One row: text by role."""

    number: int
    """From 1, as a reader counts them."""
    texts: dict[str, str]
    percent: frozenset[str]
    """Roles printed in percent."""

    def text(self, role: str) -> str:
        """Return what stands there; empty where it is unknown."""
        return self.texts.get(role, "")

    @cached_property
    def numbers(self) -> dict[str, Printed]:
        """The known numbers by role, shares between 0 and 1. Raises ConfigError."""
        known = {role: text for role, text in self.texts.items() if text and role not in TEXTS}
        return {role: self._read(role, text) for role, text in known.items()}

    def _read(self, role: str, text: str) -> Printed:
        try:
            number = printed(re.sub(r"[$%,\s]", "", text))
        except ValueError:
            number = Printed(value=-1.0, low=-1.0, high=-1.0)
        if number.value < 0:
            raise ConfigError(
                f"Row {self.number} has {text!r} as its {role}.",
                hint=f"Mend the table, or leave the column out: --map {role}=",
            )
        return number.times(0.01) if role in self.percent else number

    def value(self, role: str) -> float | None:
        """Return a number as it is printed; None where unknown."""
        found = self.numbers.get(role)
        return None if found is None else found.value


@dataclass(frozen=True)
class Table:
    """All rows, and which column was taken for what."""

    name: str
    columns: dict[str, str]
    """Role to the column's name, or to several joined with ``+``."""
    ignored: tuple[str, ...]
    rows: tuple[Cells, ...] = field(repr=False)


def read_table(path: Path, mapping: Mapping[str, str]) -> Table:
    """Read a table.

    Args:
        path: a .csv with a header, or a .json list of objects.
        mapping: role to column; several joined with ``+``; an empty one takes the role away.

    Raises:
        ConfigError: the file cannot be read, is empty, or says nothing about results.
        NotFound: no such role or column.

    """
    records = _records(path)
    headers = list(dict.fromkeys(name for record in records for name in record))
    columns = _columns(headers, mapping)
    used = {name for column in columns.values() for name in column.split("+")}
    plain = [
        {role: _cell(record, name, role) for role, name in columns.items()} for record in records
    ]
    percent = _percents(columns, plain)
    return Table(
        name=path.name,
        columns=columns,
        ignored=tuple(name for name in headers if name not in used),
        rows=tuple(Cells(at, texts, percent) for at, texts in enumerate(plain, 1)),
    )


def _records(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = _from_json(text) if path.suffix.lower() == ".json" else _from_csv(text)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"Cannot read {path}: {why}.",
            hint="Give a .csv with a header, or a .json list of rows.",
        ) from None
    if not found:
        raise ConfigError(f"{path} has no row.", hint="Give a table with a header and rows.")
    return found


def _from_csv(text: str) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text), restval="")
    return [{name: value for name, value in row.items() if name} for row in rows]


def _from_json(text: str) -> list[dict[str, str]]:
    """Read rows with every digit that was printed."""
    found = json.loads(text, parse_float=str, parse_int=str)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError("it is no list of objects")
    return [{name: _text(value) for name, value in row.items()} for row in found]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _columns(headers: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    plain = {name: _plain(name) for name in headers}
    found = {role: name for role, names in NAMES.items() for name in _first(plain, names)}
    passes = {name: match[1] for name, text in plain.items() if (match := PASS.match(text))}
    found |= {f"pass_{k}": name for name, k in passes.items()}
    for role, column in mapping.items():
        if role not in NAMES and not PASS.match(role):
            raise NotFound.among("meaning of a column", role, NAMES)
        for part in filter(None, column.split("+")):
            if part not in headers:
                raise NotFound.among("column", part, headers)
        found[role] = column
    return {role: column for role, column in found.items() if column}


def _plain(name: str) -> str:
    """Write a header as the names are: ``Accuracy (%)`` is ``accuracy``, ``pass^2`` ``pass_2``."""
    text = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return UNITS.sub("", text)


def _first(plain: Mapping[str, str], names: Sequence[str]) -> list[str]:
    known = [header for name in names for header, text in plain.items() if text == name]
    return known[:1]


def _cell(record: Mapping[str, str], column: str, role: str) -> str:
    unknown = NOTHING if role in TEXTS else UNKNOWN
    parts = [record.get(name, "").strip() for name in column.split("+")]
    return " ".join(part for part in parts if part.lower() not in unknown)


def _percents(columns: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> frozenset[str]:
    """Return the roles printed in percent; errors and pass^k are printed as accuracies are."""
    found = {role for role in columns if _in_percent(role, columns[role], rows)}
    if "accuracy" in found:
        found |= {role for role in columns if role == "se" or PASS.match(role)}
    return frozenset(found)


def _in_percent(role: str, column: str, rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether a share is printed in percent: its header says so, or a value is above 1.5."""
    if role not in SHARES and not PASS.match(role):
        return False
    if re.search(r"%|pct|percent", column.lower()):
        return True
    texts = (re.sub(r"[$%,\s]", "", row.get(role, "")) for row in rows)
    return any(re.fullmatch(r"[0-9.]+", text) and float(text) > 1.5 for text in texts)
