"""The sqlite task: `mcp-server-sqlite` over a small shop's database.

The state is ``{"tables": {name: {"columns": {column: type}, "rows": [{column: value}]}}}``; the
order of rows does not count, and a type is the affinity that SQLite gives it.
"""
# ruff: noqa: S608 - queries are put together from our own words

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from mcp import StdioServerParameters

from qbench.benchmarks.servers.seats import Room
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suites.mcp_servers.installed import python_server

FILE = "shop.db"
ITEMS = tuple(
    "apple bolt candle drill easel funnel glove hammer inkwell jigsaw kettle ladder mallet needle "
    "oilcan pliers".split()
)
NAMES = tuple("Ada Boris Clara Dario Elif Femi Greta Hugo Ines Jonas".split())
CITIES = tuple("Bergen Cadiz Delft Evora Ghent".split())
_ELSEWHERE = re.compile(r"\b(attach|vacuum|load_extension)\b", re.IGNORECASE)
SCHEMA = {
    "items": "CREATE TABLE items (name TEXT PRIMARY KEY, price INTEGER NOT NULL, "
    "stock INTEGER NOT NULL CHECK (stock >= 0))",
    "customers": "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
    "city TEXT NOT NULL)",
    "orders": "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES "
    "customers (id), item TEXT NOT NULL REFERENCES items (name), amount INTEGER NOT NULL)",
}


class TablePlace:
    """The server and its database file."""

    def command(self, room: Room) -> StdioServerParameters:
        """Point it at a file in the attempt's folder."""
        path = str(room.data / FILE)
        return python_server(room, "sqlite", "mcp_server_sqlite", "--db-path", path)

    def fill(self, data: Path, state: State) -> None:
        """Make the tables."""
        with closing(sqlite3.connect(data / FILE)) as base:
            make_tables(base, state)

    def read(self, data: Path) -> State:
        """Read all tables from the file."""
        try:
            with closing(sqlite3.connect(f"file:{data / FILE}?mode=ro", uri=True)) as base:
                return _dump(base)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    def refuse(self, name: str, arguments: dict[str, Any]) -> str:
        """Keep SQL to the attempt's file: the server itself would open any other."""
        del name
        if any(_ELSEWHERE.search(text) for text in arguments.values() if isinstance(text, str)):
            return "Error: not authorized: other databases cannot be reached from here."
        return ""


def make_tables(base: sqlite3.Connection, state: State) -> None:
    """Make a shop's tables with their rows."""
    for name, table in state["tables"].items():
        base.execute(SCHEMA[name])
        marks = ", ".join("?" * len(table["columns"]))
        rows = [[row[column] for column in table["columns"]] for row in table["rows"]]
        base.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    base.commit()


def _dump(base: sqlite3.Connection) -> State:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return {"tables": {name: _table(base, name) for (name,) in base.execute(query).fetchall()}}


def _table(base: sqlite3.Connection, name: str) -> dict[str, Any]:
    quoted = '"' + name.replace('"', '""') + '"'
    info = base.execute(f"PRAGMA table_info({quoted})").fetchall()
    columns = {column: affinity(declared) for _, column, declared, *_ in info}
    rows = base.execute(f"SELECT * FROM {quoted}").fetchall()
    return {
        "columns": columns,
        "rows": [
            {column: _plain(value) for column, value in zip(columns, row, strict=True)}
            for row in rows
        ],
    }


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def affinity(declared: str) -> str:
    """Return the affinity of a declared type (sqlite.org/datatype3.html, section 3.1)."""
    upper = declared.upper()
    rules = (("INTEGER", ("INT",)), ("TEXT", ("CHAR", "CLOB", "TEXT")), ("BLOB", ("BLOB",)))
    for name, parts in (*rules, ("REAL", ("REAL", "FLOA", "DOUB"))):
        if any(part in upper for part in parts):
            return name
    return "NUMERIC" if upper else "BLOB"


def run_query(state: State, query: str) -> str:
    """Run a statement on a copy of the state in memory, and take over what comes of it."""
    with closing(sqlite3.connect(":memory:")) as base:
        make_any(base, state)
        base.execute(query)
        state["tables"] = _dump(base)["tables"]
    return "[{'affected_rows': 1}]"


def make_any(base: sqlite3.Connection, state: State) -> None:
    """Make a shop's tables, and those that a statement added."""
    known = {name: table for name, table in state["tables"].items() if name in SCHEMA}
    make_tables(base, {"tables": known})
    for name, table in state["tables"].items():
        if name not in SCHEMA:
            columns = ", ".join(f"{column} {kind}" for column, kind in table["columns"].items())
            base.execute(f"CREATE TABLE {name} ({columns})")
            rows = [tuple(row.values()) for row in table["rows"]]
            marks = ", ".join("?" * len(table["columns"]))
            base.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)


PLACE = TablePlace()
