"""Sensitivity on a tiny model: measured, chosen exactly, and better than choosing blindly."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
import yaml

from qbench.cli.render import layers
from qbench.cli.sensitivity import _names
from qbench.errors import ConfigError
from qbench.workers import sensitivity_measure
from qbench.workers.quantize import own
from qbench.workers.quantize.jobs import Job
from qbench.workers.sensitivity import Budget, Measure, Report, Study
from tests.tiny_model import save_tiny_model


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums of one thread are the same every time; the first study is made under it, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny model whose layers differ in size, and token files."""
    folder = tmp_path_factory.mktemp("sensitivity")
    save_tiny_model(folder / "tiny")
    draw = torch.Generator().manual_seed(3)
    rows = [torch.randint(3, 250, (size,), generator=draw).tolist() for size in (48, 64, 56, 40)]
    (folder / "tokens.jsonl").write_text("\n".join(json.dumps(row) for row in rows[:2]))
    (folder / "probe.jsonl").write_text("\n".join(json.dumps(row) for row in rows[2:]))
    return folder


def study_of(home: Path, budget: Budget, measure: Measure = "kl", recipe: str = "rtn") -> Study:
    return Study(
        checkpoint=str(home / "tiny"),
        out="",
        format="w4a16",
        others=["w8a16", "bf16"],
        tokens=str(home / "tokens.jsonl"),
        probe=str(home / "probe.jsonl"),
        budget=budget,
        measure=measure,
        recipe=recipe,
        checks=4,
    )


@pytest.fixture(scope="module")
def report(home: Path) -> Report:
    """Return a study under a size of 6 bits."""
    return sensitivity_measure.run(study_of(home, Budget(bits=6.0)))


def test_every_unit_is_measured_in_every_format(report: Report) -> None:
    assert len(report.units) == 3 * 4
    assert [len(unit.names) for unit in report.units[:4]] == [3, 1, 2, 1]
    for unit in report.units:
        narrow, wide, kept = unit.choices
        assert [choice.format for choice in unit.choices] == ["w4a16", "w8a16", "bf16"]
        assert narrow.error > wide.error > kept.error == 0
        assert narrow.output_error > wide.output_error > 0
        assert narrow.weight_error > wide.weight_error > 0
        assert narrow.bits < wide.bits < kept.bits == 16 * unit.weights


def test_the_suggestion_keeps_its_size_and_beats_blind_ones(report: Report) -> None:
    assert report.suggestion.bits_per_weight <= 6.0
    narrow, mine, *rivals = report.checks
    assert (narrow.name, mine.name) == ("w4a16", "suggested")
    assert len(rivals) == 2 + 4
    assert mine.error < narrow.error
    for rival in rivals:
        assert rival.bits_per_weight <= 6.0
        assert mine.error <= rival.error
        assert (mine.predicted or 0) <= (rival.predicted or 0)
    assert mine.error < 0.8 * sum(rival.error for rival in rivals) / len(rivals)


def test_its_recipe_makes_the_checkpoint_that_was_promised(
    report: Report, home: Path, tmp_path: Path
) -> None:
    names = [name for unit in report.units for name in unit.names]
    for unit in report.units:
        assert [name for name in names if re.search(unit.pattern, name)] == unit.names
    maker = own.make(
        Job(
            checkpoint=str(home / "tiny"),
            out=str(tmp_path),
            format="w4a16",
            recipe="rtn",
            layers=report.layers,
        )
    )
    bits = sum(layer.fmt.packed_bits(*layer.quantized.codes.shape) for layer in maker.made.values())
    left = set(names) - set(maker.made)
    assert left == {
        name
        for unit, chosen in zip(report.units, report.suggestion.formats, strict=True)
        if chosen == "bf16"
        for name in unit.names
    }
    weights = sum(unit.weights for unit in report.units)
    bits += sum(16 * unit.weights for unit in report.units if unit.names[0] in left)
    assert bits / weights == pytest.approx(report.suggestion.bits_per_weight)


@pytest.mark.parametrize("recipe", ["rtn", "gptq"])
def test_outputs_can_be_measured_without_running_the_model_on(home: Path, recipe: str) -> None:
    budget = Budget(error=0.02)
    found = sensitivity_measure.run(study_of(home, budget, "output", recipe))
    assert found.suggestion.error <= 0.02
    for unit in found.units:
        assert unit.choices[0].error == pytest.approx(unit.choices[0].output_error ** 2)
    assert all(check.predicted is None for check in found.checks)
    assert found.checks[1].error < found.checks[0].error


def test_the_same_study_gives_the_same_numbers(report: Report, home: Path) -> None:
    again = sensitivity_measure.run(study_of(home, Budget(bits=6.0)))
    assert msgspec.structs.replace(again, seconds=0) == msgspec.structs.replace(report, seconds=0)


def test_the_program_writes_a_recipe_and_says_what_it_is_worth(home: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "layers.yaml"
    command = [sys.executable, "-m", "qbench", "sensitivity", str(home / "tiny")]
    command += ["--budget", "6bits", "--out", str(recipe), "-n", "2", "--length", "32"]
    environment = {**os.environ, "QBENCH_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more], capture_output=True, text=True, check=False, env=environment
        )

    told = run("--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert yaml.safe_load(recipe.read_text()) == found["layers"]
    assert len(found["report"]["units"]) == 12
    assert found["report"]["tokens"] == 64
    refused = run("--max-error", "0.1")
    assert refused.returncode == 2
    assert "not both" in refused.stderr


@pytest.mark.parametrize(
    ("format_name", "other", "said"),
    [
        ("bf16", "w8a16", "bf16 is no quantization"),
        ("nf4", "w8a16", "nf4 cannot stand beside"),
        ("w4a15", "", "no format named 'w4a15'"),
    ],
)
def test_formats_that_cannot_be_mixed_are_refused(format_name: str, other: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _names(format_name, other)


def test_formats_are_taken_once() -> None:
    assert _names("W4A16", "bf16,w4a16,w8a16,bf16") == ["w4a16", "bf16", "w8a16"]


def test_the_tables_say_what_was_chosen(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    layers.report(report, "mine.yaml")
    shown = capsys.readouterr().out
    for words in ("KL alone", "Whole model, on text of its own", "suggested", "random 4"):
        assert words in shown
    chosen = f"{len(report.layers)} of 12 units wider than w4a16"
    assert chosen in shown
    assert "quantize --layers mine.yaml" in " ".join(shown.split())
