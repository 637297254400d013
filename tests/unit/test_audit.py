"""Published tables, recomputed: made-up ones with known mistakes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from qbench.errors import ConfigError, NotFound
from qbench.service.reports.audit.report import Reading, audit
from qbench.service.reports.audit.values import Audit, Check
from qbench.service.reports.values import from_json, to_json


def table(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def check(found: Audit, name: str) -> Check:
    return next(one for one in found.checks if one.name == name)


AGENTS = """\
Model,Accuracy (%),Cost (USD),Cost of pass,tokens
small,50.0 %,$0.10,0.20,"1,000"
large,90.0 %,$0.90,1.00,2
wrong,80.0 %,$0.40,0.20,3
none,0.0,$0.05,–,4
"""


def test_columns_are_recognised_and_wrong_rows_named(tmp_path: Path) -> None:
    found = audit(table(tmp_path, AGENTS), Reading(n={"": 200}))
    assert found.columns == {
        "system": "Model",
        "accuracy": "Accuracy (%)",
        "cost": "Cost (USD)",
        "cost_of_pass": "Cost of pass",
    }
    assert found.ignored == ("tokens",)
    made = check(found, "cost of pass")
    assert (made.checked, [miss.name for miss in made.misses]) == (3, ["wrong"])
    assert made.misses[0].off == pytest.approx(0.2 / 0.5 - 1)
    assert "wrong" in found.finding


def test_rows_have_intervals_verdicts_and_a_frontier(tmp_path: Path) -> None:
    found = audit(table(tmp_path, AGENTS), Reading(n={"": 200}))
    small, large, wrong, none = found.rows
    assert small.accuracy == 0.5
    assert small.low is not None
    assert small.high is not None
    assert small.low < 0.5 < small.high
    assert small.cost_of_pass == pytest.approx(0.2)
    assert small.cost_of_pass_low == pytest.approx(0.1 / small.high)
    assert none.cost_of_pass == math.inf
    assert none.cost_of_pass_low is not None
    assert none.cost_of_pass_low < math.inf
    assert [row.verdict.kind for row in found.rows if row.verdict] == [
        "baseline", "better", "better", "worse",
    ]  # fmt: skip
    assert [row.undominated for row in found.rows] == [True, True, True, True]
    assert small.on_frontier == 1.0
    assert large.on_frontier is not None
    assert large.on_frontier > 0.9
    assert wrong.on_frontier is not None
    assert any("unpaired" in note for note in found.notes)
    assert from_json(to_json(found), Audit) == found


def test_without_n_nothing_is_claimed(tmp_path: Path) -> None:
    found = audit(table(tmp_path, AGENTS), Reading())
    for row in found.rows:
        assert (row.n, row.low, row.verdict, row.on_frontier) == (None, None, None, None)
    assert found.baselines == {}
    assert "n is unknown" in found.notes[0]


def test_zero_dollars_are_unknown_and_copies_are_told(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"model": "a", "domain": "x", "pass_1": 81.25, "pass_2": 70.5, "pass_3": 61.1, "cost": 0.1},
        {"model": "b", "domain": "x", "pass_1": 81.25, "pass_2": 70.5, "pass_3": 61.1, "cost": 0.0},
        {
            "model": "c",
            "domain": "y",
            "pass_1": 81.25,
            "pass_2": 70.5,
            "pass_3": 61.1,
            "cost": None,
        },
        {"model": "c", "domain": "y", "pass_1": 60.0, "pass_2": 61.0, "pass_3": None, "cost": 0.3},
    ]
    path = table(tmp_path, json.dumps(rows), "table.json")
    found = audit(path, Reading(n={"": 40}, trials=4))
    assert [miss.name for miss in check(found, "unpriced zero").misses] == ["x b"]
    assert [miss.name for miss in check(found, "copied numbers").misses] == ["x b"]
    assert [miss.name for miss in check(found, "pass^k").misses] == ["y c #2"]
    assert [row.system for row in found.rows] == ["a", "b", "c", "c #2"]
    b = found.rows[1]
    assert (b.cost, b.cost_of_pass, b.on_frontier, b.undominated) == (None, None, None, False)
    assert b.n is not None
    assert 40 < b.n < 160
    only = audit(path, Reading(n={"": 40}, group="y"))
    assert {row.group for row in only.rows} == {"y"}


def test_errors_recovery_queries_and_reductions_are_recomputed(tmp_path: Path) -> None:
    text = """\
gpu,format,use_case,acc,stderr,n,recovery,latency,n_gpus,qpd,cost_reduction
A,bf16,chat,0.70,0.0205,500,,3.0,1,1500,
A,bf16,code,0.60,0.05,500,,6.0,1,750,
A,int4,chat,0.63,0.0216,500,90.0,1.5,1,3000,1.75
A,int4,code,0.30,0.0205,500,90.0,4.0,1,1125,1.75
"""
    reading = Reading(
        columns={"system": "format", "group": "gpu"}, prices={"A": 0.8}, baseline="BF16"
    )
    found = audit(table(tmp_path, text), reading)
    assert [miss.row for miss in check(found, "standard error").misses] == [2]
    assert [miss.row for miss in check(found, "recovery").misses] == [4]
    assert check(found, "queries per dollar").checked == 4
    assert not check(found, "queries per dollar").misses
    assert not check(found, "cost reduction").misses
    assert check(found, "cost reduction").checked == 1
    verdicts = [row.verdict.kind for row in found.rows if row.verdict]
    assert verdicts == ["baseline", "baseline", "worse", "worse"]


def test_errors_are_printed_as_accuracies_are(tmp_path: Path) -> None:
    # gsm8k, n = 1319: 94.16 +- .65 and 86.28 +- .95, in points below 1.5
    text = "gpu,acc,stderr,n\na,94.16,.65,1319\nb,86.28,.95,1319\nc,86.28,.65,1319\n"
    found = audit(table(tmp_path, text), Reading(columns={"system": "gpu"}))
    assert [miss.row for miss in check(found, "standard error").misses] == [3]
    shares = text.replace("94.16,.65", ".9416,.0065").replace("86.28,.95", ".8628,.0095")
    again = audit(table(tmp_path, shares.replace("86.28,.65", ".8628,.0065")), Reading())
    assert [miss.row for miss in check(again, "standard error").misses] == [3]


def test_standard_errors_that_harnesses_print(tmp_path: Path) -> None:
    """lm-eval on gsm8k, n = 1319, of one model in MXFP4: all three errors are right."""
    text = "model,acc,stderr,n\ndense,.7521,.0119,1319\nrtn,.6785,.0129,1319\n"
    found = audit(table(tmp_path, f"{text}gptq,.7301,.0122,1319\n"), Reading())
    assert (check(found, "standard error").checked, check(found, "standard error").misses) == (
        3,
        (),
    )
    verdicts = [row.verdict.kind for row in found.rows if row.verdict]
    assert verdicts == ["baseline", "worse", "inconclusive"]


def test_verdicts_on_recorded_recipes(tmp_path: Path) -> None:
    """NVFP4 recipes, gsm8k_platinum, n = 1209, mean of three seeds: one of them is worse."""
    rows = {"bf16": 0.9518, "gptq+awq": 0.9581, "gptq": 0.9523, "rtn": 0.9377, "smooth": 0.8781}
    lines = [f"{name},{value},1209,3" for name, value in rows.items()]
    text = "\n".join(["setting,accuracy,n,trials", *lines])
    found = audit(table(tmp_path, text), Reading(margin=0.03))
    kinds = {row.system: row.verdict.kind for row in found.rows if row.verdict}
    assert kinds.pop("bf16") == "baseline"
    assert kinds.pop("smooth") == "worse"
    assert set(kinds.values()) <= {"equivalent", "inconclusive"}
    assert kinds["gptq"] == "equivalent"


def test_passes_alone_are_an_accuracy(tmp_path: Path) -> None:
    text = "model,correct,n_items,n_runs\na,96,12,10\nb,120,12,10\n"
    found = audit(table(tmp_path, text), Reading())
    assert [row.accuracy for row in found.rows] == [0.8, 1.0]
    assert [row.n for row in found.rows] == [12, 12]  # trials of a task may always agree


@pytest.mark.parametrize(
    ("text", "reading", "said"),
    [
        ("", Reading(), "has no row"),
        ("model,colour\na,red\n", Reading(), "says nothing about results"),
        ("model,acc\na,many\n", Reading(), "Row 1 has 'many' as its accuracy"),
        ("model,acc\na,-3\n", Reading(), "Row 1 has '-3'"),
        ("model,acc\na,3\n", Reading(columns={"accuracy": "ac"}), "column named 'ac'"),
        ("model,acc\na,3\n", Reading(columns={"acuracy": "acc"}), "meaning of a column"),
        ("model,acc\na,3\n", Reading(baseline="b"), "system named 'b'"),
        ("model,acc\na,3\n", Reading(group="g"), "group named 'g'"),
        ("model,acc\na,3\n", Reading(n={"g": 3}), "group named 'g'"),
    ],
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path, text: str, reading: Reading, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        audit(table(tmp_path, text), reading)


def test_files_that_are_no_table(tmp_path: Path) -> None:
    for name, text in (("t.json", "{"), ("u.json", '{"a": 1}'), ("v.json", "[1]")):
        with pytest.raises(ConfigError, match="Cannot read"):
            audit(table(tmp_path, text, name), Reading())
    with pytest.raises(ConfigError, match="Cannot read"):
        audit(tmp_path / "absent.csv", Reading())
    with pytest.raises(NotFound, match="accuracy"):
        audit(table(tmp_path, "model,acc\na,3\n"), Reading(columns={"acuracy": "acc"}))
