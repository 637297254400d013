"""Small declared suites for tests: a YAML file and its data in a folder."""

from pathlib import Path
from typing import Any

import msgspec
import yaml

from qbench.benchmarks.suite import Suite
from qbench.benchmarks.suites.declared.loading import load_declared

CAPITALS = [
    {"id": f"c{n}", "country": country, "capital": capital, "part": part, "hard": hard}
    for n, (country, capital, part, hard) in enumerate(
        [
            ("France", "Paris", "Europe", 1),
            ("Chile", "Santiago", "America", 1),
            ("Japan", "Tokyo", "Asia", 1),
            ("Peru", "Lima", "America", 2),
            ("Latvia", "Riga", "Europe", 2),
            ("Nepal", "Kathmandu", "Asia", 2),
            ("Malta", "Valletta", "Europe", 3),
        ]
    )
]
DEFINITION: dict[str, Any] = {
    "name": "capitals",
    "description": "Capitals of countries",
    "license": "CC0-1.0",
    "source": {"path": "capitals.jsonl"},
    "columns": {
        "prompt": "What is the capital of {country}?",
        "answer": "capital",
        "id": "id",
        "task": "part",
        "level": "hard",
    },
    "grader": "exact",
}


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows, one a line."""
    path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
    return path


def declare(folder: Path, definition: dict[str, Any], name: str = "suite.yaml") -> Path:
    """Write a definition."""
    path = folder / name
    path.write_text(yaml.safe_dump(definition, sort_keys=False, allow_unicode=True))
    return path


def capitals(folder: Path, rows: list[dict[str, Any]] | None = None, **more: Any) -> Suite:
    """Make the suite of capitals; ``more`` replaces parts of the definition."""
    jsonl(folder / "capitals.jsonl", CAPITALS if rows is None else rows)
    return load_declared(str(declare(folder, DEFINITION | more)))
