"""The fake that ships: plays back replies and faults in-process, for tests and harness speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn, TypeVar

from msgspec import Meta, Struct

from qbench import __version__
from qbench.benchmarks.chat import ChatRequest, Timing, TokenUsage, Turn
from qbench.errors import (
    EngineReplyInvalid,
    EngineTimeout,
    EngineUnavailable,
    QbenchError,
)
from qbench.service.domain import Endpoint, System, new_id
from qbench.workers.engines import Say
from qbench.workers.engines.behaviours import (
    Asked,
    Behaviour,
    Fault,
    ScriptedTurn,
    behaviour,
    completion_tokens,
    faulty,
    longer,
    prompt_tokens,
    seeded,
)
from qbench.workers.engines.inflight import InFlight
from qbench.workers.engines.judging import JudgeOptions, essay, judge
from qbench.workers.engines.options import read_options
from qbench.workers.engines.serving import MeasuredServing
from qbench.workers.engines.skilled import knowledge, skilled
from qbench.workers.limiter import FixedLimit, Gate

T = TypeVar("T", int, float)
_AGAIN = "This fault is scripted; resume the run to see it tried again."
FAULT_ERRORS: dict[Fault, type[EngineUnavailable | EngineTimeout | EngineReplyInvalid]] = {
    "rate_limit": EngineUnavailable,
    "http_500": EngineUnavailable,
    "disconnect": EngineUnavailable,
    "bad_key": EngineUnavailable,
    "timeout": EngineTimeout,
    "malformed": EngineReplyInvalid,
    "flood": EngineReplyInvalid,
}
"""What each fault is once retries are used up. ``hang`` never gets that far."""


Share = Annotated[float, Meta(ge=0, le=1)]
Tokens = Annotated[int, Meta(ge=0)]


class ScriptedOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``System.options`` of this engine."""

    script: Any = "sum"
    accuracy: Share | dict[str, Share] = 0.8
    """Of ``sum`` and ``skilled``; by format where it is a mapping, ``*`` for all others."""
    known: str = ""
    """Of ``skilled``: the file that `qbench suites script` made."""
    decline: Share = 0.0
    """Of ``skilled``: how much less accurate it is with each level."""
    unsteady: Share | dict[str, Share] = 0.0
    """Share of replies that are drawn anew each time: noise of known size. By format likewise."""
    wordy: Tokens | dict[str, Tokens] = 0
    """Tokens that each reply is said to be longer. By format likewise."""
    strength: float | dict[str, float] = 1000.0
    """Elo of what ``essay`` writes. By format likewise."""
    by_strength: bool = False
    """Of ``judge``: see ``JudgeOptions``."""
    position_bias: Share = 0.0
    confidence: Share | None = None
    seed: int = 0
    faults: dict[str, Share] = {}
    """Rate of each fault, per call."""
    ttft_s: Annotated[float, Meta(ge=0)] = 0.0
    itl_s: Annotated[float, Meta(ge=0)] = 0.0

    @classmethod
    def of(cls, system: System) -> ScriptedOptions:
        """Read a system's options. Raises ConfigError."""
        return read_options(system, cls)

    def behaviour(self, format_name: str, *, concurrency: int = 0) -> Behaviour:
        """Return what answers. Raises ConfigError, NotFound."""
        told = self._contest(format_name) or self._skilled(format_name, concurrency)
        inner = told or behaviour(
            self.script,
            accuracy=_of(self.accuracy, format_name, 0.8),
            unsteady=_of(self.unsteady, format_name, 0.0),
            seed=self.seed,
            again=f"{format_name} at {concurrency}",
        )
        inner = longer(inner, _of(self.wordy, format_name, 0))
        return faulty(inner, self.faults, seeded(self.seed))

    def _skilled(self, format_name: str, concurrency: int) -> Behaviour | None:
        if self.script != "skilled":
            return None
        return skilled(
            knowledge(self.known),
            _of(self.accuracy, format_name, 0.8),
            seeded(self.seed),
            decline=self.decline,
            again=f"{format_name} at {concurrency}",
        )

    def _contest(self, format_name: str) -> Behaviour | None:
        """Return what writes for tournaments, or judges them; None for any other script."""
        if self.script == "essay":
            return essay(_of(self.strength, format_name, 1000.0), seeded(self.seed))
        if self.script != "judge":
            return None
        options = JudgeOptions(
            accuracy=_of(self.accuracy, format_name, 0.8),
            by_strength=self.by_strength,
            position_bias=self.position_bias,
            confidence=self.confidence,
        )
        return judge(options, seeded(self.seed))


def _of(value: T | dict[str, T], format_name: str, otherwise: T) -> T:
    """Read a value that may be given by format."""
    if isinstance(value, dict):
        return value.get(format_name, value.get("*", otherwise))
    return value


class ScriptedChat:
    """Answers in-process from a behaviour; nothing is awaited but the latencies asked for."""

    def __init__(
        self, behaviour: Behaviour, *, ttft_s: float = 0.0, itl_s: float = 0.0, concurrency: int = 0
    ) -> None:
        self.in_flight = InFlight()
        self._behaviour = behaviour
        self._ttft_s = ttft_s
        self._itl_s = itl_s
        self._gate = Gate(FixedLimit(concurrency or 1_000_000))

    async def reply(self, request: ChatRequest) -> Turn:
        """Answer as scripted; faults raise what they would be after all retries."""
        await self._gate.enter()
        self.in_flight.enter()
        try:
            started_at, sent = datetime.now(UTC), time.perf_counter()
            asked = Asked.of(request)
            turn = self._behaviour(asked)
            if turn.fault is not None:
                await _fail(turn.fault)
            usage = TokenUsage(
                prompt_tokens=prompt_tokens(turn, asked), completion_tokens=completion_tokens(turn)
            )
            await asyncio.sleep(self._ttft_s + self._itl_s * (usage.completion_tokens - 1))
            timing = self._timing(started_at, time.perf_counter() - sent)
            self.in_flight.note(timing)
            return _turn(turn, usage, timing)
        finally:
            self.in_flight.leave()
            self._gate.leave()

    def _timing(self, started_at: datetime, took_s: float) -> Timing:
        return Timing(started_at=started_at, e2el_s=took_s, ttft_s=min(took_s, self._ttft_s))


def _turn(turn: ScriptedTurn, usage: TokenUsage, timing: Timing) -> Turn:
    return Turn(
        message=turn.message,
        finish_reason=turn.finish_reason,
        timing=timing,
        usage=usage,
        raw_usage={
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        },
        served_model="scripted",
    )


async def _fail(fault: Fault) -> NoReturn:
    if fault == "hang":
        await asyncio.get_running_loop().create_future()
    raise FAULT_ERRORS[fault](f"The scripted engine failed as told: {fault}.", hint=_AGAIN)


class ScriptedEngine:
    """Serves a behaviour under any model and format name. Its endpoint has no hardware."""

    def refuse(self, system: System) -> str:
        """Say what is wrong with the options."""
        try:
            ScriptedOptions.of(system).behaviour(system.format)
        except QbenchError as error:
            return str(error)
        return ""

    @asynccontextmanager
    async def serve(
        self, system: System, *, concurrency: int, say: Say
    ) -> AsyncIterator[MeasuredServing]:
        """Yield the engine; there is nothing to start."""
        options = ScriptedOptions.of(system)
        chat = ScriptedChat(
            options.behaviour(system.format, concurrency=concurrency),
            ttft_s=options.ttft_s,
            itl_s=options.itl_s,
            concurrency=concurrency,
        )
        say(f"scripted engine: {options.script if isinstance(options.script, str) else 'script'}")
        yield MeasuredServing(_endpoint(system), chat)


def _endpoint(system: System) -> Endpoint:
    return Endpoint(
        id=new_id(),
        run_id="",
        engine_key=system.engine_key,
        base_url="",
        served_name=system.model,
        started_at=datetime.now(UTC),
        format_requested=system.format,
        engine_version=f"qbench {__version__} scripted",
    )
