from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from tests.acceptance.program import LIMIT_S, REPOSITORY, Program


def test_runs_are_listed_with_whole_ids(finished: Program) -> None:
    (run,) = finished("runs", "--json").json["runs"]
    assert run["status"] == "done"
    assert run["done"] == run["planned"] == 180
    assert run["paid"] is None
    assert run["unpriced"] > 0
    text = finished("runs", COLUMNS="80").out
    assert run["id"] in text
    assert "unpriced" in text


@pytest.mark.parametrize("beginning", [8, 16])
def test_a_run_is_found_by_the_beginning_of_its_id(finished: Program, beginning: int) -> None:
    run_id = finished("runs", "--json").json["runs"][0]["id"]
    found = finished("leaderboard", run_id[:beginning], "--json")
    assert found.json["run_id"] == run_id


def test_the_leaderboard_ranks_by_pass_rate(finished: Program) -> None:
    found = finished("leaderboard", "--json").json
    rates = [row["pass_rate"]["value"] for row in found["rows"]]
    assert rates == sorted(rates, reverse=True)
    assert {row["format"]: row["verdict"]["kind"] for row in found["rows"]}["bf16"] == "baseline"
    assert found["basis"] == "saturated"
    assert finished("leaderboard", "--basis", "dedicated", "--json").json["basis"] == "dedicated"


def test_nothing_is_cut_at_80_columns(finished: Program) -> None:
    verbs = ("leaderboard", "runs", "show", "formats", "suites", "models", "prices", "doctor")
    for verb in verbs:
        text = finished(verb, COLUMNS="80").out
        assert "…" not in text, verb
        assert max(cell_len(line) for line in text.splitlines()) <= 80, verb


def test_an_attempt_is_shown_with_its_transcript(finished: Program) -> None:
    listed = finished("show", "--system", "w4a16", "--failed", "--json", "-n", "3").json
    assert len(listed["attempts"]) == 3
    assert not any(one["passed"] for one in listed["attempts"])
    one = listed["attempts"][0]
    shown = finished("show", one["id"])
    assert shown.code == 0, shown.talk
    assert "user" in shown.out
    assert "assistant" in shown.out
    assert one["sample_id"] in shown.out
    full = finished("show", one["id"], "--json").json
    assert full["transcript"]["messages"][-1]["role"] == "assistant"


def test_two_systems_are_compared_part_by_part(finished: Program) -> None:
    found = finished("compare", "last", "w4a16", "bf16", "--json").json
    whole = found["slices"][0]
    parts = ("both", "only_first", "only_second", "neither")
    assert whole["name"] == "all"
    assert whole["samples"] == sum(whole[part] for part in parts) == 60
    assert found["verdict"]["kind"] == "worse"
    text = finished("compare", "last", "w4a16", "bf16").out
    assert "subtract" in text
    assert "equivalent within 5 (TOST)" in text


def test_all_pairs_are_compared_and_drawn(finished: Program, tmp_path: Path) -> None:
    picture = tmp_path / "pairs.svg"
    ended = finished("compare", "last", "--all", "--plot", str(picture), COLUMNS="80")
    assert ended.code == 0, ended.talk
    assert "Of 3 pairs 2 differ" in " ".join(ended.out.split())
    assert picture.read_text().startswith("<?xml")
    found = finished("compare", "last", "--all", "--correction", "bh", "--json").json
    assert found["correction"] == "bh"
    assert {pair["verdict"]["kind"] for pair in found["pairs"]} >= {"better"}
    refused = finished("compare", "last", "--all", "--correction", "bonferroni")
    assert "holm" in refused.talk


def test_plans_count_samples_and_runs_are_told_what_settles_them(finished: Program) -> None:
    options = ("--suite", "sums", "--engine", "scripted", "-f", "fp8,w4a16", "--mde", "1pt")
    text = finished("plan", *options, "--discordant", "0.2", COLUMNS="80")
    assert text.code == 0, text.talk
    assert "assumed: 20 % of the samples discordant" in " ".join(text.out.split())
    design = finished("plan", *options, "--json").json["design"]
    assert design["comparisons"] == 2
    assert design["needs"][0]["corrected"] > design["needs"][0]["alone"] > 1000
    settled = finished("plan", "--settle", "last", "--json").json
    assert all(row["command"].startswith("qbench run ") for row in settled["rows"])
    refused = finished("plan", *options[:-1], "soon")
    assert refused.code == 2
    assert "--mde 1pt" in refused.talk


def test_every_format_is_compared_with_the_baseline(finished: Program) -> None:
    found = finished("compare", "last", "--by", "format", "--json").json
    (model,) = found["models"]
    assert [one["format"] for one in model["formats"]] == ["fp8", "w4a16"]
    assert model["formats"][1]["verdict"]["kind"] == "worse"
    assert model["noise"] is None
    text = finished("compare", "last", "--by", "format", COLUMNS="80").out
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "No noise floor" in text
    last = " ".join(text.split("\n\n")[-1].split())
    assert last.startswith("Against SmolLM2-135M-Instruct bf16, fp8 keeps")


@pytest.mark.parametrize(
    "arguments",
    [
        ("last",),
        ("last", "w4a16"),
        ("last", "w4a16", "bf16", "--by", "format"),
        ("last", "--by", "task"),
        ("last", "w4a16", "bf16", "--all"),
        ("last", "--by", "format", "--plot", "out.svg"),
    ],
)
def test_it_is_said_what_can_be_compared(finished: Program, arguments: tuple[str, ...]) -> None:
    ended = finished("compare", *arguments)
    assert ended.code == 2
    assert "format" in ended.talk


def test_the_noise_floor_is_shown_and_fits(qbench: Program) -> None:
    accuracy = {"bf16": 0.9, "w4a16": 0.2, "*": 0.85}
    formats = "fp8,w4a16,w8a8,w8a16"
    ended = qbench.run("-f", formats, "-n", "60", "--noise-floor", accuracy=accuracy, unsteady=0.1)
    assert ended.code == 0, ended.talk
    assert "noise floor" in ended.out
    assert "Noise floor: SmolLM2-135M-Instruct bf16 again differs by" in ended.out
    text = qbench("compare", "last", "--by", "format", COLUMNS="80").out
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert text.count("A/A ") >= 2
    listed = qbench("show", "--system", "bf16 again", "--json", "-n", "100").json["attempts"]
    assert len(listed) == 60
    again = qbench("compare", "last", "bf16#2", "bf16", "--json").json
    assert again["first"] == "SmolLM2-135M-Instruct bf16 again"
    seen = qbench("leaderboard", "--json").json
    kinds = {row["label"]: row["verdict"]["kind"] for row in seen["rows"]}
    assert kinds["SmolLM2-135M-Instruct bf16 again"] == "noise floor"


def test_the_spread_over_runs_is_shown_and_fits(qbench: Program) -> None:
    for number in ("1", "8"):
        ended = qbench.run("-f", "fp8", "-n", "60", "--fresh", "-c", number, unsteady=0.3)
        assert ended.code == 0, ended.talk
    found = qbench("noise", "last", "--json").json
    assert found["differs"] == ["concurrency"]
    assert found["unit"] == "characters"
    text = qbench("noise", *found["runs"], COLUMNS="80").out
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    last = " ".join(text.split("\n\n")[-1].split())
    assert last.startswith("Over 2 runs that differ in concurrency, Std@Acc is at most")


def test_noise_of_one_run_by_part_and_sample(qbench: Program) -> None:
    accuracy = {"bf16": 0.9, "*": 0.5}
    more = ("-f", "fp8", "-n", "60", "--epochs", "2", "--noise-floor")
    ended = qbench.run(*more, accuracy=accuracy, unsteady=0.3)
    assert ended.code == 0, ended.talk
    said = {
        (): "Noise floor: SmolLM2-135M-Instruct bf16 again differs by",
        ("--by", "level", "--least-snr", "2"): "All 60 samples have a signal-to-noise ratio of",
        ("--items",): "of 60 samples tell nothing",
    }
    for arguments, start in said.items():
        text = qbench("noise", "last", *arguments, COLUMNS="80").out
        assert max(cell_len(line) for line in text.splitlines()) <= 80
        assert start in " ".join(text.split())
        drawn = qbench("noise", "last", *arguments, "--json", "--plot", "out.svg")
        assert drawn.json["finding"]
        assert "<svg" in (qbench.folder / "out.svg").read_text()
    for wrong in (("--by", "colour"), ("--by", "task", "--items")):
        assert qbench("noise", "last", *wrong).code == 2


def test_one_run_has_no_spread(finished: Program) -> None:
    ended = finished("noise", "last")
    assert ended.code == 2
    assert "--fresh" in ended.talk


def test_an_unknown_system_gets_close_names(finished: Program) -> None:
    ended = finished("compare", "last", "w4a61", "bf16")
    assert ended.code == 2
    assert "w4a16" in ended.talk


def test_a_frontier_leaves_unpriced_systems_out(finished: Program) -> None:
    found = finished("frontier", "--json").json
    assert found["points"] == []
    assert set(found["left_out"].values()) == {"unpriced"}


def test_both_exports_hold_every_attempt(finished: Program) -> None:
    lines = finished("export").out.splitlines()
    attempts: list[dict[str, Any]] = [msgspec.json.decode(line.encode()) for line in lines]
    assert len(attempts) == 180
    assert {one["schema"] for one in attempts} == {1}
    rows = list(csv.DictReader(io.StringIO(finished("export", "--as", "csv").out)))
    assert [row["id"] for row in rows] == [one["id"] for one in attempts]
    assert [row["passed"] == "True" for row in rows] == [one["passed"] for one in attempts]


def test_scoring_again_changes_nothing_and_calls_no_model(finished: Program) -> None:
    before = finished("leaderboard", "--json").json
    ended = finished("score", "--json")
    assert "180 attempts" in ended.talk
    assert "serving" not in ended.talk
    assert [row["pass_rate"] for row in ended.json["rows"]] == [
        row["pass_rate"] for row in before["rows"]
    ]


def test_watching_a_finished_run_shows_its_leaderboard(finished: Program) -> None:
    ended = finished("watch", "--json")
    assert ended.code == 0, ended.talk
    assert len(ended.json["rows"]) == 3


def test_watch_follows_another_process(qbench: Program) -> None:
    slow = ("--option", "ttft_s=0.02", "--concurrency", "1", "-n", "60")
    with qbench.start("run", "--engine", "scripted", "--suite", "sums", *slow) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "serving" in line:
                break
        ended = qbench("watch", "--json")
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert ended.code == 0, ended.talk
    assert ended.json["status"] == "done"
    assert ended.json["rows"][0]["validity"]["scored"] == 60


def test_a_second_process_is_told_who_drives_the_run(qbench: Program) -> None:
    endless = ("--option", "ttft_s=0.5", "--concurrency", "1", "-n", "400")
    command = ("run", "--engine", "scripted", "--suite", "sums", *endless)
    with qbench.start(*command) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "serving" in line:
                break
        ended = qbench(*command)
        process.terminate()
        process.communicate(timeout=LIMIT_S)
    assert ended.code == 1
    assert str(process.pid) in ended.talk
    assert "Traceback" not in ended.talk


def test_a_reader_that_leaves_early_is_no_error(finished: Program) -> None:
    with finished.start("export") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(timeout=LIMIT_S)


@pytest.mark.parametrize("verb", ["models", "formats", "suites", "prices"])
def test_what_qbench_knows_is_there_as_json(qbench: Program, verb: str) -> None:
    found = qbench(verb, "--json").json
    assert found["schema"] == 1
    assert found[verb]


def test_the_doctor_says_what_works(qbench: Program) -> None:
    found = qbench("doctor", "--json").json["findings"]
    states = {one["what"]: one["state"] for one in found}
    assert states["Python"] == "ok"
    assert states["database"] == "ok"
    assert all(one["remedy"] for one in found if one["state"] != "ok")


def test_the_database_is_made_found_and_checked(qbench: Program) -> None:
    where = qbench("db", "where").out.strip()
    assert where == f"sqlite:///{qbench.folder / 'qbench.db'}"
    assert qbench("db", "upgrade").code == 0
    assert "no drift" in qbench("db", "check", "--database", str(qbench.folder / "qbench.db")).out


def test_a_file_that_is_no_database_is_named(qbench: Program) -> None:
    letter = "not a database, but a letter " * 100
    (qbench.folder / "qbench.db").write_text(letter)
    ended = qbench("runs")
    assert (qbench.folder / "qbench.db").read_text() == letter
    assert ended.code == 1
    assert "qbench.db" in ended.talk
    assert "--database" in ended.talk
    assert "Traceback" not in ended.talk


def test_no_run_yet_says_how_to_start_one(qbench: Program) -> None:
    ended = qbench("leaderboard")
    assert ended.code == 2
    assert "qbench run" in ended.talk


def test_the_documentation_is_what_the_program_says(qbench: Program) -> None:
    script = REPOSITORY / "scripts" / "generate_docs.py"
    command = [sys.executable, str(script), "--check"]
    ended = subprocess.run(command, env=qbench.environment, check=False, timeout=LIMIT_S)
    assert ended.returncode == 0
