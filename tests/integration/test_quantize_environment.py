"""llm-compressor's environment, made by a real venv and pip out of packages that hold nothing."""

import json
import platform
import sys
import zipfile
from pathlib import Path

import pytest

from qbench.errors import EngineStartError
from qbench.workers.quantize import environment
from qbench.workers.quantize.environment import (
    READY,
    TORCH,
    VERSION,
    find_tool,
    home,
    make_tool,
    torch_choices,
)

NEEDS = {"compressed-tensors": "0.19.0", "transformers": "5.17.0", "torch": TORCH}


def wheel(folder: Path, name: str, version: str, needs: tuple[str, ...] = ()) -> None:
    """Write a package that holds nothing but its name."""
    stem = f"{name.replace('-', '_')}-{version}"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as made:
        info = f"{stem}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
        made.writestr(f"{info}/METADATA", metadata)
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        made.writestr(f"{info}/RECORD", "")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, the only one that pip may look into, and an empty cache."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, version in NEEDS.items():
        wheel(folder, name, version)
    monkeypatch.setenv("QBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(environment, "NEEDED_BYTES_CPU", 1)
    monkeypatch.setattr(environment, "NEEDED_BYTES", 1)
    return folder


def test_it_is_made_once_said_and_found(shop: Path) -> None:
    wheel(shop, "llmcompressor", VERSION, needs=tuple(NEEDS))
    said: list[str] = []
    assert find_tool() is None
    tool = make_tool(said.append)
    assert tool.versions == {"llmcompressor": VERSION, **NEEDS}
    assert Path(tool.python).is_relative_to(home())
    assert find_tool() == tool
    assert any("making a virtual environment" in line for line in said)
    assert any(f"pip install llmcompressor=={VERSION}" in line for line in said)
    again: list[str] = []
    assert make_tool(again.append) == tool
    assert again == [f"llm-compressor {VERSION} is ready in {home()}"]


def test_what_was_left_half_made_is_made_anew(shop: Path) -> None:
    with pytest.raises(EngineStartError, match="pip"):
        make_tool(lambda _: None)  # there is no llmcompressor to be had
    assert home().is_dir()
    assert find_tool() is None
    wheel(shop, "llmcompressor", VERSION, needs=tuple(NEEDS))
    said: list[str] = []
    assert make_tool(said.append).versions["llmcompressor"] == VERSION
    assert any("half-made" in line for line in said)
    (home() / READY).unlink()
    assert find_tool() is None


def test_the_variable_names_a_python_its_folder_or_its_environment(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(shop, "llmcompressor", VERSION, needs=tuple(NEEDS))
    made = make_tool(lambda _: None)
    for told in (home(), home() / "bin", home() / "bin" / "python"):
        monkeypatch.setenv(environment.VARIABLE, str(told))
        assert find_tool() == made
    monkeypatch.setenv(environment.VARIABLE, sys.executable)
    assert find_tool() is None  # it has no llm-compressor
    monkeypatch.setenv(environment.VARIABLE, str(shop / "nowhere"))
    assert find_tool() is None


def test_no_room_is_said_before_anything_is_made(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del shop
    for name in ("NEEDED_BYTES", "NEEDED_BYTES_CPU"):
        monkeypatch.setattr(environment, name, 1 << 60)
    with pytest.raises(EngineStartError, match="GiB free"):
        make_tool(lambda _: None)
    assert not home().exists()


def test_torch_is_the_cpu_build_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_wants_cuda", lambda: True)
    assert torch_choices() == [[f"torch=={TORCH}"]]
    monkeypatch.setattr(environment, "_wants_cuda", lambda: False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    first, second, last = torch_choices()
    assert first == [f"torch=={TORCH}+cpu"]
    assert second[1] == "--extra-index-url"
    assert last == [f"torch=={TORCH}"]
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert torch_choices() == [[f"torch=={TORCH}"]]


def test_the_note_that_says_ready_is_readable(shop: Path) -> None:
    wheel(shop, "llmcompressor", VERSION, needs=tuple(NEEDS))
    make_tool(lambda _: None)
    assert json.loads((home() / READY).read_text())["llmcompressor"] == VERSION
