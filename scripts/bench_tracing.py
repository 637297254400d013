"""What tracing costs: a span while it is off, a span while it is on, an attempt either way.

CPU time of this process only, the best of several rounds::

    python scripts/bench_tracing.py [--spans 200000] [--attempts 2000] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from qbench.benchmarks.catalogue import load_suite
from qbench.service.domain import Controls, Request, System
from qbench.service.plan import make_plan
from qbench.service.pricebook import PriceBook
from qbench.service.store import Store
from qbench.service.tracing import setup_tracing, span
from qbench.workers.progress import Silent
from qbench.workers.steps import execute

ROUNDS = 5


class Dropping(SpanExporter):
    """Takes spans and forgets them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Do nothing with ``spans``."""
        del spans
        return SpanExportResult.SUCCESS


def per_span(number: int) -> float:
    """Return nanoseconds of CPU per span, an empty loop taken off."""
    began = time.process_time_ns()
    for _ in range(number):
        pass
    empty = time.process_time_ns() - began
    began = time.process_time_ns()
    for _ in range(number):
        with span("bench"):
            pass
    return (time.process_time_ns() - began - empty) / number


def per_attempt(number: int) -> float:
    """Return microseconds of CPU per scripted attempt, its database included."""
    suite = load_suite("sums")
    system = System(model="scripted/sums", format="bf16", engine="scripted")
    request = Request(
        systems=(system,),
        baseline=system.id,
        suite=suite.name,
        suite_version=suite.version,
        tasks=suite.tasks,
        levels=suite.levels,
        limit=number,
    )
    plan = make_plan(request, Controls(), now=datetime.now(UTC))
    with tempfile.TemporaryDirectory() as folder, Store.open(str(Path(folder) / "b.db")) as store:
        store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
        began = time.process_time()
        asyncio.run(execute(plan.run, store, PriceBook(machines=(), models=()), Silent()))
        return (time.process_time() - began) / number * 1e6


def measure(spans: int, attempts: int) -> dict[str, float]:
    """Return all four numbers; spans in nanoseconds, attempts in microseconds."""
    found = {
        "span_off_ns": best(lambda: per_span(spans)),
        "attempt_off_us": best(lambda: per_attempt(attempts)),
    }
    end = setup_tracing("bench", exporter=Dropping())
    try:
        found["span_on_ns"] = best(lambda: per_span(spans // 10))
        found["attempt_on_us"] = best(lambda: per_attempt(attempts))
    finally:
        end()
    return {name: round(value, 1) for name, value in found.items()}


def best(once: Callable[[], float]) -> float:
    """Return the least of ``ROUNDS``: other load only adds."""
    return min(once() for _ in range(ROUNDS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--attempts", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.spans, given.attempts)
    if given.json:
        json.dump(found, sys.stdout)
        return
    for name, value in found.items():
        print(f"{name:<16} {value:>10,.1f}")


if __name__ == "__main__":
    main()
