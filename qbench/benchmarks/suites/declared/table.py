"""The rows of a declared suite, validated once and read again when samples are made of them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import cached_property
from itertools import islice

from qbench.benchmarks.chat import Message
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.suites.declared import graders
from qbench.benchmarks.suites.declared.definition import Definition
from qbench.benchmarks.suites.declared.files import asked_files, example_files
from qbench.benchmarks.suites.declared.rows import BadRow, Row, rows
from qbench.benchmarks.suites.declared.sampling import Place, Sampler
from qbench.benchmarks.suites.declared.values import made
from qbench.errors import ConfigError

MOST_TOLD = 5
"""Bad rows that an error names; the others are counted."""

NEED_ANSWER = frozenset({"exact", "contains", "number", "tolerance", "math", "choice"})
"""Graders that an empty answer would make pass anything, or nothing."""


class Table:
    """The rows of a definition; ``suite`` is the name that its samples carry.

    Only where each row belongs stays in memory.
    """

    def __init__(self, definition: Definition, suite: str) -> None:
        self._definition = definition
        self._sampler = Sampler(definition, suite)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Read all rows once.

        Raises:
            ConfigError: rows are bad or come twice; the message names them. No row is left out
                in silence.

        """
        found: list[Place] = []
        bad: list[str] = []
        for number, row in self._asked():
            try:
                found += self._placed(row, number)
            except BadRow as error:
                bad.append(str(error))
        bad += _twice(found)
        if bad:
            raise _refusal(self._definition.name, bad)
        if not found:
            raise ConfigError(
                f"No row of {self._definition.name} is asked.", hint="Check `only` and `without`."
            )
        return tuple(found)

    def _asked(self) -> Iterator[tuple[int, Row | BadRow]]:
        """Yield the rows with their numbers, without those that are shown as examples."""
        shown = 0 if example_files(self._definition) else self._definition.examples.rows
        numbered = enumerate(rows(asked_files(self._definition)))
        yield from islice(numbered, shown, None)

    def _placed(self, row: Row | BadRow, number: int) -> list[Place]:
        if isinstance(row, BadRow):
            raise row
        if not self._sampler.wanted(row):
            return []
        place = self._sampler.place(row, number)
        sample = self._sampler.sample(row, place)  # read whole, so that nothing fails later
        if not sample.prompt.strip():
            raise BadRow(f"{row.where}: the prompt is empty")
        if not sample.answer and self._definition.grader.kind in NEED_ANSWER:
            raise BadRow(f"{row.where}: the answer is empty")
        return [place]

    def samples(self, chosen: Container[int]) -> dict[int, Sample]:
        """Make the samples of the rows whose numbers are ``chosen``. Raises ConfigError."""
        places = {place.number: place for place in self.places if place.number in chosen}
        self._sampler.examples = self._examples
        return {
            number: self._sampler.sample(row, places[number])
            for number, row in self._asked()
            if number in places and isinstance(row, Row)
        }

    @cached_property
    def _examples(self) -> tuple[Message, ...]:
        shown = self._definition.examples
        given = ((one.prompt, one.answer) for one in shown.given)
        pairs = [*given, *self._shown()]
        return tuple(
            message
            for prompt, answer in pairs
            for message in (
                Message(role="user", content=prompt.strip()),
                Message(role="assistant", content=answer.strip()),
            )
        )

    def _shown(self) -> Iterator[tuple[str, str]]:
        """Yield the first rows as worked examples. Raises ConfigError."""
        shown = self._definition.examples
        if not shown.rows:
            return
        files = example_files(self._definition) or asked_files(self._definition)
        for number, row in enumerate(islice(rows(files), shown.rows)):
            try:
                yield self._pair(row, number)
            except BadRow as error:
                raise _refusal(self._definition.name, [str(error)]) from None

    def _pair(self, row: Row | BadRow, number: int) -> tuple[str, str]:
        if isinstance(row, BadRow):
            raise row
        sample = self._sampler.sample(row, self._sampler.place(row, number))
        written = self._definition.examples.answer
        return sample.prompt, made(row, written) if written else graders.right_reply(sample)


def _twice(places: list[Place]) -> list[str]:
    """Name the ids that two rows share."""
    seen: dict[str, str] = {}
    return [
        f"{place.where}: the id {place.id!r} is that of {seen[place.id]} too"
        for place in places
        if seen.setdefault(place.id, place.where) != place.where
    ]


def _refusal(name: str, bad: list[str]) -> ConfigError:
    told = "\n  ".join(bad[:MOST_TOLD])
    more = len(bad) - MOST_TOLD
    rest = f"\n  and {more} more" if more > 0 else ""
    return ConfigError(
        f"{len(bad)} row{'s' * (len(bad) > 1)} of {name} cannot be asked:\n  {told}{rest}",
        hint="Mend the rows, or leave them out with `only` or `without`.",
    )
