"""What an answer's function did on each test, and whether that is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from qbench.benchmarks.sandbox.program import Language, Outcome, Program, SandboxLimits
from qbench.benchmarks.sandbox.running import run

_DRIVERS = Path(__file__).parent / "drivers"
_FILES: dict[Language, str] = {"python": "driver.py", "javascript": "driver.mjs"}
_TOLERANCE = 1e-6


class Case(Struct, frozen=True, kw_only=True):
    """One test: arguments and the value that is right for them."""

    args: list[Any]
    expected: Any
    tolerance: float = _TOLERANCE
    """Absolute, for numbers."""


class Verdict(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a test said."""

    passed: bool
    why: str = ""
    cpu_ns: int = 0
    """Processor time of one call; 0 where it was not measured."""


class Ran(Struct, frozen=True, kw_only=True):
    """All calls of one program."""

    verdicts: tuple[Verdict, ...]
    outcome: Outcome
    broken: str = ""
    """Why the program could not be loaded."""


class _Line(Struct, frozen=True):
    value: Any = None
    error: str | None = None
    broken: str | None = None
    ready: bool = False
    cpu_ns: int = 0


async def run_cases(
    source: str,
    function: str,
    cases: Sequence[Case],
    *,
    language: Language,
    limits: SandboxLimits,
    batches: int = 0,
) -> Ran:
    """Call ``function`` of ``source`` on every case, in one sandboxed process.

    With ``batches`` Python's calls are measured, too: the least of so many batches.

    The expected values stay outside: the program can only earn them.

    Raises:
        ConfigError: there is no sandbox, or no interpreter.
        ToolServerError: the sandbox failed.

    """
    order = {
        "source": source,
        "function": function,
        "calls": [case.args for case in cases],
        "batches": batches,
    }
    driver = (_DRIVERS / _FILES[language]).read_text("utf-8")
    stdin = msgspec.json.encode(order).decode()
    outcome = await run(Program(language=language, source=driver, stdin=stdin), limits)
    return judged(outcome, cases)


def judged(outcome: Outcome, cases: Sequence[Case]) -> Ran:
    """Read what the driver told and compare the values; a call without a line failed."""
    lines = [_read(line) for line in outcome.stdout.splitlines()]
    broken = lines[0].broken if lines and lines[0] else None
    calls = lines[1:]
    missing = broken or _stopped(outcome)
    verdicts = [
        _verdict(calls[place] if place < len(calls) else None, case, missing)
        for place, case in enumerate(cases)
    ]
    return Ran(verdicts=tuple(verdicts), outcome=outcome, broken=broken or "")


def _read(line: str) -> _Line | None:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError:
        return None


def _stopped(outcome: Outcome) -> str:
    if outcome.status == "exit":
        return f"The program ended with exit code {outcome.exit_code}."
    return f"The program was stopped: {outcome.status}."


def _verdict(line: _Line | None, case: Case, missing: str) -> Verdict:
    if line is None:
        return Verdict(passed=False, why=missing)
    if line.error is not None:
        return Verdict(passed=False, why=line.error, cpu_ns=line.cpu_ns)
    right = same_value(line.value, case.expected, case.tolerance)
    return Verdict(passed=right, why="" if right else "Another value.", cpu_ns=line.cpu_ns)


def same_value(one: object, other: object, tolerance: float = _TOLERANCE) -> bool:
    """Whether two JSON values are equal: numbers within a tolerance, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=tolerance)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same_value(a, b, tolerance) for a, b in pairs)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            same_value(one[key], other[key], tolerance) for key in one
        )
    return type(one) is type(other) and one == other
