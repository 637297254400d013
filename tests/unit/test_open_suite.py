"""The suite of open prompts, and the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qbench.benchmarks.catalogue import load_suite, reference_free
from qbench.benchmarks.data import fetch
from qbench.benchmarks.suites.open import OpenSuite
from qbench.benchmarks.suites.prompts import get
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError

OPEN = OpenSuite()


def _prompts(limit: int, seed: int = 0) -> list[str]:
    drawn = OPEN.samples(seed=seed, tasks=OPEN.tasks, levels=(1,), limit=limit)
    return [sample.prompt for sample in drawn]


def test_prompts_do_not_repeat_and_a_larger_run_extends_a_smaller() -> None:
    many = _prompts(1500)
    assert len(set(many)) == 1500
    assert many[:60] == _prompts(60)
    assert len(set(many) & set(_prompts(1500, seed=1))) < 700


def test_no_slot_is_left_open() -> None:
    assert not any("{" in prompt or "}" in prompt for prompt in _prompts(500))


def test_an_answer_is_neither_passed_nor_failed() -> None:
    sample = OPEN.samples(seed=0, tasks=OPEN.tasks, levels=(1,), limit=1)[0]
    score = OPEN.score(sample, Transcript(messages=(), turns=(), answer="Well."))
    assert (score.status, score.passed) == ("unscored", False)
    assert "qbench arena" in score.reason
    assert score.components == {"open.characters": 5.0, "open.empty": 0.0}
    assert reference_free("open")
    assert not reference_free("sums,mcp")


def test_prompts_of_ones_own_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path / "data"))
    suite = load_suite("prompts")
    with pytest.raises(ConfigError, match="not on this machine"):
        suite.samples(seed=0, tasks=("own",), levels=(1,), limit=5)
    file = tmp_path / "mine.jsonl"
    lines = [{"prompt": f"Say {n}.", "system": "Be kind.", "family": "say"} for n in range(8)]
    file.write_text("\n".join(map(json.dumps, lines)))
    assert fetch("prompts", get, str(file), lambda _: None).license == "unknown"
    drawn = suite.samples(seed=0, tasks=("own",), levels=(1,), limit=5)
    assert len({sample.prompt for sample in drawn}) == 5
    assert {(sample.system, sample.family) for sample in drawn} == {("Be kind.", "say")}


@pytest.mark.parametrize("text", ["", "{}", '{"prompt": 1}', '{"prompt": " "}', "no json"])
def test_a_file_without_prompts_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(text)
    with pytest.raises(ConfigError):
        get(tmp_path, str(file), lambda _: None)
