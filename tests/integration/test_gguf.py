"""GGUF files of the user's: recognised by what they are, converted once, served."""

from pathlib import Path

import gguf
import pytest

from qbench.errors import EngineStartError
from qbench.workers.checkpoints import here, resolve
from qbench.workers.embedded.loading import load
from tests.tiny_gguf import save_tiny_gguf

Q4 = gguf.GGMLQuantizationType.Q4_0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def quiet(text: str) -> None:
    assert text


def test_a_file_is_named_by_its_scheme_and_converted_once(tmp_path: Path, cache: Path) -> None:
    file = save_tiny_gguf(tmp_path / "tiny.gguf")
    assert here(str(file)) is None
    said: list[str] = []
    made = resolve(str(file), said.append)
    assert made.origin == "GGUF Q8_0 (tiny.gguf)"
    assert Path(made.path).is_relative_to(cache)
    assert said == ["converting tiny.gguf to bf16, once"]
    assert resolve(str(file), said.append) == made
    assert len(said) == 1


def test_what_was_converted_is_served_in_a_format(tmp_path: Path) -> None:
    made = resolve(str(save_tiny_gguf(tmp_path / "tiny.gguf")), quiet)
    loaded = load(Path(made.path), "w4a16", device="cpu")
    assert loaded.effective.startswith("w4a16")


def test_a_file_that_does_not_say_is_named_by_most_of_its_bytes(tmp_path: Path) -> None:
    file = save_tiny_gguf(tmp_path / "silent.gguf", kind=Q4, file_type=None)
    assert resolve(str(file), quiet).origin == "GGUF Q4_0 (silent.gguf)"


def test_another_file_of_the_same_name_is_converted_anew(tmp_path: Path) -> None:
    one = resolve(str(save_tiny_gguf(tmp_path / "same.gguf")), quiet)
    two = resolve(str(save_tiny_gguf(tmp_path / "same.gguf", kind=Q4, file_type=None)), quiet)
    assert one.revision != two.revision
    assert two.origin == "GGUF Q4_0 (same.gguf)"


def test_an_unknown_architecture_says_so(tmp_path: Path) -> None:
    file = save_tiny_gguf(tmp_path / "odd.gguf", architecture="wavtokenizer-dec")
    with pytest.raises(EngineStartError, match=r"odd\.gguf could not be converted"):
        resolve(str(file), quiet)


def test_a_file_that_is_not_there_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(EngineStartError, match="There is no file"):
        resolve(str(tmp_path / "none.gguf"), quiet)
