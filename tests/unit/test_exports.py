"""Runs as files of inspect and lm-eval; whether these accept them is tested where they are."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from qbench.benchmarks.suite import Sample
from qbench.service.exports.inspect_log import logs, mean_and_error
from qbench.service.exports.lm_eval_files import folders, sanitized
from qbench.service.exports.reading import WITHHELD, by_system
from qbench.service.imports.building import build, read_files
from qbench.service.order import Order
from qbench.service.pricebook import read_prices
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.store import Store
from tests.scripted_runs import made_run

INSPECT = os.environ.get("QBENCH_TEST_INSPECT", "")
"""A Python with inspect_ai."""
LM_EVAL = os.environ.get("QBENCH_TEST_LM_EVAL", "")
"""A Python with lm_eval."""

READ_INSPECT = """
import sys
from inspect_ai.log import read_eval_log
log = read_eval_log(sys.argv[1])
print(len(log.samples), log.results.scores[0].metrics["accuracy"].value)
"""
READ_LM_EVAL = """
import glob, json, sys
from lm_eval.utils import get_results_filenames, get_sample_results_filenames, make_table
files = glob.glob(sys.argv[1] + "/*")
body = json.load(open(get_results_filenames(files)[0]))
assert "acc" in make_table(body)
rows = [json.loads(l) for f in get_sample_results_filenames(files) for l in open(f)]
print(len(rows), sum(row["acc"] for row in rows) / len(rows))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("exports") / "q.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    order = Order(
        suite="sums",
        models=("any",),
        formats=("w4a16",),
        engine="scripted",
        samples=30,
        epochs=2,
        noise_floor=False,
        options={"accuracy": {"bf16": 0.9, "w4a16": 0.4}, "faults": {"http_500": 0.03}},
    )
    return made_run(store, order)


def _written(store: Store, run_id: str, folder: Path) -> list[Path]:
    paths = []
    for name, log in logs(store, store.run(run_id)):
        (folder / name).write_text(json.dumps(log))
        paths.append(folder / name)
    return paths


def test_a_round_trip_through_inspect_keeps_every_verdict(
    store: Store, run_id: str, tmp_path: Path
) -> None:
    paths = _written(store, run_id, tmp_path)
    with Store.open(str(tmp_path / "other.db")) as other:
        built = build(read_files(paths), read_prices())
        other.save_import(built)
        back = leaderboard_of(other, built.run.id)
    ours = leaderboard_of(store, run_id)
    counts = {
        row.model.partition("@")[2]: (row.passed, row.validity.scored, row.validity.errored)
        for row in back.rows
    }
    assert counts == {
        row.format: (row.passed, row.validity.scored, row.validity.errored) for row in ours.rows
    }
    tokens = {row.model.partition("@")[2]: row.prompt_tokens for row in back.rows}
    assert tokens == {row.format: row.prompt_tokens for row in ours.rows}


def test_a_round_trip_through_lm_eval_keeps_every_verdict(
    store: Store, run_id: str, tmp_path: Path
) -> None:
    left_out = 0
    for folder, files, missing in folders(store, store.run(run_id)):
        (tmp_path / folder).mkdir()
        left_out += missing
        for name, body in files.items():
            lines = body if isinstance(body, list) else [body]
            (tmp_path / folder / name).write_text("\n".join(map(json.dumps, lines)))
    with Store.open(str(tmp_path / "other.db")) as other:
        built = build(read_files([tmp_path]), read_prices())
        other.save_import(built)
        back = leaderboard_of(other, built.run.id)
    ours = leaderboard_of(store, run_id)
    assert sorted(row.passed for row in back.rows) == sorted(row.passed for row in ours.rows)
    assert left_out == sum(row.validity.errored for row in ours.rows)


def test_means_and_errors_by_hand() -> None:
    mean, error = mean_and_error([1.0, 0.0, 1.0, 1.0])
    assert (mean, error) == (0.75, 0.25)
    assert mean_and_error([1.0]) == (1.0, None)
    assert mean_and_error([]) == (None, None)
    assert sanitized("org/model:x") == "org__model__x"


def test_what_a_canary_marks_is_withheld(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order(suite="sums", models=("any",), engine="scripted", samples=4)
    run = store.run(made_run(store, order))
    secret = {key: _marked(one) for key, one in store.samples_of(run.id).items()}
    monkeypatch.setattr(store, "samples_of", lambda _: secret)
    for _, mine in by_system(store, run):
        assert {made.sample.prompt for made in mine} == {WITHHELD}
        assert all(not made.transcript.messages for made in mine)
    text = json.dumps([log for _, log in logs(store, run)])
    assert not any(one.prompt in text for one in secret.values())


def _marked(sample: Sample) -> Sample:
    return replace(sample, canary="canary GUID 0000")


@pytest.mark.skipif(not INSPECT, reason="QBENCH_TEST_INSPECT names no Python with inspect_ai")
def test_inspect_reads_our_logs_with_our_scores(store: Store, run_id: str, tmp_path: Path) -> None:
    rates = {row.label: row for row in leaderboard_of(store, run_id).rows}
    for path in _written(store, run_id, tmp_path):
        said = subprocess.check_output([INSPECT, "-c", READ_INSPECT, str(path)], text=True)
        row = next(row for name, row in rates.items() if name.replace(" ", "-") in path.name)
        samples, accuracy = said.split()
        assert int(samples) == row.validity.scored + row.validity.errored
        assert float(accuracy) == pytest.approx(row.passed / row.validity.scored)


@pytest.mark.skipif(not LM_EVAL, reason="QBENCH_TEST_LM_EVAL names no Python with lm_eval")
def test_lm_eval_reads_our_results_with_our_scores(
    store: Store, run_id: str, tmp_path: Path
) -> None:
    rates = {row.format: row for row in leaderboard_of(store, run_id).rows}
    for folder, files, _ in folders(store, store.run(run_id)):
        place = tmp_path / folder
        place.mkdir()
        for name, body in files.items():
            lines = body if isinstance(body, list) else [body]
            (place / name).write_text("\n".join(map(json.dumps, lines)))
        said = subprocess.check_output([LM_EVAL, "-c", READ_LM_EVAL, str(place)], text=True)
        row = rates[folder.partition("@")[2]]
        number, accuracy = said.split()[-2:]
        assert int(number) == row.validity.scored
        assert float(accuracy) == pytest.approx(row.passed / row.validity.scored)
