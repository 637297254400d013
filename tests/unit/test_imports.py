"""Results of inspect and lm-eval as runs: files that these programs really wrote."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import TokenUsage
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError, Unsupported
from qbench.service.imports.archive import members
from qbench.service.imports.building import build, priced_as, read_files
from qbench.service.imports.inspect_logs import number
from qbench.service.imports.inspect_talk import usage_of
from qbench.service.imports.suite_file import write_suite
from qbench.service.pricebook import read_prices
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.rescoring import rescore
from qbench.service.store import Store

FOREIGN = Path(__file__).parents[1] / "foreign"
EVAL = FOREIGN / "tiny_sums.eval"
RESULTS = next(FOREIGN.glob("results_*.json"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "q.db")) as opened:
        yield opened


def _json_log(folder: Path, **changed: Any) -> Path:
    """Write the log as the single JSON file that inspect also writes."""
    parts = dict(members(EVAL))
    log = parts["header.json"] | {
        "samples": [body for name, body in sorted(parts.items()) if name.startswith("samples/")]
    }
    text = json.dumps(log)
    for old, new in changed.items():
        text = text.replace(f"mockllm/{old}", new)
    path = folder / "log.json"
    path.write_text(text)
    return path


def _imported(store: Store, *paths: Path, scorer: str = "", baseline: str = "") -> str:
    built = build(read_files(paths, scorer), read_prices(), baseline)
    store.save_import(built)
    return built.run.id


def test_a_log_of_inspect_has_its_verdicts_epochs_and_talk(store: Store) -> None:
    run_id = _imported(store, EVAL)
    found = {one.sample_id.split("/")[-1].split("-")[0]: one for one in store.attempts(run_id)}
    outcomes = {name: (one.status, one.passed) for name, one in found.items()}
    assert outcomes == {
        "tool": ("scored", True),
        "talk": ("scored", True),
        "wrong": ("scored", False),
        "broken": ("errored", False),
    }
    transcript = store.transcript(found["tool"].id)
    assert [run.name for run in transcript.tool_runs] == ["add"]
    assert transcript.tool_runs[0].arguments == {"x": 1, "y": 1}
    assert transcript.tool_runs[0].result == "2"
    assert (len(transcript.turns), transcript.answer) == (2, "It is 2.")
    assert "sandbox fell over" in found["broken"].fault


def test_usage_is_the_systems_own_and_counts_cached_tokens_in(store: Store) -> None:
    run_id = _imported(store, EVAL)
    tool = next(one for one in store.attempts(run_id) if "tool" in one.sample_id)
    usage = store.transcript(tool.id).usage
    assert usage == TokenUsage(
        prompt_tokens=120 + 121, cached_tokens=40, completion_tokens=20, reasoning_tokens=6
    )
    origin = store.import_of(run_id)
    assert origin is not None
    assert origin.lost["model calls of scorers or other models, not in the costs"] == 3


def test_other_scorers_are_components_and_may_be_chosen(store: Store) -> None:
    run_id = _imported(store, EVAL, scorer="model_graded_qa")
    parts = store.components(run_id)
    (mine,) = parts.values()
    assert mine["includes"] == (2.0, 3)
    assert mine["model_graded_qa"][1] == 3
    assert "length" in mine
    with pytest.raises(ConfigError, match="nobody"):
        read_files([EVAL], "nobody")


def test_a_scorer_beyond_one_leaves_attempts_unscored(store: Store) -> None:
    run_id = _imported(store, EVAL, scorer="length")
    statuses = sorted(one.status for one in store.attempts(run_id))
    assert statuses == ["errored", "unscored", "unscored", "unscored"]


def test_both_kinds_of_log_say_the_same(tmp_path: Path) -> None:
    (packed,) = read_files([EVAL])
    (plain,) = read_files([_json_log(tmp_path)])
    assert packed.attempts == plain.attempts
    assert packed.files != plain.files


def test_a_deflated_archive_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "old.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members(EVAL):
            archive.writestr(name, json.dumps(body))
    assert read_files([path])[0].attempts == read_files([EVAL])[0].attempts


def test_api_models_are_priced_from_their_tokens_at_that_day(store: Store, tmp_path: Path) -> None:
    run_id = _imported(store, _json_log(tmp_path, model="openai/gpt-4o-mini"))
    lines = [line for line in store.ledger(run_id) if line.dollars is not None]
    # prompt 120 + 121 of which 40 cached, 20 written: 0.15, 0.075 and 0.60 dollars per million
    expected = (201 * Decimal("0.15") + 40 * Decimal("0.075") + 20 * Decimal("0.6")) / 10**6
    assert expected in [line.dollars for line in lines]
    assert len(lines) == 3
    row = leaderboard_of(store, run_id).rows[0]
    assert row.cost is not None


def test_a_model_of_ones_own_is_unpriced(store: Store) -> None:
    row = leaderboard_of(store, _imported(store, EVAL)).rows[0]
    assert row.cost is None
    assert row.validity.unpriced == 3
    assert priced_as("vllm/meta/llama") == ""
    assert priced_as("google/gemini-2.5-pro") == "gemini/gemini-2.5-pro"
    assert priced_as("openai/azure/gpt-4o") == "azure/gpt-4o"


def test_seconds_of_another_harness_rank_nothing(store: Store) -> None:
    run_id = _imported(store, EVAL)
    board = leaderboard_of(store, run_id)
    assert all(row.seconds is None for row in board.rows)
    assert any("Imported from inspect 0.3.285" in note for note in board.notes)
    assert {row.engine for row in board.rows} == {"imported"}
    seconds = Evidence.of(store, run_id).outcomes.seconds
    assert (seconds != seconds).all()  # noqa: PLR0124 - NaN


def test_results_of_lm_eval_keep_their_verdicts(store: Store) -> None:
    run_id = _imported(store, RESULTS)
    board = leaderboard_of(store, run_id)
    assert set(store.run(run_id).request.tasks) == {"mymc", "mysums"}
    totals = json.loads(RESULTS.read_text())["results"]
    passed = 12 * (totals["mymc"]["acc,none"] + totals["mysums"]["exact_match,none"])
    assert board.rows[0].passed == round(passed) == 12
    assert board.rows[0].cost is None
    origin = store.import_of(run_id)
    assert origin is not None
    assert origin.scorers == {"mymc": "acc,none", "mysums": "exact_match,none"}
    assert origin.lost["requests whose tokens are not told: unpriced"] == 24


def test_another_metric_of_lm_eval_is_chosen_by_name(tmp_path: Path) -> None:
    choice = next(FOREIGN.glob("samples_mymc_*.jsonl"))
    for path in (RESULTS, choice):
        shutil.copy(path, tmp_path / path.name)
    (found,) = read_files([tmp_path], "acc_norm")
    totals = json.loads(RESULTS.read_text())["results"]["mymc"]
    scores = [one.score.value for one in found.attempts if one.score]
    assert sum(scores) / len(scores) == pytest.approx(totals["acc_norm,none"])
    with pytest.raises(ConfigError, match="no metric f1"):
        read_files([tmp_path], "f1")


def test_the_answer_to_a_choice_is_the_likeliest_continuation() -> None:
    choices = next(one for one in read_files([RESULTS]) if one.task == "mymc")
    first = choices.attempts[0]
    assert first.transcript.answer == "x"
    assert first.sample.details["choices"] == [" x", " yy", " z"]


def test_the_same_bytes_are_imported_once(store: Store, tmp_path: Path) -> None:
    first = _imported(store, EVAL)
    copy = tmp_path / "copy.eval"
    shutil.copy(EVAL, copy)
    with pytest.raises(ConfigError, match=first):
        _imported(store, copy)
    assert len(store.runs(9)) == 1


def test_models_at_one_task_are_compared_by_pairs(store: Store, tmp_path: Path) -> None:
    other = _json_log(tmp_path, model="openai/gpt-4o-mini")
    run_id = _imported(store, EVAL, other, baseline="gpt-4o-mini")
    board = leaderboard_of(store, run_id)
    kinds = {row.model: row.verdict.kind for row in board.rows}
    assert set(kinds) == {"mockllm/model", "openai/gpt-4o-mini"}
    assert len(store.samples_of(run_id)) == 4, "equal samples are one sample"
    with pytest.raises(ConfigError, match="evaluated 2 times"):
        _imported(store, EVAL, _json_log(tmp_path))


def test_an_imported_run_is_neither_resumed_nor_judged_again(store: Store) -> None:
    run_id = _imported(store, EVAL)
    with pytest.raises(Unsupported, match="imported from inspect"):
        rescore(store, store.run(run_id))
    with pytest.raises(Unsupported, match="imported"):
        store.refuse_imported(run_id, hint="")


def test_the_samples_of_results_become_a_suite_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    evals = [one for one in read_files([RESULTS]) if one.task == "mysums"]
    assert write_suite(evals, path) == (12, "exact")
    suite = load_suite(str(path))
    drawn = suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=50)
    assert {one.prompt: one.answer for one in drawn} == {
        made.sample.prompt: made.sample.answer for made in evals[0].attempts
    }
    for sample in drawn:
        said = Transcript(messages=(), turns=(), answer=sample.answer or "")
        assert suite.score(sample, said).passed


def test_choices_become_choices(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    evals = [one for one in read_files([RESULTS]) if one.task == "mymc"]
    assert write_suite(evals, path) == (12, "choice")
    suite = load_suite(str(path))
    sample = suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=1)[0]
    right = Transcript(messages=(), turns=(), answer=suite.solution(sample)[-1].content)
    assert suite.score(sample, right).passed
    assert "A. " in sample.prompt


def test_samples_that_a_suite_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="before the question"):
        write_suite(read_files([EVAL]), tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match="no YAML file"):
        write_suite(read_files([EVAL]), tmp_path / "mine.txt")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("task.py", "print(1)", "program"),
        ("log.json", "{}", "no log of inspect"),
        ("log.json", "[1]", "no log of inspect"),
        ("log.json", "{", "Cannot read"),
        ("results_x.json", "{}", "no results file"),
        ("log.eval", "no archive", "no log of inspect"),
        ("notes.txt", "", "can be imported"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_files([path])


def test_results_without_samples_are_refused(tmp_path: Path) -> None:
    shutil.copy(RESULTS, tmp_path / RESULTS.name)
    with pytest.raises(ConfigError, match="No samples"):
        read_files([tmp_path / RESULTS.name])


@pytest.mark.parametrize(
    ("said", "value"),
    [("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), (True, 1.0), (0.25, 0.25), ("0.5", 0.5)],
)
def test_verdicts_are_read_as_inspect_reads_them(said: Any, value: float) -> None:
    assert number(said) == value


def test_what_is_no_number_is_none() -> None:
    assert [number(one) for one in (float("nan"), "maybe", None, [1], {"a": 1})] == [None] * 5
    assert usage_of({}) is None
    assert usage_of({"input_tokens": 0, "output_tokens": 0}) is None
