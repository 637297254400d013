from __future__ import annotations

import io
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from qbench.cli.render import console, tables
from qbench.service.reports.values import (
    Estimate,
    Leaderboard,
    Row,
    Validity,
    Verdict,
)

Drawn = Callable[[int, Callable[[], None]], str]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Return what is printed on a terminal of so many columns, without colour."""

    def draw(width: int, act: Callable[[], None]) -> str:
        file = io.StringIO()
        out = Console(file=file, width=width, highlight=False)
        monkeypatch.setattr(console, "out", out)
        monkeypatch.setattr(tables, "out", out)
        act()
        return file.getvalue()

    return draw


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def validity(**changes: Any) -> Validity:
    values: dict[str, Any] = {
        "planned": 1240,
        "scored": 1231,
        "errored": 3,
        "unscored": 6,
        "truncated": 17,
        "parse_failures": 211,
        "unpriced": 0,
        "cached_share": 0.37,
        "retries": 4,
    }
    return Validity(**(values | changes))


def row(fmt: str = "fp8", **changes: Any) -> Row:
    values: dict[str, Any] = {
        "system_id": fmt,
        "label": f"SmolLM2-135M-Instruct {fmt}",
        "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "format": fmt,
        "effective": fmt,
        "path": "native",
        "engine": "embedded",
        "hardware": "cpu-2core",
        "passed": 287,
        "pass_rate": estimate(0.233, 0.041),
        "interval": "cluster-robust",
        "verdict": Verdict(kind="worse", difference=estimate(-0.083, 0.051), p=0.0021, samples=240),
        "prompt_tokens": 1843.2,
        "completion_tokens": 96.4,
        "seconds": 12.34,
        "cost": estimate(0.0000523, 0.0000021),
        "cost_of_pass": Estimate(value=0.000224, low=0.00019, high=0.00027),
        "cost_of_pass_per_problem": 0.0002,
        "solved_share": 0.4,
        "on_frontier": 0.62,
        "validity": validity(),
        "components": {},
    }
    return Row(**(values | changes))


BASELINE = row("bf16", verdict=Verdict(kind="baseline"))
EMULATED = row("w4a16", effective="w4a16 group 64", path="emulated")
FALLBACK = row(
    "w8a8",
    path="weight-only fallback",
    verdict=Verdict(kind="equivalent", difference=estimate(0.002, 0.03), p=0.9, samples=240),
)
BROKEN = row(
    "fp16",
    pass_rate=None,
    passed=0,
    cost=None,
    cost_of_pass=None,
    on_frontier=None,
    seconds=None,
    verdict=Verdict(kind="invalid"),
    validity=validity(
        scored=0, errored=1240, unpriced=1240, cached_share=None, invalid="nothing was scored"
    ),
)


def board(*rows: Row, **changes: Any) -> Leaderboard:
    values: dict[str, Any] = {
        "run_id": "m868r5ce0pqgkw3v",
        "status": "done",
        "suite": "mcp",
        "suite_version": "1",
        "tasks": ("calendar",),
        "levels": (1, 2),
        "samples": 240,
        "epochs": 5,
        "seed": 0,
        "margin": 0.05,
        "basis": "saturated",
        "paid": 0.0423,
        "made_at": datetime(2026, 3, 1, tzinfo=UTC),
        "rows": rows or (BASELINE, EMULATED, FALLBACK, BROKEN),
        "finding": "bf16 passes 23.3 % [19.2, 27.4]; w4a16 is worse.",
        "notes": ("Weights of [b]odd[/b]: GGUF.",),
    }
    return Leaderboard(**(values | changes))


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_leaderboard_fits_the_terminal_and_loses_nothing(drawn: Drawn, width: int) -> None:
    text = drawn(width, lambda: tables.leaderboard(board()))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for shown in (
        "287/1,231",
        "23.3",
        "± 4.1",
        "-8.3 ± 5.1",
        "0.0021",
        "worse",
        "equivalent",
        "1,843",
        "12.3 s",
        "52.3 ± 2.10",
        "[190, 270]",
        "62",
        "1,231/1,240",
        "211",
        "37 %",
        "$0.0423 paid",
    ):
        assert shown in text


def test_numbers_are_whole_even_on_a_narrow_terminal(drawn: Drawn) -> None:
    text = drawn(40, lambda: tables.leaderboard(board()))
    assert "…" not in text
    assert "1,231/1,240" in text


def test_the_finding_comes_last(drawn: Drawn) -> None:
    found = board()
    text = drawn(100, lambda: tables.leaderboard(found))
    assert text.splitlines()[-1] == found.finding


def test_what_really_ran_is_marked(drawn: Drawn) -> None:
    text = drawn(100, lambda: tables.leaderboard(board()))
    assert "w4a16† was served as w4a16 group 64." in text
    assert "w8a8‡" in text
    assert "bf16†" not in text


def test_what_a_note_says_is_not_said_twice(drawn: Drawn) -> None:
    found = board(EMULATED, notes=("† emulated: w4a16 group 64 (reference).",))
    text = drawn(100, lambda: tables.leaderboard(found))
    assert "was served as" not in text


def test_an_invalid_row_says_why_and_shows_no_number(drawn: Drawn) -> None:
    text = drawn(100, lambda: tables.leaderboard(board(BROKEN)))
    assert "INVALID: fp16: nothing was scored" in text
    assert "unpriced" in text
    assert "$0" not in text.replace("$0.0423", "")
    assert "nan" not in text.lower()


def test_names_and_notes_are_never_markup(drawn: Drawn) -> None:
    odd = row("[red]x[/nothing]", verdict=Verdict(kind="baseline"))
    text = drawn(100, lambda: tables.leaderboard(board(odd, finding="[/b] is odd.")))
    assert "[red]x[/nothing]" in text
    assert "[b]odd[/b]" in text
    assert "[/b] is odd." in text


def test_systems_are_named_with_their_model_where_there_are_several() -> None:
    other = row("bf16", model="Qwen/Qwen3-0.6B")
    assert tables.name_of(other, (other,)) == "bf16"
    assert tables.name_of(other, (other, BASELINE)) == "Qwen3-0.6B bf16"


@pytest.mark.parametrize(
    ("amount", "scale", "text"),
    [
        (0.0000523, 1e-6, "52.3"),
        (0.0000523, 1e-3, "0.0523"),
        (3.0, 1e-6, "3,000,000"),
        (0.0, 1.0, "0"),
        (math.inf, 1.0, "∞"),
    ],
)
def test_a_small_price_keeps_three_digits_in_any_unit(
    amount: float, scale: float, text: str
) -> None:
    assert tables.scaled(amount, scale) == text


def test_a_column_has_the_largest_unit_that_suits_its_middle() -> None:
    assert tables.unit_for([5e-5, 6e-5, math.inf]) == (1e-6, "µ$")
    assert tables.unit_for([]) == (1.0, "$")
    assert tables.unit_for([2.0]) == (1.0, "$")


def test_an_unbounded_cost_of_pass_is_infinite_not_large(drawn: Drawn) -> None:
    never = Estimate(value=math.inf, low=0.002, high=math.inf)
    text = drawn(80, lambda: tables.leaderboard(board(row("bf16", cost_of_pass=never))))
    assert "∞" in text
    assert "inf " not in text


def test_a_run_with_an_unknown_cost_names_no_sum(drawn: Drawn) -> None:
    text = drawn(80, lambda: tables.leaderboard(board(paid=None)))
    assert "cost unknown in part" in " ".join(text.split())


def test_cells_of_plain_tables_are_never_markup(drawn: Drawn) -> None:
    rows = [("m868r5ce0pqgkw3v", "[/INST] was never closed")]
    text = drawn(80, lambda: tables.rows_of(("Run", "Why"), rows))
    assert "[/INST] was never closed" in text


def test_unpriced_facts_are_said(drawn: Drawn) -> None:
    facts = {"at_most_dollars": {"a": None, "b": 0.5}, "nothing": {}}
    text = drawn(80, lambda: tables.facts(facts, title="Plan"))
    assert "a: unpriced" in text
    assert "b: $0.50" in text
    assert "nothing" not in text
