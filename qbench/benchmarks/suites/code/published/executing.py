"""Running answers to HumanEval and MBPP: their own tests, or beside the canonical solution."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from qbench.benchmarks.sandbox.program import MIB, Outcome, Program, SandboxLimits
from qbench.benchmarks.sandbox.running import run, sandbox_kind
from qbench.benchmarks.suite import Environment, Sample
from qbench.benchmarks.suites.code.executing import Boxes, State
from qbench.benchmarks.suites.code.extraction import extract_program
from qbench.benchmarks.suites.code.verdicts import Case, Ran, judged
from qbench.errors import ToolServerError

WORLD = "code"
LIMITS = SandboxLimits(cpu_s=20.0, wall_s=40.0, output_bytes=16 * MIB)
_DRIVER = Path(__file__).parent / "driver.py"


@asynccontextmanager
async def executing() -> AsyncIterator[Environment]:
    """Yield the environment. Raises ConfigError when there is no sandbox."""
    await sandbox_kind()
    yield Boxes(executed)


async def executed(sample: Sample, answer: str) -> State:
    """Run an answer on its tests.

    Raises:
        ConfigError: there is no sandbox.
        ToolServerError: the sandbox failed, or the canonical solution did.

    """
    facts = sample.details
    found = extract_program(answer, "python")
    if found.why:
        return State(why_none=found.why)
    source = f"{facts['prefix']}\n{found.source}\n{facts['setup']}"
    ran = await (_compared if facts["inputs"] else _checked)(source, facts)
    verdicts = tuple(msgspec.to_builtins(ran.verdicts))
    return State(
        broken=ran.broken,
        status=ran.outcome.status,
        sandbox=ran.outcome.sandbox,
        base=verdicts[: facts["base"]] if facts["inputs"] else (),
        tests=verdicts,
        cpu_s=round(ran.outcome.cpu_s, 4),
        peak_bytes=ran.outcome.peak_bytes,
    )


async def _checked(source: str, facts: dict[str, Any]) -> Ran:
    word = secrets.token_hex(8)
    checks = facts["checks"]
    outcome = await _run(source, facts["function"], checks=checks, word=word)
    return judged(outcome, [Case(args=[], expected=word)] * len(checks))


async def _compared(source: str, facts: dict[str, Any]) -> Ran:
    """Run the canonical solution and the answer on the same inputs, each in its own process.

    An input on which the canonical solution fails is a failed test for nobody: it is left out.
    """
    inputs = facts["inputs"]
    right = await _run(f"{facts['reference']}\n{facts['setup']}", facts["function"], calls=inputs)
    told = [msgspec.json.decode(line) for line in right.stdout.splitlines()[1:]]
    if not told or "value" not in told[0]:
        raise ToolServerError(
            f"The canonical solution of {facts['function']} fails on its own inputs.",
            hint="Check the file that `qbench suites get` was given.",
        )
    kept = [place for place, one in enumerate(told) if "value" in one]
    tolerance = max(facts["atol"], 1e-6)
    cases = [Case(args=[], expected=told[one]["value"], tolerance=tolerance) for one in kept]
    calls = [inputs[one] for one in kept]
    return judged(await _run(source, facts["function"], calls=calls), cases)


async def _run(
    source: str,
    function: str,
    *,
    checks: Sequence[str] = (),
    calls: Sequence[Any] = (),
    word: str = "",
) -> Outcome:
    order = {"source": source, "function": function, "checks": checks, "calls": calls, "word": word}
    program = Program(
        language="python",
        source=_DRIVER.read_text("utf-8"),
        stdin=msgspec.json.encode(order).decode(),
    )
    return await run(program, LIMITS)
