"""Takes rows out of a hub data set, run by a Python that has ``datasets``; knows no qbench.

``python hub_texts.py '{"name": ..., "rows": 132, "seed": 0, "out": "texts.jsonl"}'``. The name is
a hub id or a local folder, with ``@split`` and ``#column`` behind it where the first split and
the usual columns are not meant. Rows are shuffled with the seed. A row becomes a JSON line: a
string, or a list of chat messages.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = ("messages", "conversations", "text", "content", "prompt", "instruction", "question")
"""Looked for in this order."""
SPLITS = ("train_sft", "train", "calibration", "LLM")
ROLES = {"human": "user", "gpt": "assistant"}


def parse(name: str) -> tuple[str, str, str]:
    """Take ``NAME@split#column`` apart; what is not told is empty."""
    rest, _, column = name.partition("#")
    base, _, split = rest.partition("@")
    return base, split, column


def choose(kind: str, told: str, usual: tuple[str, ...], there: list[str]) -> str:
    """Return what was told, else the first usual one. Raises ValueError."""
    found = told or next((name for name in usual if name in there), "")
    if found not in there:
        raise ValueError(f"no {kind} {found or 'that is known'}; there are {', '.join(there)}")
    return found


def text_of(value: Any) -> Any:
    """Return a string, or messages with ``role`` and ``content``."""
    if isinstance(value, str):
        return value
    messages = [
        {
            "role": ROLES.get(part.get("role") or part.get("from"), part.get("role") or "user"),
            "content": part.get("content") or part.get("value") or "",
        }
        for part in value
    ]
    return [message for message in messages if message["content"]]


def main(argument: str) -> int:
    """Write the rows; the last line of stderr is the reason where it fails."""
    from datasets import load_dataset  # noqa: PLC0415 - of the Python that runs this

    told = json.loads(argument)
    base, split, column = parse(told["name"])
    try:
        splits = load_dataset(base)
        rows = splits[choose("split", split, SPLITS, list(splits))]
        column = choose("column", column, COLUMNS, rows.column_names)
        rows = rows.shuffle(seed=told["seed"]).select(range(min(told["rows"], len(rows))))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
        sys.stderr.write(f"{str(error).splitlines()[0] if str(error) else repr(error)}\n")
        return 1
    with Path(told["out"]).open("w") as out:
        out.writelines(json.dumps(text_of(row[column])) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
