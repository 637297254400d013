"""Frontiers of recorded tau-bench submissions: rows with dollars per trajectory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.analysis.frontier.aggregates import Aggregate, Standing, standings

TASKS = {"airline": 50, "retail": 114, "telecom": 114, "banking_knowledge": 97}
"""Tasks per domain: each was tried up to four times, which adds no independent task."""


def name_of(row: dict[str, Any]) -> str:
    return str(row["file"]).partition("_")[0]


@pytest.fixture(scope="module")
def rows(published: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((published / "tau2_submissions.json").read_text())
    return found


def placed(rows: list[dict[str, Any]], domain: str) -> dict[str, Standing]:
    told = [row for row in rows if row["domain"] == domain and row["cost"] is not None]
    made = [
        Aggregate(
            name=name_of(row),
            n=TASKS[domain],
            passed=row["pass_1"] / 100 * TASKS[domain],
            cost=row["cost"],
        )
        for row in told
    ]
    return {one.name: one for one in standings(made)}


@pytest.mark.parametrize("domain", TASKS)
def test_the_undominated_are_those_of_the_definition(
    rows: list[dict[str, Any]], domain: str
) -> None:
    told = [row for row in rows if row["domain"] == domain and row["cost"]]
    found = placed(rows, domain)
    for row in told:
        beaten = [
            other
            for other in told
            if other["cost"] <= row["cost"]
            and other["pass_1"] >= row["pass_1"]
            and (other["cost"] < row["cost"] or other["pass_1"] > row["pass_1"])
        ]
        one = found[name_of(row)]
        assert one.undominated == (not beaten)
        per_pass = 100 * row["cost"] / row["pass_1"]
        assert one.cost_of_pass == pytest.approx(per_pass)
        assert one.cost_of_pass_interval is not None
        assert one.cost_of_pass_interval[0] < per_pass < one.cost_of_pass_interval[1]


def test_what_is_told_as_free_is_unknown(rows: list[dict[str, Any]]) -> None:
    free = [row for row in rows if row["cost"] == 0]
    assert sorted((name_of(row), row["domain"]) for row in free) == [
        ("qwen3-max", "airline"),
        ("qwen3-max", "retail"),
        ("qwen3-max", "telecom"),
        ("raft-30b-a3b", "retail"),
    ]
    for row in free:
        one = placed(rows, row["domain"])[name_of(row)]
        assert (one.undominated, one.on_frontier, one.cost_of_pass) == (False, None, None)


def test_the_retail_frontier(rows: list[dict[str, Any]]) -> None:
    found = placed(rows, "retail")
    assert round(found["gpt-5-2"].cost_of_pass or 0, 4) == 0.0877
    members = [name for name, one in found.items() if one.undominated]
    assert sorted(members) == ["gpt-5-2", "gpt-5-2-none"]
    shares = {name: one.on_frontier for name, one in found.items() if one.on_frontier is not None}
    assert shares["gpt-5-2-none"] == 1.0
    assert 0.7 < shares["gpt-5-2"] < 1.0
    assert 0.2 < shares["gpt-5"] < 0.6, "0.002 points behind, and dearer: it may well be better"
    assert found["claude-sonnet-4-5"].dominated_by["gpt-5-2-none"] > 0.5
