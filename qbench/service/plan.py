"""Plan: Run -> Cells -> Shards. Pure; what ``qbench plan`` shows and a run then does."""

from __future__ import annotations

from collections.abc import Sequence
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
from qbench.service.rounds import round_numbers

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
    cut = _rounds if request.sequential else _slices
    slices = {task: cut(request, samples, task) for task in request.tasks}
    pairs = [
        _cell(run, system, task, slices[task])
        for system in request.systems
        for task in request.tasks
        if slices[task]
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


Slices = list[tuple[str, ...]]
"""Sample ids of each shard of a cell."""


def _slices(request: Request, samples: Sequence[Sample], task: str) -> Slices:
    ids = [sample.id for sample in samples if sample.task == task]
    size = max(1, SHARD_ATTEMPTS // request.epochs)
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def _rounds(request: Request, samples: Sequence[Sample], task: str) -> Slices:
    """Cut one shard for each round."""
    by_round: dict[int, list[str]] = {}
    # a finite suite may have fewer samples than were asked for: its last rounds are not there
    for number, sample in zip(round_numbers(request), samples, strict=False):
        if sample.task == task:
            by_round.setdefault(number, []).append(sample.id)
    return [tuple(by_round[number]) for number in sorted(by_round)]


def _cell(run: Run, system: System, task: str, slices: Slices) -> tuple[Cell, tuple[Shard, ...]]:
    """Make the cell of ``system`` x ``task`` with its shards."""
    cell = Cell(
        id=new_id(),
        run_id=run.id,
        system_id=system.id,
        task=task,
        pending=len(slices),
        planned=sum(map(len, slices)) * run.request.epochs,
    )
    return cell, tuple(_shard(run, cell, part) for part in slices)


def _shard(run: Run, cell: Cell, sample_ids: tuple[str, ...]) -> Shard:
    return Shard(
        id=new_id(),
        cell_id=cell.id,
        run_id=run.id,
        system_id=cell.system_id,
        sample_ids=sample_ids,
        epochs=run.request.epochs,
    )
