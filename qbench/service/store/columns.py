"""Attempts as columns for the analysis: read in chunks, no object per attempt is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray
from sqlalchemy import Connection, Float, Integer, Select, case, cast, func, select, type_coerce

from qbench.benchmarks.analysis.outcomes import ERRORED, SCORED, UNSCORED, Outcomes
from qbench.service.domain import RunStatus
from qbench.service.store import columnfile
from qbench.service.store.columnfile import ColumnFile, Kept, stamp_of
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ATTEMPT, CELL, LEDGER, RUN, SAMPLE

ENDED = (RunStatus.DONE.value, RunStatus.PARTIAL.value)

CHUNK = 2_000
"""Rows in memory as Python objects at a time."""

STATUS = case({"scored": SCORED, "unscored": UNSCORED, "errored": ERRORED}, value=ATTEMPT.c.status)
NUMBERS: dict[str, tuple[Any, DTypeLike]] = {
    "epoch": (ATTEMPT.c.epoch, np.int32),
    "status": (STATUS, np.int8),
    "passed": (type_coerce(ATTEMPT.c.passed, Integer), np.bool_),
    "value": (ATTEMPT.c.value, np.float64),
    "prompt_tokens": (ATTEMPT.c.prompt_tokens, np.float64),
    "cached_tokens": (ATTEMPT.c.cached_tokens, np.float64),
    "completion_tokens": (ATTEMPT.c.completion_tokens, np.float64),
    "seconds": (ATTEMPT.c.seconds, np.float64),
    "truncated": (type_coerce(ATTEMPT.c.truncated, Integer), np.bool_),
    "parse_failures": (ATTEMPT.c.parse_failures, np.int32),
    "retries": (ATTEMPT.c.retries, np.int32),
    "calls": (ATTEMPT.c.calls, np.int32),
}
"""Column of ``Outcomes`` to where it is read from; NULL becomes NaN."""

Facts = tuple[str, str, int]
"""Family, task and level of a sample."""


class Columns(Shelf):
    """Reading runs as arrays."""

    def outcomes(self, run_ids: str | Sequence[str]) -> Outcomes:
        """Return the current attempts of one or more runs as columns.

        A cost column holds what the current attempts cost; what superseded ones cost is in
        ``spent`` alone. An attempt with an unpriced line, or no line on a basis, is NaN there;
        without a line of other models it is 0 there.
        """
        if isinstance(run_ids, str):
            return self._kept_or_read(run_ids)[0]
        return self._read(list(run_ids))[0]

    def component_means(
        self, run_id: str, outcomes: Outcomes, prefix: str
    ) -> dict[str, NDArray[np.float64]]:
        """Return the (Y, S) mean of each score component over a sample's scored attempts.

        Args:
            run_id: of the run.
            outcomes: its attempts, whose systems and samples the matrices have.
            prefix: the beginning of the names that are wanted; it is cut off.

        Returns:
            Name to matrix; NaN where no attempt has the component.

        """
        query = select(ATTEMPT.c.system_id, ATTEMPT.c.sample_id, ATTEMPT.c.components).where(
            ATTEMPT.c.run_id == run_id,
            ATTEMPT.c.superseded_by.is_(None),
            ATTEMPT.c.status == "scored",
        )
        parts, decode = _Parts(outcomes), msgspec.json.Decoder(dict[str, float]).decode
        with self.reading() as view:
            for chunk in chunks(view, query):
                for system_id, sample_id, body in zip(*chunk, strict=True):
                    parts.add(system_id, sample_id, decode(body))
        means = parts.means()
        return {
            name.removeprefix(prefix): values
            for name, values in means.items()
            if name.startswith(prefix)
        }

    def attempt_components(
        self, run_id: str, places: Mapping[str, int], name: str
    ) -> NDArray[np.float64]:
        """Return (N,) one score component of each scored attempt; NaN where it has none.

        Args:
            run_id: of the run.
            places: of its attempts, as ``placed_outcomes`` returns them.
            name: of the component.

        """
        query = select(ATTEMPT.c.id, ATTEMPT.c.components).where(
            ATTEMPT.c.run_id == run_id,
            ATTEMPT.c.superseded_by.is_(None),
            ATTEMPT.c.status == "scored",
        )
        found, decode = np.full(len(places), np.nan), msgspec.json.Decoder(dict[str, float]).decode
        with self.reading() as view:
            for ids, bodies in chunks(view, query):
                for key, body in zip(ids, bodies, strict=True):
                    place = places.get(key)
                    if place is not None:
                        found[place] = decode(body).get(name, np.nan)
        return found

    def attempt_parts(
        self, run_id: str, places: Mapping[str, int], prefix: str
    ) -> dict[str, NDArray[np.float64]]:
        """Return (N,) values of every score component whose name begins with ``prefix``.

        The prefix is cut off; NaN where an attempt has no such component.
        """
        query = select(ATTEMPT.c.id, ATTEMPT.c.components).where(
            ATTEMPT.c.run_id == run_id,
            ATTEMPT.c.superseded_by.is_(None),
            ATTEMPT.c.status == "scored",
        )
        found, decode = dict[str, NDArray[np.float64]](), msgspec.json.Decoder(dict[str, float])
        with self.reading() as view:
            for ids, bodies in chunks(view, query):
                for key, body in zip(ids, bodies, strict=True):
                    for name, value in decode.decode(body).items():
                        if name.startswith(prefix) and key in places:
                            column = found.setdefault(name, np.full(len(places), np.nan))
                            column[places[key]] = value
        return {name.removeprefix(prefix): column for name, column in found.items()}

    def placed_outcomes(self, run_id: str) -> tuple[Outcomes, dict[str, int]]:
        """Return the ``outcomes`` of a run, and the place of each attempt in them by its id."""
        outcomes, places = self._kept_or_read(run_id)
        found = places if isinstance(places, dict) else places.places()
        return self._read([run_id]) if found is None else (outcomes, found)

    def _kept_or_read(self, run_id: str) -> tuple[Outcomes, dict[str, int] | Kept]:
        """Return columns from the run's file, or from the database, which makes a file."""
        stamp = self._stamp(run_id)
        file = ColumnFile.of(self.url, run_id)
        kept = file.read(stamp) if stamp else None
        if kept is not None:
            return kept.outcomes, kept
        outcomes, places = self._read([run_id])
        if stamp and stamp == self._stamp(run_id):  # nothing was written meanwhile
            file.write(stamp, outcomes, places)
        return outcomes, places

    def _stamp(self, run_id: str) -> str:
        """Return the stamp of an ended run with many attempts; empty for others."""
        ended = select(RUN.c.id).where(RUN.c.id == run_id, RUN.c.status.in_(ENDED))
        made = CELL.c.scored + CELL.c.unscored + CELL.c.errored
        number = select(func.sum(made)).where(CELL.c.run_id == run_id)
        with self.reading() as view, view.begin():
            if view.execute(ended).first() is None:
                return ""
            if (view.execute(number).scalar() or 0) < columnfile.LEAST:
                return ""
            return stamp_of(view, run_id)

    def _read(self, wanted: list[str]) -> tuple[Outcomes, dict[str, int]]:
        systems, samples, places = _Codes(), _Codes(), _Codes()
        codes: tuple[list[Any], list[Any]] = ([], [])
        numbers: dict[str, list[NDArray[Any]]] = {name: [] for name in NUMBERS}
        with self.reading() as view, view.begin():
            for ids, system_ids, sample_ids, *rest in chunks(view, _attempts(wanted)):
                places.number(ids)
                codes[0].append(systems.number(system_ids))
                codes[1].append(samples.number(sample_ids))
                for (name, (_, dtype)), column in zip(NUMBERS.items(), rest, strict=True):
                    numbers[name].append(np.array(column, dtype=dtype))
            costs = _costs(view, wanted, places)
            facts = _facts(view, samples)
        joined: dict[str, Any] = {
            name: _joined(parts, NUMBERS[name][1]) for name, parts in numbers.items()
        }
        system_names, system = systems.sorted(_joined(codes[0], np.int32))
        sample_names, sample = samples.sorted(_joined(codes[1], np.int32))
        outcomes = Outcomes(
            systems=system_names,
            system=system,
            samples=sample_names,
            sample=sample,
            **_sample_columns([facts[name] for name in sample_names]),
            **joined,
            cost=costs,
        )
        return outcomes, dict(places)


class _Parts:
    """Sums of score components by system and sample."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._systems = {key: place for place, key in enumerate(outcomes.systems)}
        self._samples = {key: place for place, key in enumerate(outcomes.samples)}
        self._found: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def add(self, system_id: str, sample_id: str, components: dict[str, float]) -> None:
        """Add an attempt's; one that ended after the outcomes were read is left out."""
        system, sample = self._systems.get(system_id), self._samples.get(sample_id)
        if system is None or sample is None:
            return
        for name, value in components.items():
            total, number = self._found.setdefault(name, (self._nothing(), self._nothing()))
            total[system, sample] += value
            number[system, sample] += 1

    def _nothing(self) -> NDArray[np.float64]:
        return np.zeros((len(self._systems), len(self._samples)))

    def means(self) -> dict[str, NDArray[np.float64]]:
        """Return (Y, S) means by name; NaN where no attempt has the component."""
        with np.errstate(invalid="ignore"):
            return {
                name: total / np.where(number == 0, np.nan, number)
                for name, (total, number) in sorted(self._found.items())
            }


class _Codes(defaultdict[str, int]):
    """Numbers names in the order they are first seen."""

    def __init__(self) -> None:
        super().__init__(self.__len__)

    def number(self, names: Collection[str]) -> NDArray[np.int32]:
        """Return a number for each name, new ones included."""
        return np.fromiter(map(self.__getitem__, names), np.int32, len(names))

    def sorted(self, codes: NDArray[np.int32]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Return the names in sorted order, and ``codes`` as indices into them."""
        names = sorted(self)
        order = np.empty(len(names), dtype=np.int32)
        order[[self[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        return tuple(names), order[codes]


def _attempts(run_ids: Sequence[str]) -> Select[Any]:
    columns = (source for source, _ in NUMBERS.values())
    return select(ATTEMPT.c.id, ATTEMPT.c.system_id, ATTEMPT.c.sample_id, *columns).where(
        ATTEMPT.c.run_id.in_(run_ids), ATTEMPT.c.superseded_by.is_(None)
    )


def chunks(view: Connection, query: Select[Any]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the result's columns, ``CHUNK`` rows at a time.

    Straight from the driver: the toolkit's row objects would double the time.
    """
    text = str(query.compile(view, compile_kwargs={"literal_binds": True}))
    on_server = () if view.dialect.name == "sqlite" else ("columns",)
    with closing(view.connection.cursor(*on_server)) as cursor:
        cursor.execute(text)
        while rows := cursor.fetchmany(CHUNK):
            yield list(zip(*rows, strict=True))


def _joined(parts: Sequence[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])


def _costs(
    view: Connection, run_ids: Sequence[str], places: dict[str, int]
) -> dict[str, NDArray[np.float64]]:
    """Return dollars per attempt by basis, in the order of ``places``."""
    query = select(LEDGER.c.basis, LEDGER.c.attempt_id, cast(LEDGER.c.dollars, Float)).where(
        LEDGER.c.run_id.in_(run_ids), LEDGER.c.attempt_id.is_not(None)
    )
    bases, size = _Codes(), len(places)
    total, lines = np.zeros(0), np.zeros(0)
    for names, ids, dollars in chunks(view, query):
        codes = bases.number(names)
        place = np.fromiter((places.get(key, size) for key in ids), np.intp, len(ids))
        total, lines = _grown(total, lines, len(bases) * (size + 1))
        place += codes * (size + 1)  # the last place of each basis: superseded attempts
        np.add.at(total, place, np.array(dollars, dtype=np.float64))
        np.add.at(lines, place, 1)
    found = np.where(lines > 0, total, np.nan).reshape(len(bases), size + 1)
    if "others" in bases:  # no line there means that no other model was asked
        asked = (lines > 0).reshape(found.shape)[bases["others"]]
        found[bases["others"], ~asked] = 0.0
    return {basis: found[bases[basis], :size] for basis in sorted(bases)}


def _grown(
    total: NDArray[np.float64], lines: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Make room for a basis that was not seen before."""
    if len(total) == size:
        return total, lines
    more = np.zeros(size - len(total))
    return np.concatenate([total, more]), np.concatenate([lines, more])


def _facts(view: Connection, ids: Iterable[str]) -> dict[str, Facts]:
    wanted, found = sorted(ids), dict[str, Facts]()
    columns = (SAMPLE.c.id, SAMPLE.c.family, SAMPLE.c.task, SAMPLE.c.level)
    for start in range(0, len(wanted), 500):
        query = select(*columns).where(SAMPLE.c.id.in_(wanted[start : start + 500]))
        found.update(
            {key: (family, task, level) for key, family, task, level in view.execute(query)}
        )
    return found


def _sample_columns(facts: Sequence[Facts]) -> dict[str, Any]:
    families, tasks = _Codes(), _Codes()
    family = families.number([fact[0] for fact in facts])
    task = tasks.number([fact[1] for fact in facts])
    family_names, family = families.sorted(family)
    task_names, task = tasks.sorted(task)
    return {
        "families": family_names,
        "sample_family": family,
        "tasks": task_names,
        "sample_task": task,
        "sample_level": np.array([fact[2] for fact in facts], dtype=np.int32),
    }
