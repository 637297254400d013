from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from qbench.service.domain import RunStatus
from qbench.service.plan import Plan
from qbench.service.pricebook import PriceBook
from qbench.service.store import Store
from qbench.service.tracing import setup_tracing
from qbench.workers.progress import Silent
from qbench.workers.steps import execute
from qbench.workers.traced import CONTENT, run_span
from tests.integration.made import create, request, system
from tests.integration.tool_runs import MODEL, create_tool_run

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
NO_PRICES = PriceBook(machines=(), models=())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "qbench.db")) as opened:
        yield opened


class Tree:
    """Finished spans, by what they hang from."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self.spans = sorted(exporter.get_finished_spans(), key=lambda s: s.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [found for found in self.spans if found.name.split()[0] == name]

    def under(self, parent: ReadableSpan) -> list[str]:
        assert parent.context is not None
        key = parent.context.span_id
        return [s.name for s in self.spans if s.parent is not None and s.parent.span_id == key]


async def traced(plan: Plan, store: Store, *, run: bool = True) -> Tree:
    exporter = InMemorySpanExporter()
    end = setup_tracing("test", exporter=exporter)
    try:
        if run:
            with run_span(plan.run):
                await execute(plan.run, store, NO_PRICES, Silent())
        else:
            await execute(plan.run, store, NO_PRICES, Silent())
    finally:
        end()
    return Tree(exporter)


def told(found: ReadableSpan) -> dict[str, Any]:
    return dict(found.attributes or {})


async def test_a_run_is_one_tree_in_the_submissions_trace(store: Store) -> None:
    plan = create_tool_run(store, limit=2, traceparent=TRACEPARENT)
    solutions = {s.id: [ref.name for ref in s.reference] for s in plan.samples}
    assert [len(calls) for calls in solutions.values()] == [2, 1]
    tree = await traced(plan, store)
    assert store.run(plan.run.id).status is RunStatus.DONE
    assert {s.context.trace_id for s in tree.spans if s.context} == {int(TRACE, 16)}
    (run,) = tree.named("qbench.run")
    assert run.parent is not None
    assert f"{run.parent.span_id:016x}" == PARENT
    assert tree.under(run) == ["qbench.attempt"] * 2
    for attempt in tree.named("qbench.attempt"):
        calls = solutions[told(attempt)["qbench.sample.id"]]
        rounds = [name for call in calls for name in (f"chat {MODEL}", f"execute_tool {call}")]
        assert tree.under(attempt) == [*rounds, f"chat {MODEL}", "qbench.end_state"]


async def test_each_span_tells_what_the_conventions_ask_for(store: Store) -> None:
    plan = create_tool_run(store, limit=1)
    tree = await traced(plan, store)
    (view,) = store.attempts(plan.run.id)
    attempt, chat, tool = (tree.named(n)[0] for n in ("qbench.attempt", "chat", "execute_tool"))
    turn = store.transcript(view.id).turns[0]
    assert turn.usage is not None
    assert told(attempt) == {
        "qbench.run.id": plan.run.id,
        "qbench.system.id": plan.run.request.baseline,
        "qbench.model": MODEL,
        "qbench.format": "int4",
        "qbench.engine": "scripted",
        "qbench.suite": "mcp",
        "qbench.sample.id": plan.samples[0].id,
        "qbench.epoch": 0,
        "qbench.attempt.id": view.id,
        "qbench.attempt.status": "scored",
        "qbench.attempt.passed": True,
        "qbench.attempt.stop": "answered",
        "qbench.attempt.turns": 3,
    }
    assert told(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.system": "scripted",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 512,
        "gen_ai.response.model": "scripted",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.response.time_to_first_chunk": turn.timing.ttft_s,
        "gen_ai.usage.input_tokens": turn.usage.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.output_tokens": turn.usage.completion_tokens,
        "qbench.format": "int4",
        "qbench.retries": 0,
    }
    assert told(tool) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "create_event",
        "gen_ai.tool.type": "extension",
        "gen_ai.tool.call.id": "call_0",
        "mcp.method.name": "tools/call",
    }
    assert (chat.kind.name, tool.kind.name) == ("CLIENT", "CLIENT")


async def test_contents_are_traced_only_where_it_is_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = await traced(create_tool_run(store, limit=1), store)
    assert not any("Planning" in found.to_json() for found in silent.spans)
    monkeypatch.setenv(CONTENT, "1")
    loud = await traced(create_tool_run(store, limit=1), store)
    chat, tool = told(loud.named("chat")[0]), told(loud.named("execute_tool")[0])
    assert "Planning" in chat["gen_ai.input.messages"]
    assert "create_event" in chat["gen_ai.output.messages"]
    assert "Planning" in tool["gen_ai.tool.call.arguments"]
    assert tool["gen_ai.tool.call.result"]


async def test_a_tools_own_error_and_calls_that_are_not_run(store: Store) -> None:
    unrun = {"call": "create_event", "arguments": "{"}
    wrong = {"call": "delete_event", "arguments": {"title": "Nothing"}}
    mixed = {"calls": [("create_event", "{"), ("delete_event", {"title": "Nowhere"})]}
    plan = create_tool_run(store, limit=1, prelude=[unrun, wrong, mixed])
    tree = await traced(plan, store)
    run = {s.name: told(s) for s in tree.named("execute_tool")}
    transcript = store.transcript(next(iter(store.attempts(plan.run.id))).id)
    really = [r for r in transcript.tool_runs if r.fault in {"", "tool_error"}]
    assert len(tree.named("execute_tool")) == len(really)
    assert [told(s)["gen_ai.tool.call.id"] for s in tree.named("execute_tool")] == [
        r.call_id for r in really
    ]
    assert [r.call_id for r in really] == ["call_0", "call_1", "call_0", "call_0"]
    failed = [r.name for r in really if r.fault == "tool_error"]
    assert failed == ["delete_event"] * 2
    assert run["execute_tool delete_event"]["error.type"] == "tool_error"
    assert "error.type" not in run["execute_tool create_event"]


async def test_a_failed_call_fails_its_span_and_its_attempt_without_its_message(
    store: Store,
) -> None:
    plan = create(store, request((system("bf16", faults={"timeout": 1.0}),), limit=1))
    tree = await traced(plan, store, run=False)
    (chat,), (attempt,) = tree.named("chat"), tree.named("qbench.attempt")
    for found in (chat, attempt):
        assert told(found)["error.type"] == "EngineTimeout"
        assert found.status.status_code.name == "ERROR"
        assert "as told" not in found.to_json()
    assert told(attempt)["qbench.attempt.status"] == "errored"


async def test_an_attempt_outside_a_run_span_still_joins_the_runs_trace(store: Store) -> None:
    plan = create_tool_run(store, limit=2, traceparent=TRACEPARENT)
    tree = await traced(plan, store, run=False)
    parents = {a.parent.span_id for a in tree.named("qbench.attempt") if a.parent}
    assert parents == {int(PARENT, 16)}


async def test_a_run_that_is_not_traced_is_the_same_run(store: Store) -> None:
    plain = create_tool_run(store, limit=2)
    await execute(plain.run, store, NO_PRICES, Silent())
    seen = create_tool_run(store, limit=2)
    await traced(seen, store)
    one, other = (
        [store.transcript(view.id).messages for view in store.attempts(plan.run.id)]
        for plan in (plain, seen)
    )
    assert sorted(map(repr, one)) == sorted(map(repr, other))
    assert store.paid(plain.run.id) == store.paid(seen.run.id) == Decimal(0)


async def test_spans_arrive_at_the_endpoint_of_the_environment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        end = setup_tracing("qbench-worker")
        await execute(create(store, request(limit=1)).run, store, NO_PRICES, Silent())
        end()
        server.shutdown()
        serving.join()
    assert {path for path, _ in got} == {"/v1/traces"}
    (sent,) = [ExportTraceServiceRequest.FromString(body) for _, body in got]
    (resource,) = sent.resource_spans
    names = {found.name for scope in resource.scope_spans for found in scope.spans}
    assert names == {"qbench.attempt", "chat scripted/sums"}
    about = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert about["service.name"] == "qbench-worker"
