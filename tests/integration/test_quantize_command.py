"""The command: what it prints, lists and refuses, with a maker that takes no time."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qbench.cli.quantizing import quantize, read_layers
from qbench.errors import ConfigError, QbenchError, Unsupported
from tests.integration.test_quantize_cache import use_fake
from tests.tiny_model import save_tiny_model

SMALL = ("--samples", "4", "--length", "64")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FAKE_MAKER", raising=False)
    use_fake(monkeypatch)


def run(capfdbinary: pytest.CaptureFixture[bytes], *arguments: str) -> str:
    """Run the command and return its stdout. Raises what it raised."""
    ended = CliRunner().invoke(quantize, arguments)
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    assert ended.exit_code == 0, ended.output
    return ended.stdout + capfdbinary.readouterr().out.decode()


def test_formats_are_made_and_end_in_a_sentence(
    tiny: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    said = run(capfdbinary, str(tiny), "-f", "w8a8,w4a16", "--recipe", "gptq", *SMALL)
    assert "w8a8" in said
    assert "0.2500" in said  # the error that the fake tells
    assert said.rstrip().splitlines()[-2].startswith("2 checkpoints are ready; the smallest")
    listed = run(capfdbinary, "--list")
    assert "2 checkpoints" in listed
    assert "gptq" in listed


def test_json_says_it_all(tiny: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert json.loads(run(capfdbinary, "--list", "--json"))["checkpoints"] == []
    assert "Nothing was quantized yet" in run(capfdbinary, "--list")
    (made,) = json.loads(run(capfdbinary, str(tiny), "-f", "w8a8", "--json", *SMALL))["made"]
    assert made["recipe"] == "rtn"
    assert made["mean_error"] == made["worst_error"] == 0.25
    assert Path(made["path"]).is_dir()
    (listed,) = json.loads(run(capfdbinary, "--list", "--json"))["checkpoints"]
    assert listed == made


def test_bad_wishes_are_refused(
    tiny: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    bad: list[tuple[tuple[str, ...], type[QbenchError], str]] = [
        ((str(tiny),), ConfigError, "No format was named"),
        ((str(tiny), "-f", "w4a61"), ConfigError, "w4a16"),
        ((str(tiny), "-f", "bf16"), Unsupported, "no quantization"),
        ((str(tiny), "-f", "w4a16", "--calibration", "mcpp"), ConfigError, "mcp"),
        ((str(tiny), "-f", "w4a16", "--layers", str(tmp_path / "no")), ConfigError, "read as"),
        ((str(tmp_path), "-f", "w4a16"), QbenchError, "no config.json"),
        ((str(tmp_path / "none"), "-f", "w4a16"), QbenchError, "not here"),
    ]
    for arguments, kind, said in bad:
        with pytest.raises(kind, match=said):
            run(capfdbinary, *arguments)


def test_layers_are_read_as_json_or_yaml_and_checked(
    tiny: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "layers.yaml"
    file.write_text("'layers\\.0\\.': bf16\ndown_proj: w8a16\n")
    assert read_layers(str(file)) == {r"layers\.0\.": "bf16", "down_proj": "w8a16"}
    file.write_text('{"down_proj": "w8a61"}')
    with pytest.raises(ConfigError, match="w8a16"):
        run(capfdbinary, str(tiny), "-f", "w4a16", "--layers", str(file))
    file.write_text('{"(": "w8a16"}')
    with pytest.raises(ConfigError, match="no regular expression"):
        run(capfdbinary, str(tiny), "-f", "w4a16", "--layers", str(file))
