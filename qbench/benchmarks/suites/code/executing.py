"""The environment of suites whose answers are programs: they run when the attempt ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from qbench.benchmarks.chat import ToolSpec
from qbench.benchmarks.sandbox.program import SandboxLimits
from qbench.benchmarks.sandbox.running import sandbox_kind
from qbench.benchmarks.suite import Environment, Sample, ToolResult
from qbench.benchmarks.suites.code.extraction import extract_program
from qbench.benchmarks.suites.code.performing import Measured, measured
from qbench.benchmarks.suites.code.verdicts import Case, run_cases

LIMITS = SandboxLimits()


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer did: the end state of an attempt, as JSON."""

    why_none: str = ""
    """Why there is no program in the answer."""
    broken: str = ""
    """Why the program could not be loaded."""
    status: str = ""
    """How the sandboxed process ended."""
    sandbox: str = ""
    examples: tuple[dict[str, Any], ...] = ()
    """Verdicts of the tests that the prompt shows: a verifier may use them."""
    base: tuple[dict[str, Any], ...] = ()
    """Those of ``tests`` that the set's first version has, where a later one added some."""
    tests: tuple[dict[str, Any], ...] = ()
    """Verdicts of the hidden tests."""
    measured: Measured | None = None
    """Costs, where performance is asked for and the hidden tests passed."""
    cpu_s: float = 0.0
    peak_bytes: int = 0


Execute = Callable[[Sample, str], Awaitable[State]]
"""Runs an answer to a sample."""


class _Programs:
    """Offers no tool; runs the answer's program when asked for the end state."""

    specs: tuple[ToolSpec, ...] = ()

    def __init__(self, sample: Sample, execute: Execute) -> None:
        self._sample, self._execute = sample, execute

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Refuse any call."""
        del arguments
        return ToolResult(text=f"There is no tool named {name!r}.", is_error=True)

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Run the program in ``answer`` on all tests and return the verdicts."""
        state: dict[str, Any] = msgspec.to_builtins(await self._execute(self._sample, answer))
        return state


class Boxes:
    """Opens one box for each attempt; the sandbox itself bounds how many programs run."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    @asynccontextmanager
    async def open(self, sample: Sample) -> AsyncIterator[_Programs]:
        """Lease nothing."""
        yield _Programs(sample, self._execute)


@asynccontextmanager
async def executing() -> AsyncIterator[Environment]:
    """Yield the environment. Raises ConfigError when there is no sandbox."""
    await sandbox_kind()
    yield Boxes(executed)


async def executed(sample: Sample, answer: str) -> State:
    """Run an answer on the examples and the hidden tests of its sample.

    Raises:
        ConfigError: there is no sandbox, or no interpreter of the language.
        ToolServerError: the sandbox failed.

    """
    facts = sample.details
    found = extract_program(answer, facts["language"])
    if found.why:
        return State(why_none=found.why)
    shown = msgspec.convert(facts["examples"], list[Case])
    hidden = msgspec.convert(facts["tests"], list[Case])
    ran = await run_cases(
        found.source,
        facts["function"],
        [*shown, *hidden],
        language=facts["language"],
        limits=LIMITS,
    )
    verdicts = tuple(msgspec.to_builtins(ran.verdicts))
    costs = None
    if "ladder" in facts and all(one.passed for one in ran.verdicts):
        costs, right = await measured(found.source, facts)
        verdicts = (*verdicts, {"passed": right, "why": "" if right else "The large input."})
    return State(
        measured=costs,
        broken=ran.broken,
        status=ran.outcome.status,
        sandbox=ran.outcome.sandbox,
        examples=verdicts[: len(shown)],
        tests=verdicts[len(shown) :],
        cpu_s=round(ran.outcome.cpu_s, 4),
        peak_bytes=ran.outcome.peak_bytes,
    )
