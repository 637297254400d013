"""The program as its users call it: a process, its exit code, its stdout and stderr."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Result = subprocess.CompletedProcess[str]
Program = Callable[..., Result]

SCRIPTED = ("--engine", "scripted", "--suite", "sums", "--model", "some/model")
ACCURACY = '{"bf16": 0.8, "fp8": 0.78, "w4a16": 0.4}'


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("QBENCH_")}
    return kept | {"QBENCH_DATABASE": str(tmp_path / "runs.db"), "COLUMNS": "100", "NO_COLOR": "1"}


@pytest.fixture
def qbench(environment: dict[str, str]) -> Program:
    def call(*arguments: str, **more: str) -> Result:
        return subprocess.run(
            [sys.executable, "-c", "from qbench.cli.main import main; main()", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment | more,
            timeout=120,
        )

    return call


def run(qbench: Program, *more: str, samples: int = 60) -> Result:
    formats = ("--formats", "fp8,w4a16", "-o", f"accuracy={ACCURACY}")
    return qbench("run", *SCRIPTED, *formats, "--samples", str(samples), "--level", "1-5", *more)


def as_json(result: Result) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_run_ends_in_a_leaderboard_with_a_finding(qbench: Program) -> None:
    done = run(qbench)
    assert done.returncode == 0, done.stderr
    assert "baseline" in done.stdout
    assert "unpriced" in done.stdout  # a scripted engine has no machine: never $0
    assert "$0" not in done.stdout
    assert done.stdout.strip().endswith(".")
    finding = as_json(qbench("leaderboard", "--json"))["finding"]
    assert finding.startswith("bf16 passes")
    assert "w4a16 is worse" in finding


def test_every_reading_command_gives_json(qbench: Program) -> None:
    run(qbench)
    board = as_json(qbench("leaderboard", "last", "--json"))
    assert [row["validity"]["scored"] for row in board["rows"]] == [60, 60, 60]
    assert board["schema"] == 1
    (listed,) = as_json(qbench("runs", "--json"))["runs"]
    assert (listed["planned"], listed["done"], listed["errored"]) == (180, 180, 0)
    shown = as_json(qbench("show", "--failed", "--system", "w4a16", "--json"))["attempts"]
    assert shown
    assert not any(attempt["passed"] for attempt in shown)
    one = as_json(qbench("show", shown[0]["id"], "--json"))
    assert one["transcript"]["messages"][-1]["role"] == "assistant"
    compared = as_json(qbench("compare", "last", "w4a16", "bf16", "--json"))
    whole = compared["slices"][0]
    parts = ("both", "only_first", "only_second", "neither")
    assert sum(whole[part] for part in parts) == whole["samples"] == 60
    assert as_json(qbench("frontier", "--json"))["left_out"]  # unpriced
    for verb in ("models", "formats", "suites", "prices", "doctor"):
        assert as_json(qbench(verb, "--json"))["schema"] == 1


def test_tables_are_readable_at_80_columns(qbench: Program) -> None:
    run(qbench)
    for verb in ("leaderboard", "runs", "show", "formats", "suites"):
        printed = qbench(verb, COLUMNS="80")
        assert printed.returncode == 0, printed.stderr
        assert max(map(len, printed.stdout.splitlines())) <= 140


def test_a_finished_run_is_not_run_again(qbench: Program) -> None:
    run(qbench)
    again = run(qbench)
    assert again.returncode == 0
    assert "complete" in again.stderr
    assert len(as_json(qbench("runs", "--json"))["runs"]) == 1
    run(qbench, "--fresh")
    assert len(as_json(qbench("runs", "--json"))["runs"]) == 2


def test_infrastructure_failures_make_a_row_invalid_and_resume_runs_only_those(
    qbench: Program,
) -> None:
    failed = run(qbench, "-o", 'faults={"http_500": 0.3}')
    assert failed.returncode == 3, failed.stderr
    assert "INVALID" in failed.stdout
    before = as_json(qbench("runs", "--json"))["runs"][0]
    assert before["errored"] > 0
    resumed = qbench("resume", "--json")
    after = as_json(qbench("runs", "--json"))["runs"][0]
    assert after["errored"] < before["errored"], resumed.stderr
    assert after["done"] + after["errored"] == 180


def test_interrupting_saves_and_says_how_to_go_on(
    qbench: Program, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-c", "from qbench.cli.main import main; main()", "run", *SCRIPTED]
    command += ["--samples", "3000", "-o", "itl_s=0.05", "-c", "4"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(400):
            time.sleep(0.05)
            listed = qbench("runs", "--json")
            if listed.returncode == 0 and any(r["done"] for r in json.loads(listed.stdout)["runs"]):
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "qbench resume" in said
    (paused,) = as_json(qbench("runs", "--json"))["runs"]
    assert paused["status"] == "paused"
    assert paused["done"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--suite", "mpc"), "mcp"),
        (("run", "--suite", "mcp/calender"), "calendar"),
        (("run", "--formats", "w4a61"), "w4a16"),
        (("run", "--engine", "embeded"), "embedded"),
        (("run", "--level", "9"), "Known: 1, 2, 3, 4, 5"),
        (("run", "--level", "x"), "Write 1"),
        (("run", "--margin", "5"), "between 0 and 1"),
        (("run", "--baseline", "fp4"), "format"),
        (("run", "--budget", "much"), "--budget 0.50"),
        (("run", *SCRIPTED, "--budget", "1"), "docs/money.md"),
        (("run", *SCRIPTED, "-o", "script=som"), "sum"),
        (("run", "--engine", "external", "--model", "m"), "--base-url"),
        (("runn",), "run"),
        (("leaderboard", "nothing"), "Start one"),
        (("export", "--as", "xml"), "jsonl"),
    ],
)
def test_bad_input_is_refused_with_the_next_step(
    qbench: Program, arguments: tuple[str, ...], said: str
) -> None:
    refused = qbench(*arguments)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.startswith("Error: ")
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_file_that_is_no_database_is_left_alone(qbench: Program, tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear reader, " * 100)
    refused = qbench("runs", "--database", str(file))
    assert refused.returncode == 1
    assert "not a qbench database" in refused.stderr
    assert file.read_text().startswith("Dear reader")


def test_exports_are_versioned_lines(qbench: Program) -> None:
    run(qbench, samples=10)
    lines = [json.loads(line) for line in qbench("export").stdout.splitlines()]
    assert len(lines) == 30
    assert {line["schema"] for line in lines} == {1}
    rows = list(csv.DictReader(io.StringIO(qbench("export", "--as", "csv").stdout)))
    assert [row["id"] for row in rows] == [line["id"] for line in lines]


def test_rescoring_calls_no_model_and_keeps_the_verdicts(qbench: Program) -> None:
    run(qbench)
    before = as_json(qbench("leaderboard", "--json"))
    after = as_json(qbench("score", "--json"))
    assert [row["passed"] for row in after["rows"]] == [row["passed"] for row in before["rows"]]


def test_a_plan_says_what_can_be_detected(qbench: Program) -> None:
    planned = as_json(qbench("plan", *SCRIPTED, "--formats", "fp8", "--samples", "400", "--json"))
    assert planned["attempts"] == 800
    assert 0.05 < planned["detectable_difference"] < 0.1
    assert not as_json(qbench("runs", "--json"))["runs"]


def test_flags_are_environment_variables(qbench: Program) -> None:
    settings = {"QBENCH_PLAN_SUITE": "sums", "QBENCH_PLAN_ENGINE": "scripted"}
    planned = as_json(qbench("plan", "--model", "m", "--json", **settings))
    assert planned["suite"].startswith("sums")


def test_help_loads_nothing_heavy(environment: dict[str, str]) -> None:
    code = (
        "import sys\nfrom qbench.cli.main import main\nsys.argv = ['qbench', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'scipy', 'sqlalchemy', 'rich', 'torch', 'litellm', 'mcp', 'aiohttp'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert "LOADED []" in done.stdout
    assert "Measure" in done.stdout
