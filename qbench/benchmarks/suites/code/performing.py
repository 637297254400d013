"""How fast an answer is: it and a ladder of references, measured side by side in the sandbox.

Cost is processor time of one call, the least over batches of calls, on one machine within
seconds. Answer and references take turns; what their rounds differ by is the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct

from qbench.benchmarks.sandbox.program import SandboxLimits
from qbench.benchmarks.scoring.dps import Standing, ladder, standing
from qbench.benchmarks.suites.code.verdicts import Case, Ran, run_cases
from qbench.errors import ToolServerError

BATCHES = 2
ROUNDS = 2, 4
"""Fewest and most rounds in which the answer and every reference are measured once."""
LIMITS = SandboxLimits(cpu_s=10.0, wall_s=40.0)
LEAST_GAP = 1.5
"""References whose costs are closer than this are one cluster, however quiet the machine is."""
QUIET = 0.15
"""Noise at which no more rounds are needed."""
LEAST_TOLERANCE, MOST_TOLERANCE = 0.2, 0.5
"""Relative. On a machine with six times more to do than processors, equal programs were measured
up to 20 % apart."""


class Measured(Struct, frozen=True, kw_only=True):
    """Costs of one answer and its references, in nanoseconds of processor time of one call."""

    cost_ns: int
    """Least of all rounds; 0 where the answer did not end within the limits."""
    references_ns: tuple[int, ...]
    """Least of all rounds, in the order of the sample."""
    noise: float
    """How much more the second least cost of a program is than its least: the median over the
    references, relative."""
    rounds: int


async def measured(source: str, facts: dict[str, Any]) -> tuple[Measured, bool]:
    """Measure an answer beside its references; and say whether its value was right.

    An answer that does not end within the limits is slow, not wrong.
    ``facts``: the sample's ``function``, ``performance`` (a case) and ``ladder`` (sources).

    Raises:
        ToolServerError: a reference failed, so that nothing can be told.

    """
    case = msgspec.convert(facts["performance"], Case)
    rounds: list[list[int]] = []
    while len(rounds) < ROUNDS[0] or (len(rounds) < ROUNDS[1] and noise_of(rounds) > QUIET):
        ran = await _once(source, facts["function"], case)
        verdict = ran.verdicts[0]
        if not verdict.passed and ran.outcome.status not in ("timeout", "memory"):
            return Measured(cost_ns=0, references_ns=(), noise=0.0, rounds=0), False
        rounds.append([verdict.cpu_ns, *await _references(facts, case)])
    return summed_up(rounds), True


def summed_up(rounds: Sequence[Sequence[int]]) -> Measured:
    """Return the least costs over the rounds; the answer's is the first of each."""
    least = [min(column) for column in zip(*rounds, strict=True)]
    return Measured(
        cost_ns=least[0],
        references_ns=tuple(least[1:]),
        noise=round(noise_of(rounds), 4),
        rounds=len(rounds),
    )


def noise_of(rounds: Sequence[Sequence[int]]) -> float:
    """Return the median over the references of how far their two least costs are apart."""
    ordered = (sorted(column) for column in list(zip(*rounds, strict=True))[1:])
    return float(median((column[1] - column[0]) / column[0] for column in ordered))


async def _references(facts: dict[str, Any], case: Case) -> list[int]:
    """Return the cost of every reference, each in a process of its own like the answer."""
    costs = []
    for source in facts["ladder"]:
        verdict = (await _once(source, facts["function"], case)).verdicts[0]
        if not verdict.passed:
            raise ToolServerError(
                f"A reference solution of {facts['function']} failed: {verdict.why}",
                hint="The machine may be overloaded: the attempt will be run again on resume.",
            )
        costs.append(verdict.cpu_ns)
    return costs


async def _once(source: str, function: str, case: Case) -> Ran:
    return await run_cases(
        source, function, [case], language="python", limits=LIMITS, batches=BATCHES
    )


def placed(found: Measured) -> Standing | None:
    """Match an answer on the ladder as it was measured, within the noise.

    An answer counts as fast as a reference when it costs at most the noise more (at least 20 %);
    references closer than 1.5 times, or twice the noise, are one cluster. None where the noise
    is more than half: then nothing can be told.
    """
    if not found.references_ns or found.noise > MOST_TOLERANCE:
        return None
    if not found.cost_ns:
        return Standing(index=-1, dps=0.0, dps_norm=0.0)
    tolerance = max(found.noise, LEAST_TOLERANCE)
    rungs = ladder(found.references_ns, gap=max(LEAST_GAP, 1 + 2 * tolerance))
    return standing(found.cost_ns, rungs, tolerance=tolerance)
