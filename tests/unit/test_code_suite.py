"""The code suite's problems, extraction, comparison and scores, without a sandbox."""

from __future__ import annotations

import ast
import random
from typing import Any

import msgspec
import pytest

from qbench.benchmarks.catalogue import load_suite, strategy_of
from qbench.benchmarks.sandbox.program import Outcome
from qbench.benchmarks.strategies.best_of import BestOf
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.suites.code.drawing import FAMILIES, attempted, compiled
from qbench.benchmarks.suites.code.executing import State
from qbench.benchmarks.suites.code.extraction import extract_program, fenced
from qbench.benchmarks.suites.code.judging import judge_state
from qbench.benchmarks.suites.code.ladders import LADDERS
from qbench.benchmarks.suites.code.performing import Measured, placed, summed_up
from qbench.benchmarks.suites.code.problem import drawn_problem, filled
from qbench.benchmarks.suites.code.suite import CodeSuite
from qbench.benchmarks.suites.code.verdicts import Case, judged, same_value
from qbench.benchmarks.transcript import Transcript

SUITE = CodeSuite()


def drawn(seed: int, limit: int, *tasks: str) -> tuple[Sample, ...]:
    return SUITE.samples(seed=seed, tasks=tasks or SUITE.tasks, levels=SUITE.levels, limit=limit)


def test_the_same_seed_gives_the_same_samples_and_a_larger_limit_extends() -> None:
    assert drawn(3, 20) == drawn(3, 45)[:20]
    assert {one.prompt for one in drawn(3, 45)}.isdisjoint(one.prompt for one in drawn(4, 45))


def test_thirty_families_come_in_turns_in_both_languages() -> None:
    families = {one.family for one in drawn(0, 60, "python", "javascript")}
    assert len(families) == 60
    assert sum(map(len, FAMILIES.values())) == 30


def test_one_family_is_told_in_other_words_with_other_numbers_by_other_seeds() -> None:
    prompts = [one.prompt for seed in range(30) for one in drawn(seed, 6, "python")[:1]]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("level", SUITE.levels)
def test_references_pass_their_tests_and_slips_do_not(level: int) -> None:
    for sample in SUITE.samples(seed=5, tasks=["python"], levels=[level], limit=12):
        right, wrong = (compiled(sample.details[key]) for key in ("reference", "slip"))
        tests = sample.details["tests"]
        assert all(same_value(attempted(right, one["args"]), one["expected"]) for one in tests)
        assert any(not same_value(attempted(wrong, one["args"]), one["expected"]) for one in tests)


def test_no_reference_changes_its_arguments_or_writes_over_them() -> None:
    for sample in drawn(6, 30, "python"):
        tree = ast.parse(sample.details["reference"]).body[0]
        assert isinstance(tree, ast.FunctionDef)
        stored = {
            one.id
            for one in ast.walk(tree)
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
        }
        assert stored.isdisjoint(one.arg for one in tree.args.args), sample.family


def test_hidden_tests_are_not_in_the_prompt() -> None:
    for sample in drawn(7, 30):
        told = [one["args"] for one in sample.details["examples"]]
        hidden = [one["args"] for one in sample.details["tests"] if one["args"] not in told]
        assert len(hidden) >= 9, sample.family


@pytest.mark.parametrize("climb", [one for level in LADDERS.values() for one in level])
def test_all_references_of_a_ladder_agree(climb: Any) -> None:
    rng = random.Random(1)
    problem = drawn_problem(climb.family, rng, "python")
    right = compiled(problem.reference)
    others = [compiled(filled(source, problem.words)) for source in climb.slower]
    assert len(others) >= 3
    for size in (0, 1, 2, 3, 5, 8, 13, 20, 40, 70):
        args = list(climb.family.inputs(rng, problem.constants, size))
        wanted = attempted(right, args)
        assert all(attempted(one, args) == wanted for one in others), (size, args)


@pytest.mark.parametrize(
    ("answer", "source", "why"),
    [
        ("Here:\n```python\nx = 1\n```\nDone.", "x = 1\n", ""),
        ("```\nx = 1\n```", "x = 1\n", ""),
        ("```python\nx = 1\n```\nRun it:\n```bash\npython x.py\n```", "x = 1\n", ""),
        ("def f(): pass", "", "no closed code block"),
        ("```python\nx = 1\n", "", "no closed code block"),
        ("```python\nx = 1\n```\n```python\nx = 2\n```", "", "2 code blocks"),
        ("```js\nx = 1\n```", "", "marked as python"),
        ("", "", "no closed code block"),
    ],
)
def test_one_code_block_is_taken_and_nothing_is_guessed(answer: str, source: str, why: str) -> None:
    found = extract_program(answer, "python")
    assert found.source == source
    assert why in found.why
    assert bool(found.source) != bool(found.why)


def test_a_program_survives_its_fence() -> None:
    assert extract_program(fenced("const x = 1;", "javascript"), "javascript").source == (
        "const x = 1;\n"
    )


def test_values_are_compared_by_type_and_within_a_tolerance() -> None:
    assert same_value([1, {"a": 0.1 + 0.2}], [1.0, {"a": 0.3}])
    assert not same_value(True, 1)
    assert not same_value([1, 2], [2, 1])
    assert not same_value("1", 1)
    assert not same_value({"a": None}, {})
    assert same_value(None, None)


def outcome(text: str, status: Any = "ok") -> Outcome:
    return Outcome(status=status, stdout=text, exit_code=0)


def test_calls_without_a_line_failed_and_say_why() -> None:
    cases = [Case(args=[n], expected=n) for n in range(3)]
    ran = judged(outcome('{"ready": true}\n{"value": 0}\n{"value"', "timeout"), cases)
    assert [one.passed for one in ran.verdicts] == [True, False, False]
    assert ran.verdicts[1].why == "The program was stopped: timeout."


def test_leaving_early_passes_nothing() -> None:
    ran = judged(outcome(""), [Case(args=[], expected=None)])
    assert not ran.verdicts[0].passed
    broken = judged(outcome('{"broken": "SyntaxError: x"}'), [Case(args=[], expected=None)])
    assert broken.broken == "SyntaxError: x"


def scored(state: State | None) -> Score:
    told = None if state is None else msgspec.to_builtins(state)
    return judge_state(Transcript(messages=(), turns=(), end_state=told), scorer="code/1")


def test_a_score_is_the_share_of_hidden_tests_and_names_its_parts() -> None:
    state = State(
        status="ok",
        tests=({"passed": True}, {"passed": False, "why": "Another value."}),
        examples=({"passed": True},),
    )
    score = scored(state)
    assert (score.value, score.passed) == (0.5, False)
    assert score.components["examples"] == 1.0
    assert score.reason == "1 of 2 hidden tests failed: Another value."


def test_no_program_is_a_failure_of_its_own_and_no_run_is_no_score() -> None:
    assert scored(State(why_none="There is no closed code block.")).components == {
        "extraction.failed": 1.0
    }
    assert scored(None).status == "unscored"


def test_speed_is_scored_for_right_programs_only() -> None:
    costs = Measured(cost_ns=30, references_ns=(1000, 100, 28, 4), noise=0.02, rounds=2)
    right = scored(State(tests=({"passed": True},), measured=costs))
    assert (right.components["dps"], right.components["dps_norm"]) == (75.0, 75.0)
    wrong = scored(State(tests=({"passed": False},), measured=costs))
    assert "dps" not in wrong.components


def test_costs_are_the_least_of_all_rounds_and_noise_is_how_far_two_are_apart() -> None:
    found = summed_up([[30, 100, 20], [28, 110, 30], [40, 200, 21]])
    assert (found.cost_ns, found.references_ns, found.rounds) == (28, (100, 20), 3)
    assert found.noise == 0.075


def test_nothing_is_told_of_speed_on_a_machine_that_is_too_loud() -> None:
    assert placed(Measured(cost_ns=1, references_ns=(9, 4, 1), noise=0.8, rounds=4)) is None
    slow = placed(Measured(cost_ns=0, references_ns=(9, 4, 1), noise=0.1, rounds=2))
    assert slow is not None
    assert slow.index == -1


def test_the_examples_verify_a_candidate() -> None:
    state = State(examples=({"passed": True}, {"passed": False}), tests=({"passed": True},))
    assert scored(state).components["examples"] == 0.5


def test_best_of_verifies_by_tests_only_where_the_prompt_shows_some() -> None:
    strategy = strategy_of("best-of@4:verifier=tests")
    assert BestOf().refuse(strategy, SUITE) == ""
    assert "show no tests" in BestOf().refuse(strategy, load_suite("sums"))
