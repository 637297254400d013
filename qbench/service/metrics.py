"""What is counted and measured, for Prometheus. Needs the extra ``service``.

What a process does is counted in ``COUNTED``; where the service stands is read from the database
when it is asked, by ``Standing``. Labels are few and known: no ids, no texts.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Protocol
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from qbench.errors import StoreError
from qbench.service.store import Gauges

LOG = logging.getLogger(__name__)

COUNTED = CollectorRegistry()
"""What this process did since it started."""

ENGINE_STATES = ("loading", "up", "ending", "over", "failed")
FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter"})
ATTEMPT_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
HTTP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
CACHED_S = 5.0
"""How long what was read from the database is good: scrapers may come in numbers."""

_SYSTEM = ("model", "format")

ATTEMPTS = Counter(
    "qbench_attempts_total",
    "Attempts that ended and are durable.",
    ("suite", "status"),
    registry=COUNTED,
)
MODEL_CALLS = Counter(
    "qbench_model_calls_total",
    "Model calls by finish reason; error: the engine or its endpoint failed.",
    (*_SYSTEM, "outcome"),
    registry=COUNTED,
)
TOKENS = Counter(
    "qbench_tokens_total",
    "Tokens as the endpoint reported them; cached ones are part of prompt.",
    (*_SYSTEM, "kind"),
    registry=COUNTED,
)
DOLLARS = Counter(
    "qbench_dollars_total",
    "Dollars booked by this process; the ledger has them exactly.",
    ("basis",),
    registry=COUNTED,
)
ERRORS = Counter(
    "qbench_errors_total",
    "Infrastructure errors by class name, see qbench.errors.",
    ("kind",),
    registry=COUNTED,
)
ATTEMPT_SECONDS = Histogram(
    "qbench_attempt_seconds",
    "Wall seconds of an attempt.",
    ("suite", *_SYSTEM),
    buckets=ATTEMPT_S,
    registry=COUNTED,
)
ENGINE_STATE = Gauge(
    "qbench_engine_state",
    "1 for the state in which this process's engine of a model and format is.",
    (*_SYSTEM, "state"),
    multiprocess_mode="livemax",
    registry=COUNTED,
)
HTTP_SECONDS = Histogram(
    "qbench_http_request_seconds",
    "Seconds until the response began, by route template; streams may go on long after.",
    ("method", "route", "status"),
    buckets=HTTP_S,
    registry=COUNTED,
)
if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    ProcessCollector(registry=COUNTED)


def note_engine(model: str, fmt: str, state: str) -> None:
    """Say in which of ``ENGINE_STATES`` this process's engine of a model and format is now."""
    for each in ENGINE_STATES:
        ENGINE_STATE.labels(model, fmt, each).set(each == state)


def note_dollars(basis: str, dollars: Decimal | None) -> None:
    """Count a booked ledger line; what is unpriced adds nothing."""
    if dollars is not None and dollars > 0:
        DOLLARS.labels(basis).inc(float(dollars))


class HasGauges(Protocol):
    """What ``Standing`` reads: a Store."""

    def gauges(self) -> Gauges:
        """Return where the service stands."""
        ...


class Standing(Collector):
    """Where the service stands, read from the database at most every ``CACHED_S``.

    While the database does not answer its metrics are absent and ``qbench_database_up`` is 0.
    """

    def __init__(self, store: HasGauges, *, cached_s: float = CACHED_S) -> None:
        self._store = store
        self._cached_s = cached_s
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._found: tuple[Metric, ...] = ()

    def collect(self) -> Iterable[Metric]:
        """Return the gauges; scrapes at the same time wait for one read."""
        with self._lock:
            if time.monotonic() - self._read_at > self._cached_s:
                self._found = tuple(self._read())
                self._read_at = time.monotonic()
            return self._found

    def _read(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("qbench_database_up", "Whether the database answered.")
        try:
            now = self._store.gauges()
        except StoreError as error:
            LOG.warning("The database does not answer the metrics: %s", error)
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from metrics_of(now)


def metrics_of(now: Gauges) -> Iterator[Metric]:
    """Return the gauges as Prometheus has them."""
    yield _family("qbench_queue_depth", "What waits, by queue.", "queue", now.waiting)
    oldest = GaugeMetricFamily(
        "qbench_queue_age_seconds", "How long the first queued run has waited."
    )
    oldest.add_metric((), now.oldest_s)
    yield oldest
    yield _family("qbench_runs", "Runs by status.", "status", now.runs)
    yield _family("qbench_workers", "Workers heard of lately.", "state", now.workers)
    yield _family("qbench_engines", "Engines of runs that are not over.", "state", now.engines)
    yield _family("qbench_spent_dollars", "Known dollars of all runs.", "basis", now.dollars)


def _family(name: str, about: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=(label,))
    for value, number in sorted(values.items()):
        family.add_metric((value,), number)
    return family


class Exposed(Collector):
    """Everything one address tells: what was counted, and where the service stands."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = (_counted(), *collectors)

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        for collector in self._collectors:
            yield from collector.collect()

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type, in the form that ``accept`` asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self), content_type


def _counted() -> Collector:
    """Return what this process counted, or with PROMETHEUS_MULTIPROC_DIR all its siblings too."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return COUNTED
    return MultiProcessCollector(CollectorRegistry())  # type: ignore[no-untyped-call]  # has no types


def serve_metrics(
    port: int, *, host: str = "127.0.0.1", standing: Standing | None = None
) -> tuple[WSGIServer, threading.Thread]:
    """Serve a worker's metrics from a thread; 0 takes a free port, ``server_port`` says which.

    It asks for no key: give another host than loopback only on a network of your own.

    Raises:
        OSError: the port is taken.

    """
    registry = CollectorRegistry()
    registry.register(Exposed(standing) if standing else Exposed())
    return start_http_server(port, addr=host, registry=registry)
