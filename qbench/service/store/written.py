"""A whole run as it is written at once: one that was imported."""

from __future__ import annotations

from msgspec import Struct

from qbench.benchmarks.suite import Sample
from qbench.service.domain import Cell, Endpoint, Run, Shard
from qbench.service.imports.values import Imported
from qbench.service.store.attempts import Recorded


class Built(Struct, frozen=True, kw_only=True):
    """A run that was imported, with everything that is stored of it."""

    run: Run
    cells: tuple[Cell, ...]
    shards: tuple[Shard, ...]
    samples: tuple[Sample, ...]
    endpoints: tuple[Endpoint, ...]
    attempts: tuple[Recorded, ...]
    prices: dict[str, Struct]
    origin: Imported
