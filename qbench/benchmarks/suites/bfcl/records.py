"""BFCL's own files: questions, function descriptions and right answers, as they were unpacked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from qbench.benchmarks.data import needed

NAME = "bfcl"
PREFIX = "BFCL_v4_"

SINGLE = (
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "irrelevance",
    "live_irrelevance",
    "live_relevance",
)
"""Tasks of one reply, judged by its calls alone."""
MULTI_TURN = (
    "multi_turn_base",
    "multi_turn_miss_func",
    "multi_turn_miss_param",
    "multi_turn_long_context",
)
"""Tasks with several user messages over stateful back-ends."""
UNANSWERED = ("irrelevance", "live_irrelevance", "live_relevance")
"""Tasks that have no answers: whether there is a call is all that counts."""

BACKENDS: Mapping[str, str] = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
"""Classes of the multi-turn back-ends and the module (and file of descriptions) of each."""
SHARED = "long_context"
"""The module of texts that the back-ends import."""


class Entry(Struct, frozen=True, kw_only=True):
    """One question of BFCL, as its files have it."""

    id: str
    question: list[list[dict[str, str]]]
    """User turns, each a list of messages."""
    function: list[dict[str, Any]] = []
    initial_config: dict[str, Any] = {}
    involved_classes: list[str] = []
    missed_function: dict[str, list[str]] = {}
    """Functions that are offered only from a turn on, by the index of that turn."""


class Answer(Struct, frozen=True, kw_only=True):
    """What is right: allowed values by call, or calls by user turn as Python source."""

    id: str
    ground_truth: list[Any]


def questions(task: str) -> tuple[Entry, ...]:
    """Read the questions of a task. Raises ConfigError when the data is not there."""
    return _questions(needed(NAME), task)


def answers(task: str) -> Mapping[str, Answer]:
    """Read the answers of a task by the question's id; empty for tasks without answers."""
    return {} if task in UNANSWERED else _answers(needed(NAME), task)


def descriptions(name: str) -> tuple[dict[str, Any], ...]:
    """Read the function descriptions of a back-end class."""
    return _descriptions(needed(NAME), BACKENDS[name])


@lru_cache(maxsize=32)
def _questions(folder: Path, task: str) -> tuple[Entry, ...]:
    return tuple(_lines(folder / f"{PREFIX}{task}.json", Entry))


@lru_cache(maxsize=32)
def _answers(folder: Path, task: str) -> Mapping[str, Answer]:
    path = folder / "possible_answer" / f"{PREFIX}{task}.json"
    return {answer.id: answer for answer in _lines(path, Answer)}


@lru_cache(maxsize=32)
def _descriptions(folder: Path, module: str) -> tuple[dict[str, Any], ...]:
    return tuple(_lines(folder / "multi_turn_func_doc" / f"{module}.json", dict[str, Any]))


def _lines(path: Path, kind: Any) -> list[Any]:
    """Decode a file of JSON lines."""
    return msgspec.json.Decoder(kind).decode_lines(path.read_bytes())
