"""Runs of made-up systems with known pass rates, prices and paths, for tests of frontiers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import TokenUsage
from qbench.benchmarks.suite import Score
from qbench.benchmarks.transcript import Transcript
from qbench.service.domain import (
    ComputePath,
    Controls,
    Endpoint,
    Request,
    RunStatus,
    System,
    new_id,
)
from qbench.service.plan import make_plan
from qbench.service.store import Recorded, Store
from tests.integration.made import NOW, attempt, line, turn


@dataclass(frozen=True)
class Kind:
    """A system as it should turn out."""

    model: str
    fmt: str
    rate: float
    dollars: float | None
    """Per attempt, give or take a tenth; None: unpriced."""
    seconds: float = 1.0
    path: ComputePath = "native"
    details: dict[str, Any] = field(default_factory=dict)
    tokens: int | None = 100
    energy: float | None = None
    """Dollars per attempt."""

    @property
    def system(self) -> System:
        return System(model=self.model, format=self.fmt, engine="scripted")


FLEET = (
    Kind("x/Llama-3-8B", "bf16", 0.80, 0.0040, 4.0, details={"weights_gib": 16.1}),
    Kind("x/Llama-3-8B", "fp8", 0.79, 0.0021, 2.5, details={"weights_gib": 8.6}),
    Kind("x/Llama-3-8B", "w4a16", 0.72, 0.0012, 1.8, path="weight-only fallback"),
    Kind("x/Qwen3-4B", "bf16", 0.60, 0.0019, 2.0, details={"weights_gib": 8.2}),
    Kind(
        "x/Qwen3-4B", "nvfp4", 0.52, 0.0007, 6.0, path="emulated", details={"weight_bytes": 2**31}
    ),
)


def request_of(kinds: Sequence[Kind], samples: int, epochs: int, levels: int) -> Request:
    suite = load_suite("sums")
    systems = tuple(kind.system for kind in kinds)
    return Request(
        systems=systems,
        baseline=systems[0].id,
        suite=suite.name,
        suite_version=suite.version,
        tasks=suite.tasks,
        levels=suite.levels[:levels],
        limit=samples,
        epochs=epochs,
    )


def sailed(
    store: Store,
    kinds: Sequence[Kind] = FLEET,
    *,
    samples: int = 120,
    epochs: int = 1,
    levels: int = 3,
    skipped: Sequence[str] = (),
) -> str:
    """Store a run in which every system passes about as often as it should, and pays so.

    Systems of ``skipped`` formats try every other sample only.
    """
    plan = make_plan(
        request_of(kinds, samples, epochs, levels), Controls(concurrency=8), now=datetime.now(UTC)
    )
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    by_id = {kind.system.id: kind for kind in kinds}
    for kind in kinds:
        store.open_endpoint(_endpoint(plan.run.id, kind))
    level = {sample.id: sample.level for sample in plan.samples}
    chance, batch = random.Random(0), list[Recorded]()
    for shard in plan.shards:
        kind = by_id[shard.system_id]
        for n, sample_id in enumerate(shard.sample_ids):
            if kind.fmt in skipped and n % 2:
                continue
            for epoch in range(epochs):
                rate = kind.rate - 0.1 * (level[sample_id] - (1 + levels) / 2)
                batch.append(_recorded(shard, n, epoch, kind, chance, rate))
    store.append(batch)
    store.set_status(plan.run.id, RunStatus.DONE, NOW)
    return plan.run.id


def _endpoint(run_id: str, kind: Kind) -> Endpoint:
    return Endpoint(
        id=new_id(),
        run_id=run_id,
        engine_key=kind.system.engine_key,
        base_url="",
        served_name=kind.model,
        started_at=NOW,
        path=kind.path,
        details=kind.details,
    )


def _recorded(
    shard: Any, n: int, epoch: int, kind: Kind, chance: random.Random, rate: float
) -> Recorded:
    passed = chance.random() < rate
    usage = None
    if kind.tokens is not None:
        written = max(1, round(chance.gauss(kind.tokens, kind.tokens / 10)))
        usage = TokenUsage(prompt_tokens=200, cached_tokens=0, completion_tokens=written)
    made = attempt(
        shard,
        n,
        epoch=epoch,
        transcript=Transcript(
            messages=(),
            turns=(turn(usage=usage),),
            answer="3",
            seconds=kind.seconds * chance.uniform(0.8, 1.2),
        ),
        score=Score(status="scored", value=float(passed), passed=passed, scorer="s/1"),
    )
    spent = None if kind.dollars is None else f"{kind.dollars * chance.uniform(0.9, 1.1):.9f}"
    lines = [line(made, spent, "saturated")]
    if kind.energy is not None:
        lines.append(line(made, f"{kind.energy:.9f}", "energy"))
    return Recorded(attempt=made, lines=tuple(lines))
