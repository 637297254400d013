"""``qbench run --until decided`` as a process."""

from __future__ import annotations

import signal

from tests.acceptance.program import LIMIT_S, Program

ACCURACY = {"bf16": 1.0, "w4a16": 0.1}
UNTIL = ("--formats", "w4a16", "--until", "decided", "--max-samples", "900")


def test_it_stops_when_it_is_decided_and_says_what_that_saved(qbench: Program) -> None:
    ended = qbench.run(*UNTIL, accuracy=ACCURACY)
    assert ended.code == 0, ended.talk
    assert "is asked no more (decided: worse)" in ended.talk
    last = " ".join(ended.out.split("\n\n")[-1].split())
    assert last.startswith("bf16 passes 100.0 %")
    assert "Stopped after 51 of 900 samples, with every system decided." in last
    assert "102 of 1,800 attempts of the full design were made (6 %)" in last
    assert "confidence sequence" in " ".join(ended.out.split())
    again = qbench.run(*UNTIL, "--json", accuracy=ACCURACY)
    assert again.code == 0, again.talk
    assert "complete" in again.talk
    assert again.json["stopping"]["asked"] == 51
    assert [row["validity"]["planned"] for row in again.json["rows"]] == [51, 51]


def test_interrupted_it_is_resumed_to_the_same_verdict(qbench: Program) -> None:
    slow = ("--engine", "scripted", "--suite", "sums", "--option", "ttft_s=0.05", "-c", "2")
    command = ("run", *slow, *UNTIL, "--option", 'accuracy={"bf16": 1.0, "w4a16": 0.1}')
    with qbench.start(*command) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "serving" in line:
                break
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, talk
    ended = qbench("resume", "--json")
    assert ended.code == 0, ended.talk
    kinds = {row["format"]: row["verdict"]["kind"] for row in ended.json["rows"]}
    assert kinds == {"bf16": "baseline", "w4a16": "worse"}
    assert ended.json["stopping"]["attempts"] == 102


def test_a_wrong_word_is_told(qbench: Program) -> None:
    ended = qbench.run("--until", "deciced", "-n", "10")
    assert ended.code == 2
    assert "decided" in ended.talk
