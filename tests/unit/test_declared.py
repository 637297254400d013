"""Suites declared in a YAML file: what they read, ask, refuse and remember."""

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from qbench.benchmarks.catalogue import asked, load_suite
from qbench.benchmarks.suite import Sample, Suite
from qbench.benchmarks.suites.declared.definition import Definition
from qbench.benchmarks.suites.declared.loading import load_declared, shipped, shipped_names
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError, NotFound
from tests.declared_data import CAPITALS, DEFINITION, capitals, declare, jsonl


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path / "data"))
    return tmp_path


def drawn(suite: Suite, limit: int = 99, seed: int = 0) -> tuple[Sample, ...]:
    return suite.samples(seed=seed, tasks=suite.tasks, levels=suite.levels, limit=limit)


def said(answer: str) -> Transcript:
    return Transcript(messages=(), turns=(), answer=answer)


def test_rows_become_samples_by_the_columns(data: Path) -> None:
    suite = capitals(data)
    assert suite.tasks == ("europe", "america", "asia")
    assert suite.levels == (1, 2, 3)
    by_prompt = {sample.prompt: sample for sample in drawn(suite)}
    sample = by_prompt["What is the capital of Peru?"]
    assert (sample.answer, sample.task, sample.level, sample.family) == ("Lima", "america", 2, "c3")
    assert sample.suite == suite.name
    assert suite.score(sample, said("I think.\nAnswer: lima.")).passed
    assert not suite.score(sample, said("Answer: Cusco")).passed


def test_a_larger_limit_extends_a_smaller_one_and_a_seed_orders_anew(data: Path) -> None:
    suite = capitals(data)
    whole = drawn(suite)
    assert len(whole) == len(CAPITALS)
    assert drawn(suite, 4) == whole[:4]
    assert {(s.task, s.level) for s in whole[:3]} == {(task, 1) for task in suite.tasks}
    plain = capitals(data, columns={"prompt": "{country}", "answer": "capital"})
    orders = {tuple(s.prompt for s in drawn(plain, seed=seed)) for seed in range(5)}
    assert len(orders) == 5
    assert len({frozenset(order) for order in orders}) == 1


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "parquet"])
def test_all_kinds_of_files_give_the_same_samples(data: Path, ending: str) -> None:
    path = data / f"rows.{ending}"
    if ending == "parquet":
        parquet.write_table(pa.Table.from_pylist(CAPITALS), path)
    elif ending == "json":
        path.write_bytes(b"[" + jsonl(path, CAPITALS).read_bytes().replace(b"\n", b",") + b"]")
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, CAPITALS[0], delimiter="," if ending == "csv" else "\t")
            table.writeheader()
            table.writerows(CAPITALS)
    other = load_declared(
        str(declare(data, DEFINITION | {"source": {"path": path.name}}, "o.yaml"))
    )
    prompts = {(s.prompt, s.answer, s.level) for s in drawn(other)}
    assert prompts == {(s.prompt, s.answer, s.level) for s in drawn(capitals(data))}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": {"promt": "{x}"}}, "unknown field `promt`"),
        ({"columns": {}}, "missing required field `prompt`"),
        ({"source": {}}, "source names nothing"),
        ({"source": {"hub": "a/b", "path": "x.csv"}}, "both a hub and a path"),
        ({"grader": "exakt"}, "Invalid enum value 'exakt'"),
        ({"grader": "choice"}, "columns.choices is missing"),
        ({"name": "two words"}, "has a blank"),
        ({"source": {"path": "gone.jsonl"}}, "There is no file .*gone.jsonl"),
        ({"source": {"path": "suite.yaml"}}, "no known kind"),
        ({"columns": {"prompt": "{land}", "task": "part"}}, "no column 'land'; there are: id, cou"),
        ({"columns": {"prompt": "{id}"}}, "capitals.jsonl:1: the answer is empty"),
        ({"columns": {"prompt": "{id}", "level": "part"}}, "the level is 'Europe', not 1 to 5"),
        (
            {"columns": {"prompt": "{id}", "id": "part", "answer": "id"}},
            "the id 'Europe' is that of",
        ),
        (
            {"columns": {"prompt": "{id}", "task": {"text": "part", "find": "^E"}}},
            "matches nothing in 'America'",
        ),
        ({"only": {"part": ["Mars"]}, "columns": {"prompt": "{id}", "task": "id"}}, "No row of"),
    ],
)
def test_mistakes_in_a_definition_are_named(data: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        drawn(capitals(data, **change))


def test_bad_rows_are_named_by_file_and_line_and_none_is_left_out_in_silence(data: Path) -> None:
    path = jsonl(data / "capitals.jsonl", CAPITALS)
    lines = path.read_text().splitlines()
    lines[1], lines[4] = "{broken", lines[4].replace('"Riga"', "null")
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as error:
        load_declared(str(declare(data, DEFINITION)))
    assert "2 rows of capitals" in error.value.what
    assert "capitals.jsonl:2: no JSON object" in error.value.what
    assert "capitals.jsonl:5: the column 'capital' is empty" in error.value.what


def test_an_empty_file_and_a_short_csv_line_are_named(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"capitals.jsonl has no rows"):
        capitals(data, rows=[])
    (data / "rows.csv").write_text("q,a\n1,2\nonly one\n")
    change = {"source": {"path": "rows.csv"}, "columns": {"prompt": "{q}", "answer": "a"}}
    with pytest.raises(ConfigError, match=r"rows.csv:3: 1 cells where the top line names 2"):
        drawn(load_declared(str(declare(data, DEFINITION | change))))


def test_the_name_changes_with_the_definition_and_with_the_data(data: Path) -> None:
    first = capitals(data).name
    assert first == capitals(data, note="of no weight").name
    other = capitals(data, system="Answer with one word.").name
    assert len({first, other, capitals(data, rows=CAPITALS[1:]).name}) == 3
    assert first.startswith("capitals@")


def test_a_run_is_judged_again_after_the_file_changed_or_went(data: Path) -> None:
    suite = capitals(data)
    sample = drawn(suite)[0]
    (data / "suite.yaml").unlink()
    again = load_suite(suite.name)
    assert (again.name, again.tasks, again.levels) == (suite.name, suite.tasks, suite.levels)
    assert again.score(sample, said(sample.answer or "")).passed
    jsonl(data / "capitals.jsonl", CAPITALS[1:])
    changed = load_suite(suite.name)
    assert changed.score(sample, said(sample.answer or "")).passed
    with pytest.raises(ConfigError, match="changed: it is capitals@"):
        changed.samples(seed=0, tasks=suite.tasks, levels=(1,), limit=1)


def test_a_machine_that_lacks_the_suite_says_so() -> None:
    with pytest.raises(ConfigError, match="does not have the declared suite x@12345678"):
        load_suite("x@12345678")


def test_a_path_with_slashes_is_asked_whole_or_by_task(data: Path) -> None:
    suite = capitals(data)
    path = str(data / "suite.yaml")
    assert asked(path)[1] == suite.tasks
    assert asked(f"{path}/asia")[1] == ("asia",)
    several, tasks = asked(f"sums/add,{path}/asia")
    assert set(tasks) == {"sums/add", f"{suite.name}/asia"}
    found = several.samples(seed=0, tasks=tasks, levels=several.levels, limit=6)
    assert sum(sample.suite == suite.name for sample in found) == 2
    with pytest.raises(NotFound, match="'africa'"):
        asked(f"{path}/africa")


def test_choices_are_lettered_and_shuffled_by_the_rows_id(data: Path) -> None:
    rows = [{"q": f"q{n}", "right": "yes", "bad": "no", "worse": "never"} for n in range(40)]
    jsonl(data / "rows.jsonl", rows)
    definition = {
        "name": "lettered",
        "source": {"path": "rows.jsonl"},
        "columns": {
            "prompt": "{q}\n{choices}",
            "choices": ["right", "bad", "worse"],
            "answer": "right",
        },
        "choices": {"answer": "text", "shuffled": True},
        "grader": "choice",
    }
    samples = drawn(load_declared(str(declare(data, definition))))
    assert {sample.answer for sample in samples} == {"A", "B", "C"}
    for sample in samples:
        line = next(line for line in sample.prompt.splitlines() if line.endswith(" yes"))
        assert line == f"{sample.answer}. yes"


def test_examples_come_from_the_first_rows_which_are_then_not_asked(data: Path) -> None:
    suite = capitals(data, examples={"rows": 2, "given": [{"prompt": "Hi", "answer": "Yes"}]})
    samples = drawn(suite)
    assert len(samples) == len(CAPITALS) - 2
    shown = [message.content for message in samples[0].examples]
    assert shown[:2] == ["Hi", "Yes"]
    assert shown[2:4] == ["What is the capital of France?", "Answer: Paris"]
    assert not {s.prompt for s in samples} & set(shown)


def test_a_templates_line_of_empty_columns_is_left_out(data: Path) -> None:
    rows = [{"q": "How long?", "unit": "m"}, {"q": "How many?", "unit": ""}]
    any_word = {"kind": "regex", "pattern": ".*"}
    prompt = "{q}\nUnit: {unit}\nBraces stay: {{x}}"
    suite = capitals(data, rows=rows, columns={"prompt": prompt}, grader=any_word)
    prompts = [sample.prompt for sample in drawn(suite)]
    assert "How long?\nUnit: m\nBraces stay: {x}" in prompts
    assert "How many?\nBraces stay: {x}" in prompts


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_definitions_are_whole_and_say_what_to_get(name: str) -> None:
    definition = shipped(name)
    assert isinstance(definition, Definition)
    assert definition.name == name
    assert definition.license
    assert definition.size > 0
    suite = load_suite(name)
    assert suite.name == name
    with pytest.raises(ConfigError, match=f"The data of {name} is not on this machine") as error:
        suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=1)
    assert error.value.hint == f"Run: qbench suites get {name}"
