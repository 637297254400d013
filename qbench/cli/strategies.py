"""``strategies``: how an answer may be made."""

from __future__ import annotations

from qbench.benchmarks.catalogue import STRATEGIES, load_strategy
from qbench.cli.options import Json, command
from qbench.cli.render import console, tables
from qbench.service.reports.values import SCHEMA, to_json


@command
def strategies(json: Json = False) -> None:
    """Strategies: how an answer may be made, with the number and options each takes."""
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
