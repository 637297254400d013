"""Columns of ended runs in files beside the database: a million attempts in a tenth of a second.

A file carries a stamp of everything that could change what is read: the run, its cells, sessions
and spending, how many attempts there are, superseded ones too, and every re-scoring. A file with
another stamp is as good as none. Prices of other days are never in a file: re-pricing works on
what is read. Files live in the user's cache folder (``XDG_CACHE_HOME``) and may be deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, func, select

from qbench.benchmarks.analysis.outcomes import Outcomes
from qbench.service.tables import ATTEMPT, CELL, ENDPOINT, RUN, SCORE_REVISION, SPENDING

VERSION = 1
"""Of the form of a file."""

LEAST = 20_000
"""Attempts from which a run gets a file: fewer are read in a moment."""

ROOM = 4 * 2**30
"""Bytes that all files may have together; the oldest go first."""

BROKEN = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)
"""What reading a file raises that is cut, damaged, or not ours."""

NAMES = ("systems", "samples", "families", "tasks")
"""Fields of ``Outcomes`` that hold text."""

COST = "cost:"
"""Marks a column of dollars by its basis."""


@dataclass(frozen=True)
class ColumnFile:
    """Where the columns of one run are kept."""

    path: Path

    @classmethod
    def of(cls, database: str, run_id: str) -> ColumnFile:
        """Name the file of a run in a database with that URL; nothing is opened."""
        key = hashlib.sha256(f"{database}\n{run_id}".encode()).hexdigest()[:32]
        return cls(folder() / f"{key}.npz")

    def read(self, stamp: str) -> Kept | None:
        """Return what is kept under ``stamp``; None when there is no such file."""
        try:
            with self.path.open("rb") as body, np.load(body, allow_pickle=False) as file:
                facts = json.loads(file["facts"].tobytes())
                if facts["stamp"] != stamp:
                    return None
                arrays = {name: file[name] for name in facts["arrays"]}
        except BROKEN:
            return None
        return Kept(outcomes=_outcomes(facts, arrays), path=self.path, stamp=stamp)

    def write(self, stamp: str, outcomes: Outcomes, ids: Mapping[str, int]) -> None:
        """Keep columns and the attempts' ids in order; a full or closed disk is no error."""
        arrays = _arrays(outcomes)
        facts = {name: getattr(outcomes, name) for name in NAMES}
        facts |= {"stamp": stamp, "arrays": list(arrays)}
        body = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
        ordered = np.array(sorted(ids, key=ids.__getitem__), dtype=np.bytes_)
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path.parent, delete=False) as file:
                try:
                    np.savez(file, facts=body, ids=ordered, allow_pickle=False, **arrays)
                    file.close()
                    Path(file.name).replace(self.path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            _make_room(self.path.parent)


@dataclass(frozen=True)
class Kept:
    """What a file holds."""

    outcomes: Outcomes
    path: Path
    stamp: str

    def places(self) -> dict[str, int] | None:
        """Return the place of each attempt by its id; None when the file is gone, or another."""
        try:
            with self.path.open("rb") as body, np.load(body, allow_pickle=False) as file:
                if json.loads(file["facts"].tobytes())["stamp"] != self.stamp:
                    return None
                ids = file["ids"]
        except BROKEN:
            return None
        return dict(zip(ids.astype(np.str_).tolist(), range(len(ids)), strict=True))


def folder() -> Path:
    """Return where files are kept."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "qbench" / "columns"


def stamp_of(view: Connection, run_id: str) -> str:
    """Digest everything that what is read of a run depends on.

    Lines are only appended, and with them the run's spending; attempts too, and a verdict changes
    only together with a revision. Counting revisions of all runs says more than it must.
    """
    digest = hashlib.sha256(f"{VERSION}\n{run_id}".encode())
    for query in _queries(run_id):
        for row in sorted(map(repr, view.execute(query).all())):
            digest.update(row.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _queries(run_id: str) -> tuple[Select[Any], ...]:
    cell, spending, end = CELL.c, SPENDING.c, ENDPOINT.c
    counted: list[Any] = [
        cell.id,
        cell.planned,
        cell.scored,
        cell.unscored,
        cell.errored,
        cell.passed,
    ]
    revision = SCORE_REVISION.c
    revised: list[Any] = [func.count(), func.max(revision.id), func.max(revision.at)]
    return (
        select(RUN.c.status, RUN.c.finished_at).where(RUN.c.id == run_id),
        select(*counted).where(cell.run_id == run_id),
        select(SPENDING).where(spending.run_id == run_id),
        select(end.id, end.stopped_at).where(end.run_id == run_id),
        select(func.count()).select_from(ATTEMPT).where(ATTEMPT.c.run_id == run_id),
        select(*revised).select_from(SCORE_REVISION),
    )


def _arrays(outcomes: Outcomes) -> dict[str, NDArray[Any]]:
    fields = {name: value for name, value in vars(outcomes).items() if name not in NAMES}
    costs = fields.pop("cost")
    return fields | {f"{COST}{basis}": column for basis, column in costs.items()}


def _outcomes(facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Outcomes:
    named: dict[str, Any] = {name: tuple(facts[name]) for name in NAMES}
    cost = {name.removeprefix(COST): a for name, a in arrays.items() if name.startswith(COST)}
    rest: dict[str, Any] = {n: a for n, a in arrays.items() if not n.startswith(COST)}
    return Outcomes(**named, **rest, cost=cost)


def _make_room(where: Path) -> None:
    """Delete the files that were written longest ago, until the others fit."""
    files = [(file.stat(), file) for file in where.glob("*.npz")]
    left = ROOM
    for stat, file in sorted(files, key=lambda found: -found[0].st_mtime):
        left -= stat.st_size
        if left < 0:
            file.unlink(missing_ok=True)
