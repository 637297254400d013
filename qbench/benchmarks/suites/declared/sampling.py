"""From rows to samples: one row is one sample, made the same way each time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from qbench.benchmarks.chat import Message
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.suites.declared import graders
from qbench.benchmarks.suites.declared.definition import Definition
from qbench.benchmarks.suites.declared.graders import LETTERS
from qbench.benchmarks.suites.declared.rows import BadRow, Row
from qbench.benchmarks.suites.declared.values import CHOICES, cell, listed, made, raw
from qbench.benchmarks.suites.drawing import named
from qbench.benchmarks.worlds.cases import drawn


class Place(Struct, frozen=True, kw_only=True):
    """Where a row belongs."""

    number: int
    """Of the row among all, from 0."""
    id: str
    task: str
    level: int
    where: str


class Sampler:
    """Makes samples of rows as a definition says."""

    def __init__(self, definition: Definition, suite: str) -> None:
        self._definition, self._suite = definition, suite
        self.examples: tuple[Message, ...] = ()

    def wanted(self, row: Row) -> bool:
        """Whether the definition asks this row. Raises BadRow."""
        only = self._definition.only.items()
        if any(cell(row, name) not in values for name, values in only):
            return False
        return not any(raw(row, name) for name in self._definition.without)

    def place(self, row: Row, number: int) -> Place:
        """Say where a row belongs. Raises BadRow."""
        columns = self._definition.columns
        task = made(row, columns.task) if columns.task else self._definition.name
        return Place(
            number=number,
            id=made(row, columns.id) if columns.id else str(number + 1),
            task=slug(task),
            level=self._level(row),
            where=row.where,
        )

    def _level(self, row: Row) -> int:
        column = self._definition.columns.level
        said = made(row, column) if column else "1"
        if not re.fullmatch(r"[1-5]", said):
            raise BadRow(f"{row.where}: the level is {said!r}, not 1 to 5")
        return int(said)

    def sample(self, row: Row, place: Place) -> Sample:
        """Make the sample of a row. Raises BadRow."""
        columns = self._definition.columns
        choices, answer = self._choices(row, place)
        lettered = {CHOICES: self.lettered(choices)} if choices else {}
        sample = Sample(
            id="",
            suite=self._suite,
            task=place.task,
            level=place.level,
            family=made(row, columns.family) if columns.family else place.id,
            prompt=made(row, columns.prompt, lettered),
            system=self._definition.system.strip(),
            examples=self.examples,
            answer=answer or None,
            details=self._details(row, choices),
            canary=self._definition.canary,
        )
        return named(sample, place.number)

    def lettered(self, choices: Sequence[str]) -> str:
        """Write choices one a line, lettered."""
        line = self._definition.choices.line
        pairs = zip(LETTERS, choices, strict=False)
        return "\n".join(
            line.replace("{letter}", letter).replace("{text}", text.strip())
            for letter, text in pairs
        )

    def _details(self, row: Row, choices: Sequence[str]) -> dict[str, Any]:
        kept = {name: raw(row, column) for name, column in self._definition.columns.details.items()}
        found: dict[str, Any] = {"grader": graders.kept_for(self._definition.grader)} | kept
        return found | ({"choices": list(choices)} if choices else {})

    def _choices(self, row: Row, place: Place) -> tuple[list[str], str]:
        """Return the choices in the order they are asked in, and the answer."""
        columns, how = self._definition.columns, self._definition.choices
        answer = made(row, columns.answer).strip() if columns.answer else ""
        if not columns.choices:
            return [], answer
        given = columns.choices
        texts = listed(row, given) if isinstance(given, str) else [cell(row, one) for one in given]
        right = _right(row, texts, answer, how.answer)
        order = list(range(len(texts)))
        if how.shuffled:
            drawn(self._definition.name, "choices", place.id).shuffle(order)
        return [texts[at] for at in order], LETTERS[order.index(right)]


def _right(row: Row, texts: Sequence[str], answer: str, kind: str) -> int:
    """Return the place of the right choice. Raises BadRow."""
    if kind == "text" and answer in texts:
        return texts.index(answer)
    if kind == "letter" and len(answer) == 1 and answer.upper() in LETTERS[: len(texts)]:
        return LETTERS.index(answer.upper())
    if kind == "index" and answer.isdigit() and int(answer) < len(texts):
        return int(answer)
    raise BadRow(f"{row.where}: the answer {answer!r} is no {kind} of its {len(texts)} choices")


def slug(text: str) -> str:
    """Write a task's name: small letters, digits and hyphens."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower().replace("&", " and ")).strip("-")
    return plain or "rows"
