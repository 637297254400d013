"""One attempt: tools, agent, verdict, cost. A fault of model or engine is a value, not a raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from qbench.benchmarks.agent.asking import Asking, Means, Watch
from qbench.benchmarks.agent.loop import AgentOptions, AttemptFailed, Price
from qbench.benchmarks.catalogue import load_strategy
from qbench.benchmarks.chat import Chat, Turn
from qbench.benchmarks.scoring.judging import judge
from qbench.benchmarks.strategies.way import make_attempt
from qbench.benchmarks.suite import Environment, Sample, Suite, ToolBox
from qbench.benchmarks.transcript import Transcript
from qbench.errors import EngineError, ToolServerError
from qbench.service.domain import (
    Attempt,
    AttemptStatus,
    Fault,
    LedgerLine,
    Run,
    Shard,
    System,
    new_id,
)
from qbench.service.store import Recorded
from qbench.service.tracing import tracing
from qbench.workers.others import Marked, Others
from qbench.workers.traced import TracedChat, TracedTools, attempt_span, tell_outcome


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the attempts of one served system share."""

    run: Run
    system: System
    suite: Suite
    environment: Environment
    chat: Chat
    endpoint_id: str
    base_url: str = ""
    """Where the endpoint answers, for traces; empty: where the system says."""
    turn_price: Price | None = None
    """Prices one model call while the attempt runs; None for local engines."""
    lines: Callable[[Attempt], list[LedgerLine]] = lambda _: []
    """Ledger lines that are known as soon as an attempt ends: those of API calls."""
    others: Others = Others()  # noqa: RUF009 - frozen, and empty
    """Other models that the strategy asks."""

    def price(self, turn: Turn) -> Decimal | None:
        """Price one model call while the attempt runs, whoever answered it."""
        if turn.by:
            return self.others.turn_dollars(turn)
        return self.turn_price(turn) if self.turn_price else None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt to be made."""

    shard: Shard
    sample: Sample
    epoch: int


async def attempt(job: Job, bench: Bench) -> Recorded:
    """Make one attempt and judge it. A cancelled attempt never happened."""
    if not tracing():
        return await _attempt(job, bench)
    with attempt_span(bench.run, bench.system, job.sample.id, job.epoch) as live:
        recorded = await _attempt(job, bench)
        tell_outcome(live, recorded.attempt)
        return recorded


async def _attempt(job: Job, bench: Bench) -> Recorded:
    started = datetime.now(UTC)
    fault: Fault | None = None
    try:
        transcript = await _play(job.sample, bench)
    except AttemptFailed as failed:
        transcript, fault = failed.transcript, _fault(failed.cause)
    except (EngineError, ToolServerError) as error:
        transcript, fault = Transcript(messages=(), turns=()), _fault(error)
    made = _judged(job, bench, started, transcript, fault)
    return Recorded(attempt=made, lines=(*bench.lines(made), *bench.others.lines(made)))


async def _play(sample: Sample, bench: Bench) -> Transcript:
    strategy = bench.system.strategy
    means = Means(
        chat=bench.chat,
        open_world=bench.environment.open,
        options=options_of(bench),
        suite=bench.suite,
        price=bench.price,
        others=bench.others.chats,
        value=lambda asked, made: bench.suite.score(asked, made).value,
        watch=_watch(bench, sample.canary),
    )
    asking = Asking(sample, strategy, means)
    return await make_attempt(load_strategy(strategy.name), asking)


def _watch(bench: Bench, canary: str) -> Watch:
    """Trace each path, where anybody listens."""

    def watch(chat: Chat, tools: ToolBox) -> tuple[Chat, ToolBox]:
        if not tracing():
            return chat, tools
        other = chat.system if isinstance(chat, Marked) else None
        url = "" if other else bench.base_url
        traced = TracedChat(chat, other or bench.system, url, canary=canary)
        return traced, TracedTools(tools, traced)

    return watch


def options_of(bench: Bench) -> AgentOptions:
    """Return how attempts are made on ``bench``."""
    strategy = bench.system.strategy
    return AgentOptions(
        limits=bench.run.request.limits,
        sampling=bench.system.sampling,
        tool_protocol=strategy.tool_protocol,
        examples=strategy.examples,
    )


def _fault(error: EngineError | ToolServerError) -> Fault:
    return Fault(kind=type(error).__name__, message=error.what)


def _judged(
    job: Job, bench: Bench, started: datetime, transcript: Transcript, fault: Fault | None
) -> Attempt:
    score = None if fault else judge(bench.suite, job.sample, transcript)
    status = AttemptStatus(score.status) if score else AttemptStatus.ERRORED
    return Attempt(
        id=new_id(),
        run_id=bench.run.id,
        system_id=job.shard.system_id,
        sample_id=job.sample.id,
        epoch=job.epoch,
        cell_id=job.shard.cell_id,
        endpoint_id=bench.endpoint_id,
        status=status,
        started_at=started,
        ended_at=datetime.now(UTC),
        transcript=transcript,
        score=score,
        fault=fault,
    )
