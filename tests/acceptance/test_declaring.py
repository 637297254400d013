"""A suite of the user's own, from the template to a run that is judged again."""

import pytest

from tests.acceptance.program import Program


def test_a_new_suite_is_checked_run_and_judged_again_after_its_file_went(qbench: Program) -> None:
    made = qbench("suites", "new", "trivia")
    assert made.code == 0, made.talk
    checked = qbench("suites", "check", "trivia.yaml", "--json")
    assert checked.code == 0, checked.out
    found = checked.json["suites"][0]
    assert found["samples"] == 8
    assert all(one["ok"] is not False for one in found["findings"])
    qbench("suites", "script", "trivia.yaml", "-n", "8", "--out", "known.json")
    options = ("-o", "script=skilled", "-o", "known=known.json", "-o", "accuracy=1.0")
    asked = ("run", "-s", "trivia.yaml", "-n", "8", "--level", "1-3", "-m", "fake", "-f", "bf16")
    ended = qbench(*asked, "--engine", "scripted", *options, "--no-noise-floor")
    assert ended.code == 0, ended.talk
    assert "8/8" in ended.out
    assert found["suite"] in ended.out
    (qbench.folder / "trivia.yaml").unlink()
    (qbench.folder / "trivia.csv").unlink()
    again = qbench("score", "last")
    assert again.code == 0, again.talk
    assert "8/8" in again.out


def test_a_suite_that_does_not_hold_water_fails_with_exit_code_1(qbench: Program) -> None:
    qbench("suites", "new", "desk", "-t", "mcp")
    path = qbench.folder / "desk.yaml"
    path.write_text(
        path.read_text().replace("blunder: [{name: close_ticket", "blunder: [{name: show_ticket")
    )
    checked = qbench("suites", "check", "desk.yaml")
    assert checked.code == 1
    assert "blunders failed" in checked.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["suites", "new", "x", "-t", "essay"], "no template named 'essay'"),
        (["suites", "check", "gone.yaml"], "gone.yaml cannot be read"),
        (["suites", "get", "sums"], "no suite that needs data named 'sums'"),
        (["run", "-s", "gsm8k"], "qbench suites get gsm8k"),
    ],
)
def test_mistakes_are_told_in_two_sentences(
    qbench: Program, arguments: list[str], told: str
) -> None:
    ended = qbench(*arguments)
    assert ended.code == 2
    assert told in ended.talk
    assert "Traceback" not in ended.talk


def test_missing_data_fails_a_check_that_names_it(qbench: Program) -> None:
    ended = qbench("suites", "check", "gsm8k")
    assert ended.code == 1
    assert "not checked" in ended.out
