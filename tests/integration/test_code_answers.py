"""Answers of the code suite, run in the sandbox."""

from __future__ import annotations

import pytest

from qbench.benchmarks.sandbox.program import SandboxLimits
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.suites.code import performing
from qbench.benchmarks.suites.code.executing import executed
from qbench.benchmarks.suites.code.extraction import fenced
from qbench.benchmarks.suites.code.suite import CodeSuite
from qbench.benchmarks.suites.code.verdicts import Case, run_cases
from qbench.benchmarks.transcript import Transcript

SUITE = CodeSuite()
LIMITS = SandboxLimits(cpu_s=2.0, wall_s=4.0)


def drawn(task: str, limit: int) -> tuple[Sample, ...]:
    return SUITE.samples(seed=11, tasks=[task], levels=SUITE.levels, limit=limit)


async def answered(sample: Sample, answer: str) -> Score:
    async with SUITE.environment(slots=1) as environment, environment.open(sample) as tools:
        state = await tools.end_state(answer)
    return SUITE.score(sample, Transcript(messages=(), turns=(), answer=answer, end_state=state))


@pytest.mark.parametrize("task", ["python", "javascript"])
async def test_solutions_pass_and_blunders_fail_in_every_family(task: str) -> None:
    for sample in drawn(task, 30):
        right = await answered(sample, SUITE.solution(sample)[-1].content)
        assert right.passed, (sample.family, right.reason)
        wrong = await answered(sample, SUITE.blunder(sample)[-1].content)
        assert not wrong.passed, sample.family
        assert wrong.components["extraction.failed"] == 0.0


CHEATS = {
    "exit": "import os\nos._exit(0)",
    "print": 'print(\'{"ready": true}\\n{"value": 1}\')',
    "always equal": "class A:\n    def __eq__(self, o): return True\ndef f(x): return A()",
    "loop": "def f(x):\n    while True: pass",
    "raise": "def f(x): raise SystemExit(0)",
    "syntax": "def f(x) return x",
    "no function": "f = 3",
    "not JSON": "def f(x): return {x}",
}


@pytest.mark.parametrize("cheat", CHEATS)
async def test_programs_that_do_not_earn_a_value_pass_nothing(cheat: str) -> None:
    cases = [Case(args=[n], expected=n + 1) for n in range(2)]
    ran = await run_cases(CHEATS[cheat], "f", cases, language="python", limits=LIMITS)
    assert not any(one.passed for one in ran.verdicts)
    assert all(one.why for one in ran.verdicts)


@pytest.mark.parametrize(
    "source",
    [
        "function f(x) { console.log('hello'); return x + 1; }",
        "const f = (x) => x + 1;",
        "export function f(x) { return x + 1; }",
        "export default function f(x) { return x + 1; }",
        "function f(x) { return x + 1; }\nmodule.exports = { f };",
    ],
)
async def test_javascript_may_be_written_in_any_usual_way(source: str) -> None:
    case = Case(args=[1], expected=2)
    ran = await run_cases(source, "f", [case], language="javascript", limits=LIMITS)
    assert ran.verdicts[0].passed, ran


async def test_slow_and_fast_references_stand_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performing, "MOST_TOLERANCE", 10.0)  # busy machines test this, too
    sample = SUITE.samples(seed=11, tasks=["performance"], levels=[2], limit=1)[0]
    costs = []
    for source in (sample.details["ladder"][0], sample.details["ladder"][-1]):
        state = await executed(sample, fenced(source, "python"))
        assert state.measured is not None
        costs.append(state.measured.cost_ns)
        assert state.measured.references_ns == tuple(
            sorted(state.measured.references_ns, reverse=True)
        )
    assert costs[0] > 20 * costs[1]


async def test_results_kept_from_call_to_call_do_not_make_a_program_fast() -> None:
    source = (
        "memo = {}\n"
        "def f(x):\n"
        "    if x not in memo:\n"
        "        memo[x] = sum(range(300_000))\n"
        "    return memo[x]\n"
    )
    case = Case(args=[1], expected=sum(range(300_000)))
    ran = await run_cases(source, "f", [case], language="python", limits=LIMITS, batches=2)
    assert ran.verdicts[0].cpu_ns > 500_000
