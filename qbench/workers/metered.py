"""A progress that counts, for Prometheus, what ends, and tells another progress."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from qbench.benchmarks.chat import Turn
from qbench.errors import NotFound, StoreError
from qbench.service import metrics
from qbench.service.domain import Attempt, Endpoint, Run, System
from qbench.workers.progress import Progress, Tally

KNOWN_RUNS = 64
"""Runs whose systems are remembered."""

CALL_FAULTS = frozenset(
    {"EngineError", "EngineUnavailable", "EngineTimeout", "EngineReplyInvalid", "ContextTooLong"}
)
"""Faults of an attempt that were faults of its last model call."""

NOBODY = ("unknown", "unknown", "unknown")
Labels = tuple[str, str, str]
"""Suite, model, format."""


class MeteredProgress:
    """Counts attempts, calls, tokens and errors; each attempt once, when it is durable.

    ``find`` gives a run by its id: a worker that takes single shards is told of no run's beginning.
    """

    def __init__(self, inner: Progress, find: Callable[[str], Run] | None = None) -> None:
        self._inner = inner
        self._find = find
        self._runs: dict[str, dict[str, Labels]] = {}

    def begin(self, run: Run, tallies: dict[str, Tally]) -> None:
        """Remember the run's systems."""
        self._learn(run)
        self._inner.begin(run, tallies)

    def say(self, line: str) -> None:
        """Pass it on."""
        self._inner.say(line)

    def serving(self, system: System, endpoint: Endpoint) -> None:
        """Note that the engine is up."""
        metrics.note_engine(system.model, system.format, "up")
        self._inner.serving(system, endpoint)

    def ended(self, attempt: Attempt, spent: Decimal) -> None:
        """Count an attempt."""
        count(attempt, self._labels(attempt))
        self._inner.ended(attempt, spent)

    def stopped(self, system_id: str, planned: int) -> None:
        """Pass it on."""
        self._inner.stopped(system_id, planned)

    def _labels(self, attempt: Attempt) -> Labels:
        if attempt.run_id not in self._runs and self._find is not None:
            try:
                self._learn(self._find(attempt.run_id))
            except (NotFound, StoreError):
                return NOBODY
        return self._runs.get(attempt.run_id, {}).get(attempt.system_id, NOBODY)

    def _learn(self, run: Run) -> None:
        wanted = run.request
        self._runs[run.id] = {s.id: (wanted.suite, s.model, s.format) for s in wanted.systems}
        while len(self._runs) > KNOWN_RUNS:
            del self._runs[next(iter(self._runs))]


def count(attempt: Attempt, labels: Labels) -> None:
    """Bump everything that one ended attempt tells."""
    suite, model, fmt = labels
    metrics.ATTEMPTS.labels(suite, attempt.status.value).inc()
    seconds = (attempt.ended_at - attempt.started_at).total_seconds()
    metrics.ATTEMPT_SECONDS.labels(suite, model, fmt).observe(seconds)
    for turn in attempt.transcript.turns:
        if turn.by:  # another model's, which a strategy asked
            _count_call(turn, turn.by, "native")
        else:
            _count_call(turn, model, fmt)
    if attempt.fault is not None:
        metrics.ERRORS.labels(attempt.fault.kind).inc()
        if attempt.fault.kind in CALL_FAULTS:
            metrics.MODEL_CALLS.labels(model, fmt, "error").inc()


def _count_call(turn: Turn, model: str, fmt: str) -> None:
    reason = turn.finish_reason
    known = reason if reason in metrics.FINISHES else "other"
    metrics.MODEL_CALLS.labels(model, fmt, known).inc()
    if turn.usage is None:
        return
    metrics.TOKENS.labels(model, fmt, "prompt").inc(turn.usage.prompt_tokens)
    metrics.TOKENS.labels(model, fmt, "cached").inc(turn.usage.cached_tokens)
    metrics.TOKENS.labels(model, fmt, "completion").inc(turn.usage.completion_tokens)
