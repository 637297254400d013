"""Runs whose scripted model calls real MCP tools and solves every sample."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict, replace

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.suite import Sample
from qbench.service.domain import Controls, Request, System
from qbench.service.plan import Plan, make_plan
from qbench.service.store import Store

MODEL = "openai/scripted-tools"


def create_tool_run(
    store: Store,
    *,
    limit: int = 2,
    traceparent: str = "",
    prelude: Sequence[Any] = (),
    **options: Any,
) -> Plan:
    """Write a run of the calendar; ``prelude`` turns come before those that solve a sample."""
    suite = load_suite("mcp")
    samples = suite.samples(seed=0, tasks=("calendar",), levels=(2,), limit=limit)
    script = {sample.prompt: [*prelude, *solution(sample)] for sample in samples}
    system = System(
        model=MODEL, format="int4", engine="scripted", options={"script": script, **options}
    )
    request = Request(
        systems=(system,),
        baseline=system.id,
        suite=suite.name,
        suite_version=suite.version,
        tasks=("calendar",),
        levels=(2,),
        limit=limit,
    )
    plan = make_plan(request, Controls(concurrency=2), now=datetime.now(UTC))
    plan = replace(plan, run=replace(plan.run, traceparent=traceparent))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    return plan


def solution(sample: Sample) -> list[dict[str, Any]]:
    """Return the turns of a model that makes the reference calls one by one, then answers."""
    calls = [{"call": ref.name, "arguments": asdict(ref)["arguments"]} for ref in sample.reference]
    return [*calls, {"say": sample.answer or "Done."}]
