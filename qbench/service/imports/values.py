"""What another harness's files say, before it becomes a run."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field

from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.transcript import Transcript
from qbench.service.domain import Fault

Harness = Literal["inspect", "lm-eval"]
ENGINE = "imported"
"""Engine name of a system that somebody else ran; no engine of ours answers to it."""


class SourceFile(Struct, frozen=True, kw_only=True):
    """A file that was read."""

    name: str
    sha256: str


class ForeignAttempt(Struct, frozen=True, kw_only=True):
    """One attempt as another harness tells it."""

    sample: Sample
    epoch: int
    transcript: Transcript
    score: Score | None
    fault: Fault | None
    started_at: datetime
    ended_at: datetime


class ForeignEval(Struct, frozen=True, kw_only=True):
    """One model at one task."""

    harness: Harness
    version: str
    """Of the harness."""
    files: tuple[SourceFile, ...]
    created: datetime
    task: str
    task_version: str
    model: str
    settings: dict[str, Any]
    """What distinguishes the system: arguments of the model, of the task, of generation."""
    temperature: float | None
    max_tokens: int | None
    scorer: str
    """Whose verdicts became the scores."""
    timed: bool
    """Whether the files tell seconds of each attempt."""
    attempts: tuple[ForeignAttempt, ...]
    lost: Counter[str] = field(default_factory=Counter)
    """What could not be mapped, and how often."""


class Imported(Struct, frozen=True, kw_only=True):
    """Where a run comes from; kept with it."""

    run_id: str
    harness: Harness
    version: str
    at: datetime
    """When it was imported."""
    files: tuple[SourceFile, ...]
    scorers: dict[str, str]
    """Task to the scorer whose verdicts became the scores."""
    timed: bool
    lost: dict[str, int]
    """What could not be mapped, and how often."""

    @property
    def told(self) -> str:
        """One line for reports."""
        names = ", ".join(f"{one.name} ({one.sha256[:12]})" for one in self.files[:3])
        more = f" and {len(self.files) - 3} more" if len(self.files) > 3 else ""
        return f"Imported from {self.harness} {self.version}: {names}{more}."
