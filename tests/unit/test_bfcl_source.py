"""Getting BFCL's files: out of the pinned wheel and no other."""

from __future__ import annotations

import hashlib
from pathlib import Path
from zipfile import ZipFile

import pytest

from qbench.benchmarks.suites.bfcl import source
from qbench.errors import ConfigError


def said(_: str) -> None:
    """Hear nothing."""


def wheel(path: Path, *, without: str = "") -> Path:
    with ZipFile(path, "w") as archive:
        for inside, _ in source._wanted():
            if str(inside).endswith(without) and without:
                continue
            archive.writestr(str(inside), "{}")
        archive.writestr("bfcl_eval/model_handler/utils.py", "raise RuntimeError")
    return path


def pinned(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(source, "SHA256", digest)
    return str(path)


def test_questions_answers_and_back_ends_are_unpacked_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pinned(wheel(tmp_path / "w.whl"), monkeypatch)
    origin = source.get(tmp_path / "data", given, said)
    assert (origin.license, origin.version) == ("Apache-2.0", "2026.3.23")
    places = {str(p.relative_to(tmp_path / "data")) for p in (tmp_path / "data").rglob("*.*")}
    assert "possible_answer/BFCL_v4_multiple.json" in places
    assert "backends/travel_booking.py" in places
    assert "possible_answer/BFCL_v4_irrelevance.json" not in places
    assert not any("utils" in place for place in places)


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sha256"):
        source.get(tmp_path, str(wheel(tmp_path / "w.whl")), said)
    with pytest.raises(ConfigError, match="cannot be read"):
        source.get(tmp_path, str(tmp_path / "none.whl"), said)


def test_a_wheel_that_lacks_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pinned(wheel(tmp_path / "w.whl", without="math_api.py"), monkeypatch)
    with pytest.raises(ConfigError, match=r"lacks BFCL's files.*math_api"):
        source.get(tmp_path / "data", given, said)


def test_a_download_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "file:///nonexistent")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ConfigError, match="pip could not download bfcl-eval"):
        source.get(tmp_path, "", said)
