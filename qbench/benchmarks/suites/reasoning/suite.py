"""Reasoning in text: generated questions, right answers verified, five levels.

Eight tasks are made by the generators of reasoning-gym, two by our own. Nothing of that package
is imported before one of its tasks is drawn, or judged by its own check.
"""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import Any

from msgspec import Struct

from qbench.benchmarks.chat import Message
from qbench.benchmarks.scoring.answers import Grade, score_answer
from qbench.benchmarks.scoring.extraction import extract
from qbench.benchmarks.servers.no_tools import no_tools
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.drawing import named, places
from qbench.benchmarks.suites.reasoning import checks, np_hard, scheduling
from qbench.benchmarks.suites.reasoning.generators import GENERATORS
from qbench.benchmarks.suites.reasoning.prompts import RULES, SYSTEM, VERSION, asked, said
from qbench.benchmarks.suites.reasoning.puzzles import Kind
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import drawn
from qbench.errors import ConfigError

OWN: dict[str, tuple[Kind, ...]] = {"np_hard": np_hard.KINDS, "scheduling": scheduling.KINDS}
_FAULTS = {(task, kind.name): kind.fault for task, kinds in OWN.items() for kind in kinds}
_SHOWN = -1
"""Seed of the worked examples; runs have seeds from 0 on."""
_OPPOSITE = {"yes": "No", "no": "Yes", "true": "False", "false": "True"}


class Question(Struct, frozen=True, kw_only=True):
    """A question of either source."""

    family: str
    text: str
    answer: str
    details: dict[str, Any]


class ReasoningSuite:
    """The suite."""

    name = "reasoning"
    version = VERSION
    tasks = (*GENERATORS, *OWN)
    levels = (1, 2, 3, 4, 5)
    description = "Generated puzzles and mathematics in text, answers verified"
    license = "own; questions of eight tasks by reasoning-gym (Apache-2.0)"
    generated = True
    further_tasks: tuple[str, ...] = ()
    tokens = 32_768

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Generate samples; see ``Suite.samples``.

        Raises:
            ConfigError: reasoning-gym is needed and not installed, or in another release.

        """
        streams: dict[tuple[str, int], Iterator[Question]] = {}
        found = []
        for task, level, number in places(tasks, levels, limit):
            if (task, level) not in streams:
                streams[task, level] = questions(seed, task, level)
            question = next(streams[task, level], None)
            if question is not None:
                found.append(named(_sample(task, level, question), number))
        return tuple(found)

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Start nothing."""
        del slots
        return no_tools()

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Verify the answer between the tags."""
        scorer = f"{self.name}/{self.version}"
        return score_answer(transcript, RULES, lambda text: judge(sample, text), scorer=scorer)

    def answer_key(self, sample: Sample, transcript: Transcript) -> str | None:
        """Return what a vote counts as one answer: the text between the tags, spaces apart."""
        del sample
        found = extract(transcript.answer, RULES)
        return None if found is None else " ".join(found.text.split()).casefold()

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Give a right answer."""
        return (Message(role="assistant", content=said(sample.answer or "")),)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Give the right answer with one thing changed, such that it is wrong."""
        wrong = next(
            text for text in _slips(sample.answer or "") if judge(sample, text).verdict == "wrong"
        )
        return (Message(role="assistant", content=said(wrong)),)


def questions(seed: int, task: str, level: int) -> Iterator[Question]:
    """Yield the questions of a task and level, no two alike."""
    return _own(seed, task, level) if task in OWN else _generated(seed, task, level)


def judge(sample: Sample, text: str) -> Grade:
    """Judge an extracted answer."""
    details = sample.details
    if "kind" not in details:
        return checks.grade(details, text)
    fault = _FAULTS[sample.task, details["kind"]](details["facts"], text)
    return Grade(verdict="wrong" if fault else "right", how="verified", reason=fault)


def _own(seed: int, task: str, level: int) -> Iterator[Question]:
    seen: set[str] = set()
    for number in itertools.count():
        kind = OWN[task][number % len(OWN[task])]
        puzzle = kind.make(drawn("reasoning", seed, task, level, number), level)
        if puzzle.question in seen:
            continue
        seen.add(puzzle.question)
        yield Question(
            family=f"{task}/{kind.name}",
            text=puzzle.question,
            answer=puzzle.answer,
            details={"kind": kind.name, "seed": seed, "facts": puzzle.facts},
        )


def _generated(seed: int, task: str, level: int) -> Iterator[Question]:
    for item in _gym().stream(seed, task, level):
        yield Question(
            family=f"{task}/{item.generator}",
            text=item.question,
            answer=item.answer,
            details=item.details,
        )


def _gym() -> Any:
    """Import what needs reasoning-gym: the one place."""
    if find_spec("reasoning_gym") is None:
        raise ConfigError(
            "These tasks are made by reasoning-gym, which is not installed.",
            hint="pip install 'qbench[suites]'; np_hard and scheduling need none.",
        )
    return importlib.import_module("qbench.benchmarks.suites.reasoning.gym")


def _sample(task: str, level: int, question: Question) -> Sample:
    return Sample(
        id="",
        suite="reasoning",
        task=task,
        level=level,
        family=question.family,
        prompt=asked(question.text),
        system=SYSTEM,
        examples=_examples(task, question) if level == 1 else (),
        answer=question.answer,
        details=question.details,
    )


def _examples(task: str, question: Question) -> tuple[Message, ...]:
    """Show another question of the same family, solved."""
    shown = next(one for one in _family(task, question.family) if one.text != question.text)
    return (
        Message(role="user", content=asked(shown.text)),
        Message(role="assistant", content=said(shown.answer)),
    )


def _family(task: str, family: str) -> Iterator[Question]:
    return (one for one in questions(_SHOWN, task, 1) if one.family == family)


def _slips(answer: str) -> Iterator[str]:
    """Yield changed answers, the most plausible first; the last is wrong everywhere."""
    if answer.lower() in _OPPOSITE:
        yield _OPPOSITE[answer.lower()]
    places = list(re.finditer(r"\d+", answer))
    for place in reversed(places):
        for changed in (abs(int(place[0]) - 1), int(place[0]) + 1):
            yield answer[: place.start()] + str(changed) + answer[place.end() :]
    parts = re.split(r"(, |\s+)", answer)
    if len(parts) > 2:
        yield "".join([parts[-1], *parts[1:-1], parts[0]])
        yield "".join(parts[:-2])
    yield answer[:-1]
    yield "I do not know"
