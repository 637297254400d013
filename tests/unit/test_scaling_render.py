"""Test-time scaling in a terminal, from values made up."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from qbench.cli.render import console
from qbench.cli.render import scaling as tables
from qbench.service.reports.scaling.values import (
    Choice,
    Depth,
    Plan,
    Saturation,
    Scaling,
    ScalingAsked,
    SystemScaling,
)
from qbench.service.reports.values import Estimate


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def depth(k: int, share: float) -> Depth:
    return Depth(
        k=k,
        coverage=estimate(share, 0.02),
        reliability=estimate(share / k, 0.02),
        vote=estimate(share, 0.02),
        cost=None,
        cost_at_once=None,
    )


def report(unit: str = "$") -> Scaling:
    fit = Saturation(
        most=estimate(0.9, 0.05),
        hit=estimate(0.1, 0.02),
        point=Estimate(value=28, low=21, high=math.inf),
        seen=None,
        gain=0.004,
        error=0.002,
        lower_bound=True,
        cautions=("the curve ends early",),
    )
    system = SystemScaling(
        system_id="a",
        label="a bf16",
        attempts=512,
        samples=1240,
        left_out=3,
        greedy=False,
        depths=tuple(depth(2**bit, 0.3 + 0.06 * bit) for bit in range(10)),
        saturation=fit,
    )
    plan = Plan(
        label="a bf16",
        strategy="vote",
        group="within reach",
        k=3,
        cost=estimate(0.0000234, 0.0000011),
        passed=estimate(0.5, 0.04),
        undominated=True,
        on_frontier=0.62,
    )
    return Scaling(
        run_id="r",
        basis="saturated",
        asked=ScalingAsked(budgets=(0.001,)),
        unit=unit,
        systems=(system,),
        plans=(plan,),
        choices=(Choice(budget=0.001, group="upper bound", plan=plan, chance=0.7),),
        left_out={"b fp8": "nothing was scored"},
        notes=("a note",),
        finding="It is so.",
    )


def lines(found: Scaling, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    file = io.StringIO()
    out = Console(file=file, width=80, highlight=False)
    monkeypatch.setattr(console, "out", out)
    monkeypatch.setattr(tables, "out", out)
    tables.scaling(found)
    return file.getvalue().splitlines()


def test_five_k_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lines(report(), monkeypatch)
    heads = next(line for line in found if line.startswith("Coverage %"))
    told = [word for word in heads.split() if word.isdigit()]
    assert told == ["1", "4", "16", "128", "512"]
    assert max(map(len, found)) <= 80
    assert tables.shown([1, 2, 4]) == [1, 2, 4]


def test_what_is_unknown_infinite_or_bounded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(lines(report(), monkeypatch))
    assert "28 [21, ∞]" in text
    assert "> 511" in text
    assert "≥ 90.0 ± 5.0" in text
    assert "· the curve ends early: a bf16." in text
    assert "vote ×3" in text
    assert "23.4 ± 1.1" in text
    assert "≤ 50.0 ± 4.0" in text
    assert "$0.00100" in text
    assert "left out: b fp8 (nothing was scored)" in text
    assert text.endswith("It is so.")


def test_another_unit_of_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(lines(report("TeFLOP"), monkeypatch))
    assert "TeFLOP/sample" in text
    assert "$" not in text
