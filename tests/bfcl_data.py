"""A small set of data laid out as BFCL's, with questions and back-ends of our own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qbench.benchmarks.data import ORIGIN, Origin
from qbench.benchmarks.suites.bfcl.records import BACKENDS, MULTI_TURN, PREFIX, SINGLE, UNANSWERED

ADD = {
    "name": "math.add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "dict",
        "properties": {"a": {"type": "float"}, "b": {"type": "float"}, "unit": {"type": "string"}},
        "required": ["a", "b"],
    },
}
SUM = {"math.add": {"a": [2], "b": [3], "unit": ["", "cm"]}}
COUNTER = """
from bfcl_eval.eval_checker.multi_turn_eval.func_source_code.long_context import FILLER

class MathAPI:
    def count(self, words):
        return {"count": len(words.split())}

class TicketAPI:
    def _load_scenario(self, scenario, long_context=False):
        self.tickets = scenario["tickets"] + (FILLER if long_context else [])
        self._log = []

    def add_ticket(self, title, urgent=False):
        if title in self.tickets:
            return {"error": "There is one."}
        self.tickets.append(title)
        return {"place": len(self.tickets)}

    def drop_ticket(self, title):
        self.tickets.remove(title)
        return "dropped"
"""
TICKETS = [
    {"name": "add_ticket", "title": "string", "urgent": "boolean"},
    {"name": "drop_ticket", "title": "string"},
]


def described(name: str, **types: str) -> dict[str, Any]:
    """Describe a function of a back-end."""
    properties = {key: {"type": kind} for key, kind in types.items()}
    first = [*types][:1]
    parameters = {"type": "dict", "properties": properties, "required": first}
    return {"name": name, "description": f"Does {name}.", "parameters": parameters}


def asked(text: str) -> list[dict[str, str]]:
    """Write a user turn."""
    return [{"role": "user", "content": text}]


def single(task: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Write a question of one reply, and its answer."""
    question = {"id": f"{task}_0", "question": [asked("What is 2 + 3?")], "function": [ADD]}
    if task in UNANSWERED:
        return question, None
    calls = [SUM, SUM] if "parallel" in task else [SUM]
    if task == "simple_java":
        calls = [{"math.add": {"a": [2.0], "b": [3.0], "unit": ["", "cm"]}}]
        question["function"] = [_retyped("double", "double", "String")]
    if task == "simple_javascript":
        question["function"] = [_retyped("float", "integer", "String")]
    return question, {"id": question["id"], "ground_truth": calls}


def _retyped(*kinds: str) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(ADD))
    for part, kind in zip(made["parameters"]["properties"].values(), kinds, strict=True):
        part["type"] = kind
    return made


def multi_turn(task: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write a question of three turns, the second one without a call."""
    held = {"missed_function": {"2": ["drop_ticket"]}} if task.endswith("miss_func") else {}
    last: list[dict[str, str]] = [] if held else asked("Drop the milk.")
    question = {
        "id": f"{task}_0",
        "question": [asked("Note milk and count 'a b'."), asked("Drop the milk?"), last],
        "initial_config": {"TicketAPI": {"tickets": ["bread"]}},
        "involved_classes": ["TicketAPI", "MathAPI"],
        **held,
    }
    turns = [["add_ticket('milk')", "count(words='a b')"], [], ["drop_ticket('milk')"]]
    return question, {"id": question["id"], "ground_truth": turns}


def written(folder: Path) -> Path:
    """Fill a folder of data and return it."""
    for task in (*SINGLE, *MULTI_TURN):
        question, answer = (multi_turn if task in MULTI_TURN else single)(task)
        _lines(folder / f"{PREFIX}{task}.json", [question])
        if answer is not None:
            _lines(folder / "possible_answer" / f"{PREFIX}{task}.json", [answer])
    functions = [described(**one) for one in TICKETS]
    docs = {"ticket_api": functions, "math_api": [described("count", words="string")]}
    for module in BACKENDS.values():
        _lines(folder / "multi_turn_func_doc" / f"{module}.json", docs.get(module, []))
        (folder / "backends").mkdir(exist_ok=True)
        (folder / "backends" / f"{module}.py").write_text(COUNTER)
    (folder / "backends" / "long_context.py").write_text("FILLER = ['x'] * 900\n")
    made = Origin(source="tests", version="0", license="own", sha256="", fetched=datetime.now(UTC))
    (folder / ORIGIN).write_bytes(msgspec.json.encode(made))
    return folder


def _lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.Encoder().encode_lines(rows))


def put(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test's suites read this data."""
    written(folder / "bfcl")
    monkeypatch.setenv("QBENCH_DATA", str(folder))
