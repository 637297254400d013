from __future__ import annotations

import signal

import pytest

from tests.acceptance.program import LIMIT_S, Program

HEAVY = ("numpy", "sqlalchemy", "rich", "torch", "transformers", "litellm")


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
