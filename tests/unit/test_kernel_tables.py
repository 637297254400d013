"""Kernels in a terminal and in a picture, from values made up."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from qbench.cli.pictures import drawn
from qbench.cli.pictures.roofline import series
from qbench.cli.render import console, kernels
from qbench.kernels.checking.kernels import KERNELS
from qbench.kernels.checking.values import Checked, Checks, Size
from qbench.kernels.speed.reading import boards
from qbench.kernels.speed.rows import Row
from qbench.kernels.speed.shapes import TOKENS
from tests.kernel_rows import row


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=text, width=80))
    monkeypatch.setattr(kernels, "out", console.out)
    return text


def timed() -> list[Row]:
    """Return two formats over all M, w4a16 three times as fast as bf16."""
    found = []
    for m in TOKENS:
        size = {"m": m, "bytes": 10**7, "flops": 2 * 4096 * 4096 * m}
        found += [
            row(format="bf16", contestant="cublas", median_us=12.0 + m / 10, **size),
            row(median_us=(12.0 + m / 10) / 3, **size),
            row(format="w8a8", part="product", unit="int8", median_us=5.0 + m / 10, **size),
        ]
    return found


def test_a_board_shows_ratios_limits_and_a_sentence(screen: io.StringIO) -> None:
    rows = timed()
    kernels.boards(boards(rows), rows)
    said = screen.getvalue()
    assert "NVIDIA Test 80GB" in said
    assert "llama-3.1-8b: × bf16" in said
    assert "3.00" in said
    assert "codes" in said
    assert "w4a16 by qbench at 3.00 × bf16" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80


def test_nothing_timed_is_said(screen: io.StringIO) -> None:
    kernels.boards([], [])
    assert "Nothing was timed" in screen.getvalue()


def test_partial_layers_are_said(screen: io.StringIO) -> None:
    rows = [
        row(format="bf16", contestant="cublas"),
        row(format="bf16", contestant="cublas", layer="qkv"),
        row(),
    ]
    kernels.boards(boards(rows), rows)
    assert "not all have all layers" in " ".join(screen.getvalue().split())


def test_columns_are_thinned_out_where_the_terminal_is_narrow() -> None:
    assert kernels.shown(TOKENS, 200) == list(TOKENS)
    few = kernels.shown(TOKENS, 80)
    assert few[0] == 1
    assert len(few) < len(TOKENS)


def checked(**changes: object) -> Checked:
    told: dict[str, object] = {
        "kernel": "multiply",
        "format": "w4a16",
        "dtype": "bfloat16",
        "size": Size(3, 72, 256),
        "error": 0.002,
        "bound": 0.008,
        "written": True,
        "exact": True,
        "repeats": True,
    }
    return Checked(**(told | changes))  # type: ignore[arg-type]


def test_checks_show_their_worst_size_and_what_failed(screen: io.StringIO) -> None:
    found = Checks(
        where="a GPU",
        seed=7,
        checks=(
            checked(),
            checked(error=0.004),
            checked(format="w2a16", error=None, written=False),
            checked(format="w8a16", error=None, failure="boom"),
            checked(format="w8a16", error=None, failure="boom", size=Size(1, 64, 128)),
            checked(unsupported=True, failure="no such groups", error=None),
        ),
    )
    kernels.checks(found)
    said = " ".join(screen.getvalue().split())
    assert "seed 7" in said
    assert "4.0e-03" in said
    assert "left memory unwritten or gave NaN" in said
    assert "✗ multiply w8a16, bfloat16, 3x72x256 and 1 more of multiply w8a16: boom" in said
    assert "3 of 5 checks failed (multiply); 1 were refused with a reason." in said


def test_all_passed_is_said(screen: io.StringIO) -> None:
    kernels.checks(Checks(where="here", seed=1, checks=(checked(),)))
    assert "All 1 checks passed." in screen.getvalue()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"error": None}, "further from float64"),
        ({"error": float("nan")}, "further from float64"),
        ({"error": 0.01}, "further from float64"),
        ({"exact": False}, "one-hot"),
        ({"repeats": False}, "second time"),
        ({"failure": "boom", "error": None}, "boom"),
    ],
)
def test_what_is_wrong_is_said_and_nan_never_passes(changes: dict[str, object], said: str) -> None:
    one = checked(**changes)
    assert not one.passed
    assert said in one.wrong


def test_kernels_are_listed_with_the_gpus_that_run_them(screen: io.StringIO) -> None:
    kernels.listed(KERNELS)
    said = screen.getvalue()
    assert "multiply_quantized" in said
    assert "Hopper" in said


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_roofline_is_drawn(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"roof.{suffix}"
    drawn("roofline", boards(timed())[0], str(file))
    assert file.stat().st_size > 5000
    if suffix == "svg":
        assert "operations per byte" in file.read_text()


def test_one_line_per_format_is_drawn_from_16_bit_inputs() -> None:
    rows = [*timed(), *(row(contestant="marlin", m=m) for m in TOKENS)]
    names = [(line.format, line.contestant) for line in series(boards(rows)[0].lines)]
    assert names == [("bf16", "cublas"), ("w4a16", "qbench")]
