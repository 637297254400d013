"""From what another harness's files say to a run: marked, complete, and never to be resumed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from qbench import __version__
from qbench.benchmarks.chat import Sampling
from qbench.errors import ConfigError
from qbench.service.apiprices import installed_litellm, price_lookup
from qbench.service.attribution import api_lines
from qbench.service.domain import (
    Attempt,
    AttemptStatus,
    Cell,
    Controls,
    Endpoint,
    Request,
    Run,
    RunStatus,
    Shard,
    System,
    new_id,
)
from qbench.service.imports import inspect_logs, lm_eval_files
from qbench.service.imports.values import (
    ENGINE,
    ForeignAttempt,
    ForeignEval,
    Imported,
    SourceFile,
)
from qbench.service.money import TokenPrice
from qbench.service.order import NATIVE
from qbench.service.pricebook import PriceBook
from qbench.service.store import Recorded
from qbench.service.store.written import Built

PROVIDERS = {
    "google": "gemini",
    "together": "together_ai",
    "grok": "xai",
    "fireworks": "fireworks_ai",
    "sambanova": "sambanova",
}
"""inspect's names of providers where the price lists have another."""

LOCAL = frozenset({"hf", "vllm", "sglang", "ollama", "llama-cpp-python", "mockllm", "none"})
"""inspect's providers of models that somebody runs: no list price is theirs."""


def source_file(path: Path) -> SourceFile:
    """Name and hash a file. Raises ConfigError where it cannot be read."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"Cannot read {path}: {error.strerror}.", hint="Name a log or a results file."
        ) from error
    return SourceFile(name=path.name, sha256=digest)


def read_files(paths: Sequence[Path], scorer: str = "") -> list[ForeignEval]:
    """Read files of either harness; folders are looked through for them.

    Raises:
        ConfigError: a file is neither, or there is none.

    """
    found = [one for path in _spread(paths) for one in _read(path, scorer)]
    if not found:
        raise ConfigError(
            "There is nothing to import.",
            hint="Name .eval or .json logs of inspect, or results_*.json of lm-eval.",
        )
    if len({one.harness for one in found}) > 1:
        raise ConfigError(
            "Files of inspect and of lm-eval make two runs.", hint="Import them one after another."
        )
    return found


def _spread(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (*path.rglob("*.eval"), *path.rglob("*.json"))
            found += sorted(one for one in inside if not one.name.startswith("."))
        elif path.name.startswith("samples_") and path.suffix == ".jsonl":
            beside = path.parent.glob("results_*.json")
            found += [one for one in beside if path in lm_eval_files.sample_files(one).values()]
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _read(path: Path, scorer: str) -> list[ForeignEval]:
    if path.suffix == ".py":
        raise ConfigError(
            f"{path} is a program: importing it would run somebody's code here.",
            hint="Run it with inspect where you trust it, then import its log; its samples:"
            " qbench suites new NAME --from LOG.",
        )
    if path.name.startswith("results") and path.suffix == ".json":
        parts = (path, *lm_eval_files.sample_files(path).values())
        return lm_eval_files.read(path, tuple(map(source_file, parts)), scorer)
    if path.suffix in (".eval", ".json"):
        return [inspect_logs.read(path, source_file(path), scorer)]
    raise ConfigError(
        f"{path} is no file that can be imported.",
        hint="Known: .eval and .json logs of inspect, results_*.json of lm-eval.",
    )


def build(evals: Sequence[ForeignEval], book: PriceBook, baseline: str = "") -> Built:
    """Make a run of evaluations of one harness: every model is a system, every task a task.

    Raises:
        ConfigError: one model was evaluated twice at one task, or there is no such baseline.

    """
    systems = [_system(one) for one in evals]
    _refuse_twice(evals, systems)
    run = _run(evals, systems, _baseline(systems, baseline))
    parts = [_part(run, one, system, book) for one, system in zip(evals, systems, strict=True)]
    samples = {one.sample.id: one.sample for part in evals for one in part.attempts}
    lost: Counter[str] = Counter()
    for one in evals:
        lost.update(one.lost)
    files = dict.fromkeys(file for one in evals for file in one.files)
    return Built(
        run=run,
        cells=tuple(part.cell for part in parts),
        shards=tuple(part.shard for part in parts),
        samples=tuple(samples.values()),
        endpoints=tuple(part.endpoint for part in parts),
        attempts=tuple(made for part in parts for made in part.attempts),
        prices={key: price for part in parts for key, price in part.prices.items()},
        origin=Imported(
            run_id=run.id,
            harness=evals[0].harness,
            version=", ".join(sorted({one.version for one in evals})),
            at=datetime.now(UTC),
            files=tuple(files),
            scorers={one.task: one.scorer for one in evals},
            timed=all(one.timed for one in evals),
            lost={name: number for name, number in sorted(lost.items()) if number},
        ),
    )


def _system(one: ForeignEval) -> System:
    sampling = Sampling(temperature=one.temperature or 0.0, max_tokens=one.max_tokens or 0)
    return System(
        model=one.model,
        format=NATIVE,
        engine=ENGINE,
        sampling=sampling if one.harness == "inspect" else Sampling(max_tokens=0),
        options={"harness": one.harness, "version": one.version} | _shared(one),
    )


def _shared(one: ForeignEval) -> dict[str, object]:
    """Return the settings that are the model's own, not the task's."""
    own = {name: value for name, value in one.settings.items() if name not in TASK_SETTINGS}
    return {"settings": own} if own else {}


TASK_SETTINGS = ("task_args", "shots", "solver")


def _refuse_twice(evals: Sequence[ForeignEval], systems: Sequence[System]) -> None:
    pairs = Counter((s.id, one.task) for s, one in zip(systems, evals, strict=True))
    for (system_id, task), number in pairs.items():
        if number > 1:
            label = next(one.label for one in systems if one.id == system_id)
            raise ConfigError(
                f"{label} was evaluated {number} times at {task}, with the same settings.",
                hint="Import each into a run of its own, and compare those by `qbench noise`.",
            )


def _baseline(systems: Sequence[System], wanted: str) -> System:
    if not wanted:
        return systems[0]
    found = [one for one in systems if wanted in (one.model, one.model.rsplit("/", 1)[-1])]
    if not found:
        names = ", ".join(dict.fromkeys(one.model for one in systems))
        raise ConfigError(f"No model is named {wanted!r}.", hint=f"There are: {names}.")
    return found[0]


def _run(evals: Sequence[ForeignEval], systems: Sequence[System], baseline: System) -> Run:
    first = min(one.created for one in evals)
    tasks = tuple(dict.fromkeys(one.task for one in evals))
    samples = {one.sample.id for part in evals for one in part.attempts}
    epochs = max(one.epoch for part in evals for one in part.attempts) + 1
    versions = dict.fromkeys(one.task_version or "?" for one in evals)
    harness = evals[0].harness
    request = Request(
        systems=tuple({one.id: one for one in systems}.values()),
        baseline=baseline.id,
        suite=f"{harness}:{tasks[0]}" if len(tasks) == 1 else harness,
        suite_version=", ".join(versions),
        tasks=tasks,
        levels=(1,),
        limit=len(samples),
        epochs=epochs,
    )
    last = max(one.ended_at for part in evals for one in part.attempts)
    return Run(
        id=new_id(),
        request=request,
        controls=Controls(probe=False),
        status=RunStatus.DONE,
        created_at=first,
        finished_at=last,
        version=__version__,
    )


class _Part(Struct, frozen=True, kw_only=True):
    """One evaluation's share of a run."""

    cell: Cell
    shard: Shard
    endpoint: Endpoint
    attempts: tuple[Recorded, ...]
    prices: dict[str, Struct]


def _part(run: Run, one: ForeignEval, system: System, book: PriceBook) -> _Part:
    ids = tuple(dict.fromkeys(made.sample.id for made in one.attempts))
    epochs = max(made.epoch for made in one.attempts) + 1
    cell = Cell(
        id=new_id(),
        run_id=run.id,
        system_id=system.id,
        task=one.task,
        pending=0,
        planned=len(one.attempts),
    )
    shard = Shard(
        id=new_id(),
        cell_id=cell.id,
        run_id=run.id,
        system_id=system.id,
        sample_ids=ids,
        epochs=epochs,
        closed=True,
    )
    endpoint = _endpoint(run, one, system)
    prices: dict[str, Struct] = {}
    lookup = price_lookup(priced_as(one.model), book, installed_litellm())

    def price_at(at: datetime) -> TokenPrice | None:
        price = lookup(at) if priced_as(one.model) else None
        if price is not None:
            prices[price.id] = price
        return price

    attempts = [_attempt(run, cell, endpoint, made) for made in one.attempts]
    ended = Counter(made.status.value for made in attempts)
    passed = sum(bool(made.score and made.score.passed) for made in attempts)
    cell = replace(cell, passed=passed, **ended)
    recorded = [Recorded(attempt=a, lines=tuple(api_lines(a, price_at))) for a in attempts]
    return _Part(cell=cell, shard=shard, endpoint=endpoint, attempts=tuple(recorded), prices=prices)


def priced_as(model: str) -> str:
    """Return a model's name in the price lists; empty for one that somebody runs himself."""
    provider, slash, rest = model.partition("/")
    if not slash or provider in LOCAL:
        return ""
    if rest.startswith(("azure/", "bedrock/", "vertex/")):
        return rest.replace("vertex/", "vertex_ai/", 1)
    return f"{PROVIDERS.get(provider, provider)}/{rest}"


def _endpoint(run: Run, one: ForeignEval, system: System) -> Endpoint:
    return Endpoint(
        id=new_id(),
        run_id=run.id,
        engine_key=system.engine_key,
        base_url="",
        served_name=one.model,
        started_at=one.created,
        stopped_at=one.created,
        format_requested=system.format,
        engine_version=f"{one.harness} {one.version}",
        details={"imported": [file.name for file in one.files], "settings": one.settings},
    )


def _attempt(run: Run, cell: Cell, endpoint: Endpoint, made: ForeignAttempt) -> Attempt:
    status = AttemptStatus(made.score.status) if made.score else AttemptStatus.ERRORED
    return Attempt(
        id=new_id(),
        run_id=run.id,
        system_id=cell.system_id,
        sample_id=made.sample.id,
        epoch=made.epoch,
        cell_id=cell.id,
        endpoint_id=endpoint.id,
        status=status,
        started_at=made.started_at,
        ended_at=made.ended_at,
        transcript=made.transcript,
        score=made.score,
        fault=made.fault,
    )
