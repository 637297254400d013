"""Data of suites: fetched whole or not at all, never at run time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from qbench.benchmarks.data import Origin, Say, data_folder, fetch, needed, origin_of
from qbench.errors import ConfigError


def get(folder: Path, source: str, say: Say) -> Origin:
    say(f"Reading {source}.")
    (folder / "questions.txt").write_text(source)
    if source == "broken":
        raise ConfigError("It is broken.", hint="Mend it.")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Origin(source=source, version="1", license="MIT", sha256="00", fetched=now)


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_DATA", str(tmp_path))


def test_what_is_not_here_says_how_to_get_it() -> None:
    with pytest.raises(ConfigError) as refused:
        needed("quiz")
    assert refused.value.hint == "Run: qbench suites get quiz"


def test_what_was_fetched_is_found_with_its_origin() -> None:
    said: list[str] = []
    fetch("quiz", get, "first", said.append)
    assert (needed("quiz") / "questions.txt").read_text() == "first"
    assert said == ["Reading first."]
    assert (origin := origin_of("quiz")) is not None
    assert origin.license == "MIT"


def test_a_fetch_that_fails_leaves_what_was_there() -> None:
    fetch("quiz", get, "first", print)
    with pytest.raises(ConfigError):
        fetch("quiz", get, "broken", print)
    assert (needed("quiz") / "questions.txt").read_text() == "first"
    assert [one.name for one in data_folder("quiz").parent.iterdir()] == ["quiz"]
