"""Questions of marked sets are written nowhere but into the database."""

from pathlib import Path

import msgspec
import pytest

from qbench.benchmarks.canary import veiled, veiled_messages, withheld
from qbench.benchmarks.chat import ChatRequest, Message
from qbench.benchmarks.transcript import Transcript
from qbench.workers import traced
from tests.declared_data import capitals


def test_texts_are_withheld_and_their_shape_is_kept() -> None:
    value = {"q": "secret", "n": 3, "list": ["secret", None]}
    assert veiled(value, "") == value
    assert veiled(value, "m") == {"q": withheld("m"), "n": 3, "list": [withheld("m"), None]}
    said = (Message(role="user", content="secret"), Message(role="assistant"))
    assert b"secret" not in msgspec.json.encode(veiled_messages(said, "m"))
    assert veiled_messages(said, "") == said


def test_a_score_of_a_marked_set_quotes_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path / "data"))
    suite = capitals(tmp_path, canary="capitals-mark")
    sample = suite.samples(seed=0, tasks=suite.tasks, levels=suite.levels, limit=1)[0]
    score = suite.score(sample, Transcript(messages=(), turns=(), answer="Answer: Oslo"))
    assert not score.passed
    assert score.reason == "Not told: of a set marked capitals-mark."


def test_traces_hold_no_text_of_a_marked_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(traced.CONTENT, "1")
    request = ChatRequest(messages=(Message(role="user", content="secret"),))
    plain = traced.about_request(request, "")["gen_ai.input.messages"]
    assert "secret" in plain
    assert traced.about_request(request, "m")["gen_ai.input.messages"] == withheld("m")
