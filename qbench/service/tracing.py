"""Traces, where OpenTelemetry is installed and told where to send them; else nothing, for nothing.

Until ``setup_tracing`` turns tracing on, ``span`` returns one shared object that does nothing.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol

try:
    from opentelemetry import context, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError:  # pragma: no cover - tested in a process of its own
    INSTALLED = False
else:
    INSTALLED = True

from qbench.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SDK = "qbench.service.tracing_sdk"
"""Imported when tracing is turned on: it takes a tenth of a second."""

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, Any]
"""Values are str, bool, int, float or sequences of one of them; None leaves the key out."""


class Span(Protocol):
    """What the body of ``with span(...)`` may say."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def fail(self, kind: str) -> None:
        """Mark the span as failed with ``kind`` as its ``error.type``."""
        ...


class _Silent:
    """A span while tracing is off; the only one."""

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set(self, attributes: Attributes) -> None:
        pass

    def fail(self, kind: str) -> None:
        pass


class _Live:
    """A span that is current while its body runs.

    Of an exception only the class is kept: messages may quote what was asked or answered.
    """

    def __init__(self, tracer: trace.Tracer, name: str, kind: Kind, attributes: Attributes) -> None:
        kinds = trace.SpanKind[kind.upper()]
        self._span = tracer.start_span(name, kind=kinds, attributes=_known(attributes))

    def __enter__(self) -> Span:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.fail(kind.__name__)
        context.detach(self._token)
        self._span.end()

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(_known(attributes))

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(trace.StatusCode.ERROR)


_SILENT = _Silent()
_NOTHING: Attributes = {}
_tracer: trace.Tracer | None = None


def tracing() -> bool:
    """Say whether spans go anywhere."""
    return _tracer is not None


def span(
    name: str, kind: Kind = "internal", attributes: Attributes = _NOTHING
) -> AbstractContextManager[Span]:
    """Open a span under the current one. Enter it in the task in which it is left."""
    return _SILENT if _tracer is None else _Live(_tracer, name, kind, attributes)


def current_traceparent() -> str:
    """Return the W3C trace context of the current span; empty when there is none."""
    if _tracer is None:
        return ""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def current_ids() -> dict[str, str]:
    """Return ``trace_id`` and ``span_id`` of the current span, as log lines carry them."""
    if _tracer is None:
        return {}
    at = trace.get_current_span().get_span_context()
    if not at.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(at.trace_id),
        "span_id": trace.format_span_id(at.span_id),
    }


@contextmanager
def continued(traceparent: str) -> Iterator[None]:
    """Let the spans of the body continue the trace of ``traceparent``.

    What is empty or no trace context is passed over: the body's spans stay where they were.
    """
    if _tracer is None or not traceparent:
        yield
        return
    carrier = {"traceparent": traceparent}
    token = context.attach(TraceContextTextMapPropagator().extract(carrier, context.get_current()))
    try:
        yield
    finally:
        context.detach(token)


def setup_tracing(service_name: str, *, exporter: SpanExporter | None = None) -> Callable[[], None]:
    """Turn tracing on for this process if it is asked for and installed; return what ends it.

    It is asked for by OTEL_EXPORTER_OTLP_ENDPOINT (OTLP over HTTP, in batches from a thread) or by
    giving an ``exporter``, which gets each span as it ends. Ending sends what waits. Call it in
    the process that makes the spans: a fork does not inherit the thread.

    Raises:
        ConfigError: it is asked for and OpenTelemetry is not installed.

    """
    global _tracer  # noqa: PLW0603 - on or off, for the whole process
    if exporter is None and not any(os.environ.get(name) for name in ENDPOINTS):
        return _nothing
    try:
        provider = importlib.import_module(SDK).provider(service_name, exporter)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Traces are asked for by {ENDPOINTS[0]}, but {error.name} is not installed.",
            hint="pip install 'qbench[otel]', or unset the variable.",
        ) from None
    _tracer = provider.get_tracer("qbench")

    def end() -> None:
        global _tracer  # noqa: PLW0603 - as above
        _tracer = None
        provider.shutdown()

    return end


def _nothing() -> None:
    """End what never began."""


def _known(attributes: Attributes) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
