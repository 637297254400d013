"""Compare qbench's BFCL verdicts with those of the official checker, answer by answer.

Usage: ``python scripts/bfcl_agreement.py FOLDER [--mutants 400] [--seed 0]``, FOLDER being an
unpacked ``bfcl_eval`` wheel (``python -m zipfile -e bfcl_eval-2026.3.23-py3-none-any.whl FOLDER``).
The data must be here: ``qbench suites get bfcl``. Right answers and mutated ones are judged by both
sides. Only the modules of the official checker are imported, without what the package depends on;
its table of models is replaced by one entry.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.suite import Sample
from qbench.benchmarks.suites.bfcl import single, turns
from qbench.benchmarks.suites.bfcl.backends import Scene
from qbench.benchmarks.suites.bfcl.records import MULTI_TURN, SINGLE, answers, questions
from qbench.benchmarks.suites.bfcl.suite import BfclSuite
from qbench.benchmarks.suites.bfcl.tools import safe_names
from qbench.benchmarks.suites.bfcl.verdicts import Called
from qbench.benchmarks.suites.bfcl.world import scene_of
from qbench.benchmarks.transcript import ToolRun, Transcript

CHECKER = "bfcl_eval.eval_checker"
MODEL = "compared"
Turns = list[list[Called]]


class Row(Struct, kw_only=True):
    """Counts of one task."""

    task: str
    samples: int = 0
    references: int = 0
    """Of them judged right by both."""
    mutants: int = 0
    agreed: int = 0
    passed: int = 0
    """Mutants that the official checker lets pass."""
    crashed: int = 0
    """Mutants over which it raises; agreement then means that qbench does not pass them."""
    apart: list[str] = []


class Official:
    """The official checker, imported from an unpacked wheel."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        table = ModuleType("bfcl_eval.constants.model_config")
        table.MODEL_CONFIG_MAPPING = {  # type: ignore[attr-defined]
            MODEL: SimpleNamespace(underscore_to_dot=False)
        }
        sys.modules[table.__name__] = table
        self._ast = importlib.import_module(f"{CHECKER}.ast_eval.ast_checker")
        self._turns = importlib.import_module(f"{CHECKER}.multi_turn_eval.multi_turn_checker")
        self._runs = importlib.import_module(f"{CHECKER}.multi_turn_eval.multi_turn_utils")
        self._languages = importlib.import_module("bfcl_eval.constants.enums").Language
        self._count = 0

    def single(self, sample: Sample, calls: Sequence[Called]) -> bool | None:
        """Judge calls of one reply; None when the checker raises."""
        expected = sample.details["expected"]
        output = [{call.name: call.arguments} for call in json_copy(calls)]
        try:
            verdict = self._ast.ast_checker(
                [*expected["functions"]],
                output,
                [*expected["calls"]],
                self._languages(expected["language"]),
                sample.task,
                MODEL,
            )
        except Exception:  # noqa: BLE001 - it raises whatever its data makes it raise
            return None
        return bool(verdict["valid"])

    def turns(self, sample: Sample, made: Turns) -> bool | None:
        """Judge calls turn by turn; None when the checker raises."""
        question = sample.details["question"]
        entry = next(one for one in questions(sample.task) if one.id == question)
        said = {
            "id": question,
            "initial_config": entry.initial_config,
            "involved_classes": entry.involved_classes,
        }
        self._count += 1  # it keeps its back-ends by the model's name
        steps = [[[source(call) for call in turn]] if turn else [] for turn in made]
        truth = answers(sample.task)[question].ground_truth
        try:
            verdict = self._turns.multi_turn_checker(
                steps, truth, said, sample.task, f"m{self._count}"
            )
        except Exception:  # noqa: BLE001 - it raises whatever its data makes it raise
            return None
        finally:
            kept = vars(self._runs)
            for name in [name for name in kept if name.endswith("_instance")]:
                del kept[name]
        return bool(verdict["valid"])


def json_copy(calls: Sequence[Called]) -> list[Called]:
    """Return calls as they come over a wire."""
    return [Called(call.name, json.loads(json.dumps(call.arguments))) for call in calls]


def source(call: Called) -> str:
    """Write a call in Python, as the official executor takes it."""
    return f"{call.name}({','.join(f'{key}={value!r}' for key, value in call.arguments.items())})"


# Mutations


def other(value: Any, rng: random.Random) -> Any:
    """Change a value: another value, another type, another way to write the same."""
    ways: list[Any] = [str(value), None, [value], {"key": value}]
    if isinstance(value, bool):
        ways += [not value, int(value), str(value).lower()]
    elif isinstance(value, int | float):
        ways += [value + 1, -value, float(value), int(value), f"{value}f"]
    elif isinstance(value, str):
        ways += [value.upper(), f" {value}.", value.replace(" ", "_"), f"{value}x", value[:-1], 7]
        ways += [f'"{value}"', value.replace('"', "'"), value.replace("new ", ""), ""]
    elif isinstance(value, list):
        ways += [value[::-1], value[:-1], [*value, *value[:1]], []]
        ways += [[other(item, rng) if at == 0 else item for at, item in enumerate(value)]]
    elif isinstance(value, dict):
        some = rng.choice([*value] or [""])
        ways += [{key: item for key, item in value.items() if key != some}, value | {"more": 1}]
        ways += [value | {some: other(value.get(some), rng)}, {}]
    return rng.choice(ways)


def without(call: Called, name: str) -> Called:
    """Leave an argument out."""
    return replace(call, arguments={k: v for k, v in call.arguments.items() if k != name})


def changed_call(call: Called, spare: Sequence[str], rng: random.Random) -> Called:
    """Change one thing about a call: an argument, or its name."""
    names = [*call.arguments]
    kind = rng.choice(("value", "value", "value", "missing", "extra", "name"))
    if kind == "name" or not names:
        return replace(call, name=rng.choice([*spare, f"{call.name}s"]))
    name = rng.choice(names)
    if kind == "missing":
        return without(call, name)
    if kind == "extra":
        return replace(call, arguments=call.arguments | {rng.choice(["note", f"{name}s"]): "x"})
    return replace(call, arguments=call.arguments | {name: other(call.arguments[name], rng)})


def changed_calls(
    calls: Sequence[Called], spare: Sequence[str], rng: random.Random
) -> list[Called]:
    """Change one call, or drop, repeat, reorder or swap some."""
    made = [*calls]
    kind = rng.choice(("change", "change", "change", "drop", "repeat", "reverse", "swap"))
    at = rng.randrange(len(made)) if made else 0
    if kind == "reverse":
        return made[::-1]
    if not made or kind == "repeat":
        return [*made, made[at] if made else Called(rng.choice(spare or ["f"]), {})]
    if kind == "drop":
        return made[:at] + made[at + 1 :]
    if kind == "swap" and len(made) > 1:
        made[0], made[-1] = (replace(made[0], arguments=made[-1].arguments), made[-1])
        return made
    made[at] = changed_call(made[at], spare, rng)
    return made


def changed_turns(made: Turns, rng: random.Random) -> Turns:
    """Change the calls of one turn, or move, add, drop or swap some."""
    after = [[*turn] for turn in made]
    every = [call for turn in made for call in turn]
    spare = sorted({call.name for call in every})
    at = rng.randrange(len(after))
    kind = rng.choice(("change", "change", "add", "move", "empty", "exchange"))
    if kind == "add":
        after[at].insert(rng.randint(0, len(after[at])), rng.choice(every))
    elif kind == "empty":
        after[at] = []
    elif kind == "move" and after[at]:
        after[rng.randrange(len(after))].append(after[at].pop())
    elif kind == "exchange":
        to = rng.randrange(len(after))
        after[at], after[to] = after[to], after[at]
    else:
        after[at] = changed_calls(after[at], spare, rng)
    return after


# The two sides


def ours_single(sample: Sample, calls: Sequence[Called]) -> bool:
    """Judge calls of one reply as qbench does."""
    names = safe_names(one["name"] for one in sample.details["expected"]["functions"])
    runs = tuple(
        ToolRun(turn=0, call_id="", name=names.get(call.name, call.name), arguments=call.arguments)
        for call in json_copy(calls)
    )
    return not single.wrong(sample, Transcript(messages=(), turns=(), tool_runs=runs))


def ours_turns(sample: Sample, made: Turns) -> bool:
    """Run calls turn by turn and judge as qbench does."""
    scene = scene_of(sample.start_state)
    states, runs = [], []
    for number, turn in enumerate(made):
        runs += [run_of(scene, call, number) for call in turn]
        states.append(scene.state())
    *before, last = states
    said = Transcript(
        messages=(), turns=(), tool_runs=tuple(runs), states=tuple(before), end_state=last
    )
    return not turns.wrong(sample, said)


def run_of(scene: Scene, call: Called, number: int) -> ToolRun:
    """Run one call."""
    text, _ = scene.call(call.name, call.arguments)
    return ToolRun(
        turn=0, call_id="", name=call.name, arguments=call.arguments, result=text, asked=number
    )


def right_calls(sample: Sample) -> list[Called]:
    """Return a sample's reference under the functions' own names."""
    functions = sample.details["expected"]["functions"]
    own = {safe: name for name, safe in safe_names(one["name"] for one in functions).items()}
    return [Called(own[call.name], call.arguments) for call in sample.reference]


def right_turns(sample: Sample) -> Turns:
    """Return a sample's reference turn by turn."""
    left = iter([Called(call.name, call.arguments) for call in sample.reference])
    return [[next(left) for _ in range(turn["calls"])] for turn in sample.details["turns"]]


def cases(sample: Sample, rng: random.Random) -> Iterator[Any]:
    """Yield a sample's right answer, then mutated ones without end."""
    right: Any = right_turns(sample) if sample.world else right_calls(sample)
    yield right
    while True:
        made = changed_turns(right, rng) if sample.world else _changed(sample, right, rng)
        if repr(made) != repr(right):
            yield made


def _changed(sample: Sample, right: list[Called], rng: random.Random) -> list[Called]:
    functions = [one["name"] for one in sample.details["expected"]["functions"]]
    return changed_calls(right, functions, rng)


def compared(official: Official, task: str, *, mutants: int, seed: int, most: int = 10_000) -> Row:
    """Judge right answers and at least ``mutants`` mutated ones by both sides.

    ``most``: of the task's samples, taken in the order of ``seed``.
    """
    row = Row(task=task)
    samples = BfclSuite().samples(seed=seed, tasks=(task,), levels=(1,), limit=most)
    each = -(-mutants // len(samples))
    for sample in samples:
        rng = random.Random(f"{seed} {sample.id}")  # noqa: S311 - reproducible, not secret
        row.samples += 1
        for number, made in zip(range(each + 1), cases(sample, rng), strict=False):
            theirs = (official.turns if sample.world else official.single)(sample, made)
            ours = (ours_turns if sample.world else ours_single)(sample, made)
            if number == 0:
                row.references += ours and theirs is True
                continue
            count(row, sample, made, theirs, ours=ours)
    return row


def count(row: Row, sample: Sample, made: Any, theirs: bool | None, *, ours: bool) -> None:
    """Count one mutant."""
    row.mutants += 1
    row.passed += theirs is True
    row.crashed += theirs is None
    if ours == (theirs is True):
        row.agreed += 1
    else:
        row.apart.append(f"{sample.details['question']}: official {theirs}, here {ours}: {made}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mutants", type=int, default=400, help="at least, for each task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", default="", help="some of them, with commas")
    asked = parser.parse_args()
    official = Official(asked.folder)
    tasks = [task for task in (*SINGLE, *MULTI_TURN) if "relevance" not in task]
    print(f"{'task':24}{'right, passed by both':>22}{'mutants':>9}{'agree':>7}", end="")
    print(f"{'pass':>6}{'crash':>7}")
    for task in asked.tasks.split(",") if asked.tasks else tasks:
        row = compared(official, task, mutants=asked.mutants, seed=asked.seed)
        print(f"{task:24}{f'{row.references}/{row.samples}':>22}{row.mutants:>9}", end="")
        print(f"{row.agreed:>7}{row.passed:>6}{row.crashed:>7}", flush=True)
        for line in row.apart[:5]:
            print(f"    {line[:600]}")


if __name__ == "__main__":
    main()
