from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from qbench.cli.render import console, frontiers
from qbench.service.reports.frontier.values import (
    AtAccuracy,
    AtBudget,
    Axis,
    Frontier,
    FrontierGroup,
    FrontierStep,
    Knee,
    Point,
    Without,
)
from qbench.service.reports.values import Estimate

Drawn = Callable[[Frontier], str]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Return what is printed on a terminal of 80 columns, without colour."""

    def draw(found: Frontier) -> str:
        file = io.StringIO()
        out = Console(file=file, width=80, highlight=False)
        monkeypatch.setattr(console, "out", out)
        monkeypatch.setattr(frontiers, "out", out)
        frontiers.frontier(found)
        return file.getvalue()

    return draw


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


ACCURACY = Axis(name="accuracy", unit="share passed", about="", more=True, ideal=1.0, reference=0.0)
COST = Axis(name="cost", unit="$/attempt", about="", more=False, ideal=0.0, reference=0.01)
BITS = Axis(name="bits", unit="bits/weight", about="", more=False, ideal=0.0, reference=17.6)


def point(label: str = "m bf16", **changes: Any) -> Point:
    values: dict[str, Any] = {
        "system_id": label,
        "label": label,
        "path": "emulated",
        "pass_rate": estimate(0.5, 0.1),
        "cost": estimate(0.002, 0.0001),
        "cost_of_pass": estimate(0.004, 0.001),
        "undominated": True,
        "on_frontier": 0.93,
        "dominated_by": {},
        "at": {"accuracy": estimate(0.5, 0.1), "cost": estimate(0.002, 0.0001)},
        "knee": 0.4,
        "contribution": estimate(0.1, 0.02),
    }
    return Point(**(values | changes))


def frontier(*points: Point, **changes: Any) -> Frontier:
    values: dict[str, Any] = {
        "run_id": "r",
        "basis": "saturated",
        "points": points or (point(),),
        "left_out": {"m fp8": "unpriced"},
        "finding": "m bf16 is alone.",
        "axes": (ACCURACY, COST),
        "families": 40,
        "resamples": 10_000,
    }
    return Frontier(**(values | changes))


def test_a_frontier_names_who_is_left_out(drawn: Drawn) -> None:
    text = drawn(frontier())
    assert "m bf16†" in text
    assert "left out: m fp8 (unpriced)" in text
    assert "2.00 ± 0.100" in text
    assert "10,000 resamples of 40 families" in " ".join(text.split())
    assert text.rstrip().endswith("m bf16 is alone.")


def test_who_beats_whom_is_a_table_that_fits(drawn: Drawn) -> None:
    rival = point("Llama-3.1-8B-Instruct w4a16-awq", dominated_by={"m bf16": 0.9996}, knee=None)
    text = drawn(frontier(point(), rival))
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert ">99" in text
    assert "nobody else commands" in " ".join(text.split())
    many = drawn(frontier(*(point(f"m f{n}") for n in range(12))))
    assert "probability of beating" in " ".join(text.split())
    assert "probability of beating" not in " ".join(many.split())
    assert "12 m f11" in many


def test_numbers_that_were_not_measured_are_marked(drawn: Drawn) -> None:
    at = {"accuracy": estimate(0.5, 0.1), "bits": estimate(4.25, 0)}
    one = point(at=at, sources={"bits": "documented"}, on_frontier=None)
    text = drawn(frontier(one, axes=(ACCURACY, BITS)))
    assert "4.25*" in text
    assert "* documented" in text
    assert "–" in text


def test_what_was_asked_besides_is_shown(drawn: Drawn) -> None:
    budget = AtBudget(
        axis="cost",
        budget=0.002,
        label="m bf16",
        accuracy=estimate(0.5, 0.1),
        spend=estimate(0.002, 0.0001),
        affordable=0.5,
        best={"m bf16": 0.6, "m fp8": 0.4},
    )
    wanted = AtAccuracy(
        axis="cost",
        accuracy=0.4,
        label="m bf16",
        spend=estimate(0.002, 0.0001),
        rate=estimate(0.5, 0.1),
        reaches=0.97,
        safe="",
        safe_spend=None,
        best={"m w4": 0.75},
    )
    lost = FrontierStep(
        budget="m bf16",
        spend=0.002,
        best=estimate(0.5, 0.1),
        without=estimate(0.2, 0.1),
        lost=estimate(0.3, 0.05),
    )
    without = Without(
        pattern="m*",
        systems=("m bf16",),
        hypervolume=estimate(0.2, 0.1),
        lost=estimate(0.3, 0.1),
        share=estimate(0.6, 0.1),
        steps=(lost,),
    )
    group = FrontierGroup(
        name="level [1]",
        samples=40,
        families=40,
        axes=(ACCURACY, COST),
        points=(point(),),
        left_out={},
        hypervolume=estimate(0.3, 0.1),
        knee=Knee(label="m bf16", probability=0.4),
        finding="",
    )
    text = drawn(
        frontier(at_budget=budget, at_accuracy=wanted, without=without, by="level", groups=(group,))
    )
    for words in ("Best within", "60", "75", "30.0 ± 5.0", "level [1]", "m bf16† (93)", "m*"):
        assert words in text
