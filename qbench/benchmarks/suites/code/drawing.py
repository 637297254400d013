"""Samples of the suite: a problem, examples in the prompt, hidden tests from the reference."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from qbench.benchmarks.sandbox.program import Language
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.suites.code.climb import Climb
from qbench.benchmarks.suites.code.families import level1, level2, level3, level4, level5
from qbench.benchmarks.suites.code.ladders import LADDERS
from qbench.benchmarks.suites.code.problem import (
    Family,
    Problem,
    drawn_problem,
    filled,
    literal,
)
from qbench.benchmarks.suites.code.verdicts import Case, same_value
from qbench.benchmarks.worlds.cases import drawn

WORLD = "code"
PERFORMANCE = "performance"
_T = TypeVar("_T")
FAMILIES: dict[int, tuple[Family, ...]] = {
    1: level1.FAMILIES,
    2: level2.FAMILIES,
    3: level3.FAMILIES,
    4: level4.FAMILIES,
    5: level5.FAMILIES,
}
SHOWN = (2, 3, 4)
"""Sizes of the inputs shown as examples."""
HIDDEN = (0, 1, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30)
"""Sizes of the hidden tests' inputs."""
LANGUAGES: dict[Language, str] = {"python": "Python", "javascript": "JavaScript"}
_TRIES = 50


def draw(seed: int, task: str, level: int, number: int) -> Sample:
    """Draw one sample, still without an id: the families of a level come in turns."""
    rng = drawn("code", seed, task, level, number)
    if task == PERFORMANCE:
        climb = _in_turn(LADDERS[level], seed, task, level, number)
        return _fast(climb, level, rng)
    family = _in_turn(FAMILIES[level], seed, task, level, number)
    sample, _ = _sample(family, task, level, rng)
    return sample


def _in_turn(choice: Sequence[_T], seed: int, task: str, level: int, number: int) -> _T:
    turn, place = divmod(number, len(choice))
    return drawn("code", "order", seed, task, level, turn).sample(choice, len(choice))[place]


def _sample(family: Family, task: str, level: int, rng: random.Random) -> tuple[Sample, Problem]:
    language = cast("Language", "python" if task == PERFORMANCE else task)
    problem = drawn_problem(family, rng, language)
    shown, hidden = _cases(family, problem, rng)
    sample = Sample(
        id="",
        suite="code",
        task=task,
        level=level,
        family=f"{task}/{problem.family}",
        prompt=_prompt(problem, shown, language),
        world=WORLD,
        details={
            "language": language,
            "function": problem.name,
            "examples": msgspec.to_builtins(shown),
            "tests": msgspec.to_builtins(hidden),
            "reference": problem.reference,
            "slip": problem.slipped,
        },
    )
    return sample, problem


def _fast(climb: Climb, level: int, rng: random.Random) -> Sample:
    """Draw a sample that asks for speed: a large input and a ladder of solutions."""
    sample, problem = _sample(climb.family, PERFORMANCE, level, rng)
    args = fresh(list(climb.large(rng, problem.constants)))
    case = Case(args=args, expected=fresh(compiled(problem.twin)(*fresh(args))))
    slower = [filled(source, problem.words) for source in climb.slower]
    return replace(
        sample,
        prompt=f"{sample.prompt} Inputs may be large: make it as fast as you can.",
        details=sample.details
        | {"performance": msgspec.to_builtins(case), "ladder": [*slower, problem.reference]},
    )


def _prompt(problem: Problem, shown: list[Case], language: Language) -> str:
    examples = "\n".join(
        f"{problem.name}({', '.join(map(_shown(language), case.args))}) returns "
        f"{_shown(language)(case.expected)}"
        for case in shown
    )
    return (
        f"Write a {LANGUAGES[language]} function `{problem.signature}`.\n\n"
        f"{problem.statement}\n\nExamples:\n{examples}\n\n"
        f"Reply with the function in one ```{language} code block and no other code block. "
        "Use the standard library only, and do not change the arguments."
    )


def _shown(language: Language) -> Callable[[Any], str]:
    return literal if language == "python" else lambda value: msgspec.json.encode(value).decode()


def _cases(family: Family, problem: Problem, rng: random.Random) -> tuple[list[Case], list[Case]]:
    """Draw inputs until the examples differ and a hidden test catches the slip."""
    right_one, slipped = compiled(problem.twin), compiled(problem.slipped_twin)
    for _ in range(_TRIES):
        inputs = [list(family.inputs(rng, problem.constants, size)) for size in (*SHOWN, *HIDDEN)]
        right = [right_one(*fresh(args)) for args in inputs]
        cases = [Case(args=a, expected=fresh(r)) for a, r in zip(inputs, right, strict=True)]
        shown, hidden = cases[: len(SHOWN)], cases[len(SHOWN) :]
        if repeated(shown):
            continue
        if any(not same_value(attempted(slipped, case.args), case.expected) for case in hidden):
            return shown, hidden
    raise RuntimeError(f"No test tells the slip of {family.key} from its reference.")


def repeated(cases: list[Case]) -> bool:
    """Whether two tests are the same."""
    told = [literal(case.args) for case in cases]
    return len(set(told)) < len(told)


@cache
def compiled(source: str) -> Callable[..., Any]:
    """Return the one function that a source of ours defines."""
    scope: dict[str, Any] = {}
    exec(source, scope)  # noqa: S102 - written in this package, never by a model
    return cast("Callable[..., Any]", next(v for k, v in scope.items() if k != "__builtins__"))


def attempted(function: Callable[..., Any], args: list[Any]) -> object:
    """Return what a function gives on a copy of ``args``; a word of its own for a failure."""
    try:
        return fresh(function(*fresh(args)))
    except Exception as error:  # noqa: BLE001 - a slip may fail in any way
        return f"raised {type(error).__name__}"


def fresh(value: Any) -> Any:
    """Copy a value by way of JSON: tuples become lists, as they do on the way from a sandbox."""
    return msgspec.json.decode(msgspec.json.encode(value))
