from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys

import pytest

from tests.acceptance.program import LIMIT_S, REPOSITORY, Program

NEEDS_LITELLM = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="the api extra is not installed"
)
HEAVY = {"numpy", "scipy", "sqlalchemy", "rich", "torch", "litellm", "mcp", "aiohttp"}


def test_a_run_ends_in_a_leaderboard_and_its_finding(qbench: Program) -> None:
    accuracy = {"bf16": 1.0, "w4a16": 0.0}
    ended = qbench.run("--formats", "w4a16", "-n", "40", accuracy=accuracy)
    assert ended.code == 0, ended.talk
    assert "40/40" in ended.out
    assert "0/40" in ended.out
    assert "worse" in ended.out
    last = " ".join(ended.out.split("\n\n")[-1].split())
    assert last.startswith("bf16 passes 100.0 %")
    assert last.endswith(".")
    assert "80 attempts" in ended.talk
    assert "\x1b" not in ended.out + ended.talk


def test_json_is_alone_on_stdout(qbench: Program) -> None:
    ended = qbench.run("-n", "10", "--json", accuracy=1.0)
    assert ended.code == 0, ended.talk
    assert ended.json["schema"] == 1
    assert [row["passed"] for row in ended.json["rows"]] == [10]
    assert "10 attempts" in ended.talk


def test_the_same_command_shows_the_finished_run_at_once(qbench: Program) -> None:
    first = qbench.run("-n", "10", "--json")
    again = qbench.run("-n", "10", "--json")
    assert again.code == 0, again.talk
    assert again.json["run_id"] == first.json["run_id"]
    assert "is complete" in again.talk
    assert "serving" not in again.talk
    anew = qbench.run("-n", "10", "--json", "--fresh")
    assert anew.json["run_id"] != first.json["run_id"]
    assert len(qbench("runs", "--json").json["runs"]) == 2


def test_another_request_is_another_run(qbench: Program) -> None:
    assert (
        qbench.run("-n", "10", "--json").json["run_id"]
        != (qbench.run("-n", "10", "--seed", "1", "--json").json["run_id"])
    )


def interrupted(qbench: Program, number: int) -> tuple[int, str, str]:
    """Start a slow run, stop it by a signal once something is saved; return code, stdout, talk."""
    options = ("--option", "ttft_s=0.05", "--option", "accuracy=1.0", "--concurrency", "1")
    with qbench.start(
        "run", "--engine", "scripted", "--suite", "sums", "-n", "200", *options
    ) as process:
        assert process.stderr is not None
        talk = ""
        for line in process.stderr:
            talk += line
            if "serving" in line:
                break
        process.send_signal(number)
        out, rest = process.communicate(timeout=LIMIT_S)
        return process.returncode, out, talk + rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_saved_and_resumed(qbench: Program, number: int) -> None:
    code, _, talk = interrupted(qbench, number)
    assert code == 130, talk
    (run,) = qbench("runs", "--json").json["runs"]
    assert run["status"] == "paused"
    assert run["done"] < 200
    assert f"qbench resume {run['id']}" in talk
    assert "Traceback" not in talk
    ended = qbench("resume", run["id"], "--concurrency", "32", "--json")
    assert ended.code == 0, ended.talk
    assert ended.json["run_id"] == run["id"]
    assert ended.json["rows"][0]["validity"]["scored"] == 200
    assert ended.json["rows"][0]["passed"] == 200


def test_the_same_command_resumes_an_interrupted_run(qbench: Program) -> None:
    code, _, talk = interrupted(qbench, signal.SIGINT)
    assert code == 130, talk
    before = qbench("runs", "--json").json["runs"][0]
    ended = qbench.run("-n", "200", "--concurrency", "32", "--json", accuracy=1.0, ttft_s=0.05)
    assert ended.code == 0, ended.talk
    assert ended.json["run_id"] == before["id"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["rnu"], "Did you mean run"),
        (["run", "--suite", "sum"], "Did you mean sums"),
        (["run", "--suite", "sums/ad"], "Did you mean add"),
        (["run", "--suite", "sums", "--formats", "fp9"], "Did you mean fp8"),
        (["run", "--suite", "sums", "--engine", "scriptd"], "Did you mean scripted?"),
        (["run", "--suite", "sums", "--level", "9"], "Known: 1, 2, 3, 4, 5."),
        (["run", "--suite", "mcp/calender"], "Did you mean calendar or"),
        (["run", "--suite", "sums", "--margin", "5"], "between 0 and 1"),
        (["run", "--suite", "sums", "--engine", "external", "--model", "m"], "--base-url"),
        (["run", "--suite", "sums", "--engine", "scripted", "--option", "script=som"], "sum"),
        (["run", "--suite", "sums", "--level", "x"], "Write 1, or 2-4, or 1,3-5."),
        (["run", "--suite", "sums", "--budget", "-3"], "like --budget 0.50"),
        (["run", "--suite", "sums", "--tool-protocol", "xml"], "Known: native, text."),
        (["run", "--suite", "sums", "--option", "accuracy"], "--option key=value"),
        (["leaderboard", "--basis", "saturatd"], "Did you mean saturated?"),
        (["show", "nothing"], "qbench show RUN"),
        (["export", "--as", "xml"], "Known: csv, inspect, jsonl, lm-eval."),
        (["prices", "h100-sxn"], "Did you mean h100-sxm"),
    ],
)
def test_unknown_names_exit_2_and_name_the_next_step(
    finished: Program, arguments: list[str], hint: str
) -> None:
    ended = finished(*arguments)
    assert ended.code == 2, ended.talk
    assert ended.out == ""
    assert ended.talk.startswith("Error: ")
    assert hint in ended.talk
    assert "Traceback" not in ended.talk


def test_an_unknown_option_exits_2(finished: Program) -> None:
    ended = finished("run", "--sute", "sums")
    assert ended.code == 2
    assert "--suite" in ended.talk


def test_an_engine_that_refuses_does_so_before_anything_is_written(qbench: Program) -> None:
    ended = qbench.run("-n", "10", accuracy=7)
    assert ended.code == 2
    assert "accuracy" in ended.talk
    assert qbench("runs", "--json").json["runs"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--engine", "scripted"],
        pytest.param(["--model", "openai/no-such-model", "--engine", "api"], marks=NEEDS_LITELLM),
    ],
)
def test_a_budget_that_cannot_be_watched_is_refused(qbench: Program, arguments: list[str]) -> None:
    ended = qbench("run", "--suite", "sums", "--budget", "1", *arguments, OPENAI_API_KEY="none")
    assert ended.code == 2, ended.talk
    assert "price" in ended.talk
    assert "docs/money.md" in ended.talk
    assert qbench("runs", "--json").json["runs"] == []


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(qbench: Program) -> None:
    book = qbench.folder / "prices.yaml"
    book.write_text(
        "machines:\n- name: box\n  prices:\n  - dollars_per_hour: 3600\n    provider: us\n"
        "    source: 'own: a test'\n    checked: 2026-01-01\n    valid_from: 2026-01-01\n"
    )
    slow = ["--concurrency", "1", "--hardware", "box"]
    command = ["run", "--engine", "scripted", "--suite", "sums", "-n", "40", *slow]
    command += ["--option", "ttft_s=0.1", "--budget", "1.5", "--json"]
    ended = qbench(*command, QBENCH_PRICES=str(book))
    assert ended.code == 3, ended.talk
    assert "budget is reached" in ended.talk
    run_id, paid = ended.json["run_id"], ended.json["paid"]
    assert paid <= 1.5
    ended = qbench("resume", run_id, "--budget", "none", "--json", QBENCH_PRICES=str(book))
    assert ended.code == 0, ended.talk
    assert ended.json["rows"][0]["validity"]["scored"] == 40
    assert ended.json["paid"] > paid


def test_an_invalid_row_exits_3_and_is_not_ranked(qbench: Program) -> None:
    ended = qbench.run("-n", "20", "--json", faults={"disconnect": 1.0})
    assert ended.code == 3, ended.talk
    (row,) = ended.json["rows"]
    assert row["validity"]["invalid"]
    assert row["pass_rate"] is None
    assert "qbench resume" in ended.talk


def test_resuming_tries_again_what_errored_and_only_that(qbench: Program) -> None:
    failed = qbench.run("-n", "120", "--formats", "fp8", faults={"http_500": 0.3})
    assert failed.code == 3, failed.talk
    assert "INVALID" in failed.out
    before = qbench("runs", "--json").json["runs"][0]
    assert 0 < before["errored"] < 240
    resumed = qbench("resume")
    after = qbench("runs", "--json").json["runs"][0]
    assert after["errored"] < before["errored"], resumed.talk
    assert after["done"] + after["errored"] == 240
    assert f"{before['done']} of them kept from before" in resumed.talk


def test_a_plan_writes_nothing_and_says_what_can_be_detected(qbench: Program) -> None:
    command = ["plan", "--engine", "scripted", "--suite", "sums", "--formats", "fp8", "-n", "400"]
    planned = qbench(*command, "--json").json
    assert planned["attempts"] == 800
    assert 0.05 < planned["detectable_difference"] < 0.1
    assert "400" in qbench(*command).out
    assert qbench("runs", "--json").json["runs"] == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("plan", "--settle", "last", "--plot", "out.svg"), "--settle has no picture"),
        (("plan", "--suite", "sums", "--discordant", "0.2"), "--discordant is an assumption"),
        (("compare", "last", "--by", "format", "--non-inferior"), "--by format judges"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    qbench: Program, command: tuple[str, ...], said: str
) -> None:
    ended = qbench(*command)
    assert ended.code == 2, ended.talk
    assert said in ended.talk


def test_every_option_is_an_environment_variable(qbench: Program) -> None:
    chosen = {
        "QBENCH_RUN_SUITE": "sums",
        "QBENCH_RUN_ENGINE": "scripted",
        "QBENCH_RUN_SAMPLES": "7",
        "QBENCH_VERSION": "0.0.1",
    }
    ended = qbench("run", "--json", **chosen)
    assert ended.code == 0, ended.talk
    assert ended.json["rows"][0]["validity"]["scored"] == 7


IMPORTED = """
import sys
sys.argv = ["qbench", *sys.argv[1:]]
from qbench.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
sys.stderr.write(",".join(sys.modules))
"""


def imported(*arguments: str) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    return set(ended.stderr.split(","))


def test_the_help_page_imports_nothing_heavy() -> None:
    assert imported("--help").isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [["run", "--help"], ["formats"], ["suites"]])
def test_no_verb_imports_torch_or_litellm_to_start(arguments: list[str]) -> None:
    assert imported(*arguments).isdisjoint({"torch", "transformers", "litellm", "vllm"})


def test_what_reads_no_database_imports_none() -> None:
    assert imported("formats").isdisjoint({"sqlalchemy", "scipy", "torch"})
