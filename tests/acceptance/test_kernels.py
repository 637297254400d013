"""``qbench kernels``: rows of elsewhere are shown anywhere, and what is missing is said."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
import torch

from qbench.kernels.speed.rows import written
from tests.acceptance.program import REPOSITORY, Program
from tests.kernel_rows import row

NEEDS_TRITON = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = tmp_path / "rows.jsonl"
    rows = [row(format="bf16", contestant="cublas", median_us=12.0), row(), row(m=4096)]
    made.write_bytes(written(rows))
    return str(made)


def test_rows_of_elsewhere_are_shown(qbench: Program, file: str) -> None:
    ended = qbench("kernels", "speed", "--read", file)
    assert ended.code == 0, ended.talk
    assert "NVIDIA Test 80GB" in ended.out
    assert "3.00" in ended.out
    assert ended.out.rstrip().endswith("of the limit.")


def test_rows_become_json_csv_and_a_picture(qbench: Program, file: str, tmp_path: Path) -> None:
    table, picture = tmp_path / "rows.csv", tmp_path / "roof.svg"
    ended = qbench(
        *("kernels", "speed", "--read", file, "--csv", str(table), "--plot", str(picture)),
        *("--json", "--by-layer"),
    )
    assert ended.code == 0, ended.talk
    told = ended.json["rows"][1]
    assert (told["times_bf16"], told["driver"]) == (3.0, "1.2")
    with table.open() as lines:
        assert [one["m"] for one in csv.DictReader(lines)] == ["1", "1", "4096"]
    assert "TFLOP/s" in picture.read_text()
    drawn = qbench("kernels", "roofline", file, "--output", str(tmp_path / "roof.png"))
    assert drawn.code == 0, drawn.talk
    assert (tmp_path / "roof.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("speed", "--read", "none.jsonl"), "Cannot read none.jsonl"),
        (("roofline", "{file}", "--output", "x.gif"), "Cannot draw"),
        (("roofline", "{file}", "--output", "x.svg", "--model", "gpt"), "no model in these rows"),
        (("speed", "--read", "{file}", "--csv", "/no/where.csv"), "Cannot write"),
        (("speed", "--tokens", "1,x"), "Cannot read rows of x"),
        (("list", "--gpu", "h10"), "no GPU named"),
    ],
)
def test_bad_input_is_refused_in_words(
    qbench: Program, file: str, arguments: tuple[str, ...], said: str
) -> None:
    ended = qbench("kernels", *(one.replace("{file}", file) for one in arguments))
    assert ended.code in {1, 2}
    assert said in ended.talk
    assert "Traceback" not in ended.talk


def test_kernels_are_listed(qbench: Program) -> None:
    found = qbench("kernels", "list", "--json").json["kernels"]
    assert {"multiply", "rotate_round"} <= {one["name"] for one in found}
    older = qbench("kernels", "list", "--gpu", "a100", "--json").json["kernels"]
    assert len(older) < len(found)
    assert "w4a16" in qbench("kernels", "list").out


@pytest.mark.parametrize("verb", ["check", "speed"])
def test_without_triton_it_says_what_to_install(qbench: Program, verb: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['triton'] = None\n")
    ended = qbench("kernels", verb, PYTHONPATH=f"{REPOSITORY}:{tmp_path}")
    assert ended.code == 2
    assert "Kernels need triton" in ended.talk
    assert "pip install torch triton" in ended.talk


@NEEDS_TRITON
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_kernels_are_checked_by_the_interpreter(qbench: Program) -> None:
    asked = ("--kernels", "quantize_tokens,norm", "--shapes", "3x8x128", "--seed", "4")
    ended = qbench("kernels", "check", *asked)
    assert ended.code == 0, ended.talk
    assert "Triton's interpreter on the CPU, seed 4" in ended.out
    assert "checks passed" in ended.out
    assert "torch sees none" in qbench("kernels", "speed").talk
