from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from qbench.service.tracing import (
    continued,
    current_ids,
    current_traceparent,
    setup_tracing,
    span,
    tracing,
)

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HINT = "pip install 'qbench[otel]', or unset the variable.\n"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    end = setup_tracing("test", exporter=exporter)
    try:
        yield exporter
    finally:
        end()


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {found.name: found for found in exporter.get_finished_spans()}


def test_off_everything_is_one_object_that_does_nothing() -> None:
    assert not tracing()
    assert span("a") is span("b", "client", {"x": 1})
    with continued(TRACEPARENT), span("a") as live:
        live.set({"x": 1})
        live.fail("Wrong")
        assert (current_traceparent(), current_ids()) == ("", {})


def test_off_without_an_endpoint_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    setup_tracing("test")()
    assert not tracing()


def test_a_trace_is_continued_from_a_traceparent(spans: InMemorySpanExporter) -> None:
    with continued(TRACEPARENT):
        assert current_traceparent() == TRACEPARENT
        with span("outer", "server"):
            sent = current_traceparent()
    with continued(sent), span("inner"):
        assert current_ids()["trace_id"] == TRACE
    outer, inner = by_name(spans)["outer"], by_name(spans)["inner"]
    assert outer.parent is not None
    assert inner.parent is not None
    assert outer.context is not None
    assert f"{outer.parent.span_id:016x}" == PARENT
    assert inner.parent.span_id == outer.context.span_id
    assert outer.kind.name == "SERVER"


@pytest.mark.parametrize("odd", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_what_is_no_trace_context_is_passed_over(spans: InMemorySpanExporter, odd: str) -> None:
    with span("outer") as _, continued(odd), span("inner"):
        pass
    outer, inner = by_name(spans)["outer"], by_name(spans)["inner"]
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id


def test_an_unknown_attribute_is_absent_and_a_failure_keeps_only_its_class(
    spans: InMemorySpanExporter,
) -> None:
    with pytest.raises(ValueError), span("a", attributes={"x": 1, "y": None}):
        raise ValueError("the secret prompt")
    (found,) = spans.get_finished_spans()
    assert dict(found.attributes or {}) == {"x": 1, "error.type": "ValueError"}
    assert found.status.status_code.name == "ERROR"
    assert "secret" not in found.to_json()


def test_the_service_is_named_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "theirs"):
        exporter = InMemorySpanExporter()
        end = setup_tracing("mine", exporter=exporter)
        with span("a"):
            pass
        end()
        (found,) = exporter.get_finished_spans()
        assert found.resource.attributes["service.name"] == name
        monkeypatch.setenv("OTEL_SERVICE_NAME", "theirs")
    assert not tracing()


def test_without_opentelemetry_everything_is_there_and_nothing_happens() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from qbench.service import tracing as t\n"
        "end = t.setup_tracing('x')\n"
        f"with t.continued({TRACEPARENT!r}), t.span('a') as s: s.set({{'x': 1}})\n"
        "assert not t.INSTALLED and not t.tracing() and t.current_traceparent() == ''; end()\n"
        "import os; os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = 'http://127.0.0.1:4318'\n"
        "try: t.setup_tracing('x')\n"
        "except t.ConfigError as error: print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, HINT), done.stderr
