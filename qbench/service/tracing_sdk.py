"""OpenTelemetry's SDK, put together for ``qbench.service.tracing``. Needs the extra ``otel``."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter

from qbench import __version__


def provider(service_name: str, exporter: SpanExporter | None) -> TracerProvider:
    """Return where spans come from: to ``exporter`` one by one, else to the OTLP endpoint.

    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and OTEL_TRACES_SAMPLER are heeded. It is not made
    the process's global one, so that libraries do not add spans with contents of their own.
    """
    about = Resource.create({"service.name": service_name, "service.version": __version__})
    made = TracerProvider(resource=about.merge(OTELResourceDetector().detect()))
    processor: SpanProcessor = (
        SimpleSpanProcessor(exporter) if exporter else BatchSpanProcessor(OTLPSpanExporter())
    )
    made.add_span_processor(processor)
    return made
