"""Calibration tokens, made by the real program with a real tokenizer."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from qbench.errors import NotFound, QuantizationFailed
from qbench.workers.quantize.calibration import PROBES, Calibration, Tokens, ready_tokens
from qbench.workers.quantize.environment import Tool, find_tool
from tests.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_CACHE", str(tmp_path / "cache"))


def rows(file: str) -> list[list[int]]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def ready(tiny: Path, told: Calibration, tool: Tool | None = None) -> Tokens:
    return ready_tokens(tiny, told, tool, lambda _: None)


def test_a_suites_training_samples_are_rendered_with_tools_and_their_solution(tiny: Path) -> None:
    told = Calibration(source="mcp", samples=10, length=5000)
    made = ready(tiny, told)
    found, probe = rows(made.path), rows(made.probe)
    assert (len(found), len(probe)) == (10, PROBES)
    text = str(AutoTokenizer.from_pretrained(tiny).decode(found[0]))
    assert "<|im_start|>system" in text
    assert "You can call these functions:" in text
    assert "<tool_call>" in text.rpartition("<|im_start|>user")[2]
    assert not {tuple(row[:512]) for row in found} & {tuple(row) for row in probe}
    said: list[str] = []
    assert ready_tokens(tiny, told, None, said.append) == made
    assert not said  # kept from before
    other = ready(tiny, Calibration(source="mcp", samples=10, length=5000, seed=1))
    assert other.digest != made.digest


def test_a_text_file_is_cut_into_sequences(tiny: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"Line {n} of a text. " for n in range(200)))
    made = ready(tiny, Calibration(source=str(text), samples=8, length=100))
    found = rows(made.path)
    assert [len(row) for row in found] == [100] * 8
    assert all("of a text" in AutoTokenizer.from_pretrained(tiny).decode(row) for row in found)
    text.write_text(text.read_text().replace("Line", "Page"))
    assert ready(tiny, Calibration(source=str(text), samples=8, length=100)) != made


def test_rows_of_json_lines_are_texts_or_conversations(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    chat = {"messages": [{"role": "user", "content": "Hello"}]}
    lines = ["A text.", {"text": "Another."}, chat, chat, chat, chat]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    made = ready(tiny, Calibration(source=str(file), samples=8, length=100))
    read = [AutoTokenizer.from_pretrained(tiny).decode(row) for row in rows(made.path)]
    assert read == ["A text.", "Another."]
    assert "<|im_start|>user\nHello" in AutoTokenizer.from_pretrained(tiny).decode(
        rows(made.probe)[0]
    )


def test_bad_sources_are_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="mcp"):
        ready(tiny, Calibration(source="mpc"))
    short = tmp_path / "short.txt"
    short.write_text("Too short.")
    with pytest.raises(QuantizationFailed, match="gives 1 sequences"):
        ready(tiny, Calibration(source=str(short)))
    with pytest.raises(QuantizationFailed, match="doctor --fix"):
        ready(tiny, Calibration(source="hub:org/data"))


def test_a_data_set_of_the_hubs_kind_is_read(tiny: Path, tmp_path: Path) -> None:
    tool = find_tool()
    if tool is None:
        pytest.skip("no llm-compressor: qbench doctor --fix")
    data = tmp_path / "data"
    data.mkdir()
    chats = [{"conversations": [{"from": "human", "value": f"Question {n}"}]} for n in range(20)]
    (data / "train.jsonl").write_text("\n".join(json.dumps(chat) for chat in chats))
    made = ready(tiny, Calibration(source=f"hub:{data}", samples=8, length=64), tool)
    assert len(rows(made.path)) == 8
    text = AutoTokenizer.from_pretrained(tiny).decode(rows(made.path)[0])
    assert "<|im_start|>user\nQuestion" in text
    with pytest.raises(QuantizationFailed, match="no split test; there are train"):
        ready(tiny, Calibration(source=f"hub:{data}@test"), tool)
    with pytest.raises(QuantizationFailed, match="no column body"):
        ready(tiny, Calibration(source=f"hub:{data}#body"), tool)
