"""Plan: Run -> Cells -> Shards. Pure; what ``qbench plan`` shows and a run then does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from qbench import __version__
from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.suite import Sample
from qbench.errors import ConfigError
from qbench.service.domain import (
    Cell,
    Controls,
    Request,
    Run,
    RunStatus,
    Shard,
    System,
    new_id,
)

SHARD_ATTEMPTS = 64
"""Attempts per shard: small enough to spread and to lose, large enough to cost nothing."""


class Plan(Struct, frozen=True, kw_only=True):
    """Everything a run will do, before anything is started."""

    run: Run
    cells: tuple[Cell, ...]
    shards: tuple[Shard, ...]
    samples: tuple[Sample, ...]

    @property
    def attempts(self) -> int:
        """Attempts in all: systems x samples x epochs."""
        request = self.run.request
        return len(request.systems) * len(self.samples) * request.epochs


def make_plan(request: Request, controls: Controls, *, now: datetime) -> Plan:
    """Plan a new run. Raises ConfigError when the suite has no sample for it."""
    return plan_of(new_run(request, controls, now=now))


def new_run(request: Request, controls: Controls, *, now: datetime) -> Run:
    """Make a run that has no cells yet."""
    return Run(
        id=new_id(),
        request=request,
        controls=controls,
        status=RunStatus.PLANNED,
        created_at=now,
        version=__version__,
    )


def plan_of(run: Run) -> Plan:
    """Draw a run's samples and cut the work into cells and shards.

    Raises:
        ConfigError: when the suite has no sample for these tasks and levels.

    """
    request = run.request
    samples = draw_samples(request)
    pairs = [
        (cell, shards)
        for system in request.systems
        for task in request.tasks
        for cell, shards in _cell(run, system, task, samples)
    ]
    return Plan(
        run=run,
        cells=tuple(cell for cell, _ in pairs),
        shards=tuple(shard for _, shards in pairs for shard in shards),
        samples=samples,
    )


def draw_samples(request: Request) -> tuple[Sample, ...]:
    """Generate the request's samples: the same on every machine."""
    samples = load_suite(request.suite).samples(
        seed=request.seed, tasks=request.tasks, levels=request.levels, limit=request.limit
    )
    if not samples:
        raise ConfigError(
            f"Suite {request.suite} has no sample for levels {request.levels}.",
            hint="See `qbench suites` for its tasks and levels.",
        )
    return samples


def _cell(
    run: Run, system: System, task: str, samples: Sequence[Sample]
) -> Iterator[tuple[Cell, tuple[Shard, ...]]]:
    """Yield the cell of ``system`` x ``task`` with its shards, or nothing if it has no samples."""
    ids = [sample.id for sample in samples if sample.task == task]
    size = max(1, SHARD_ATTEMPTS // run.request.epochs)
    slices = [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]
    if not slices:
        return
    cell = Cell(
        id=new_id(),
        run_id=run.id,
        system_id=system.id,
        task=task,
        pending=len(slices),
        planned=len(ids) * run.request.epochs,
    )
    yield cell, tuple(_shard(run, cell, part) for part in slices)


def _shard(run: Run, cell: Cell, sample_ids: tuple[str, ...]) -> Shard:
    return Shard(
        id=new_id(),
        cell_id=cell.id,
        run_id=run.id,
        system_id=cell.system_id,
        sample_ids=sample_ids,
        epochs=run.request.epochs,
    )
