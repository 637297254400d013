"""Public tables of results, audited: what agrees, and every row that does not."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from qbench.service.reports.audit.report import Reading, audit
from qbench.service.reports.audit.values import Audit, AuditRow, Check

TAU = {"retail": 114.0, "airline": 50.0, "telecom": 114.0, "banking_knowledge": 97.0}


def check(found: Audit, name: str) -> Check:
    return next(one for one in found.checks if one.name == name)


def row(found: Audit, group: str, system: str) -> AuditRow:
    return next(one for one in found.rows if (one.group, one.system) == (group, system))


@pytest.fixture(scope="session")
def tau(published: Path) -> Audit:
    reading = Reading(columns={"system": "model+effort"}, n=TAU, trials=4)
    return audit(published / "tau2_submissions.json", reading)


def test_efficient_agents_has_three_inconsistent_rows(published: Path) -> None:
    found = audit(published / "efficient-agents/gaia_tables.csv", Reading(n={"": 165}))
    made = check(found, "cost of pass")
    assert (made.checked, len(made.misses)) == (18, 3)
    assert [miss.name for miss in made.misses] == [
        "backbone GPT-4.1", "backbone Qwen3-235B-A22B", "backbone QwQ-32B",
    ]  # fmt: skip
    assert [miss.name for miss in check(found, "whole attempts").misses] == ["tools Browser,Simple"]
    final = row(found, "framework", "Efficient Agents")
    assert final.cost_of_pass == pytest.approx(0.553, abs=5e-4)
    assert final.verdict is not None
    assert final.verdict.kind == "inconclusive"  # against OWL, on 165 questions each


def test_queries_per_dollar_reproduce(published: Path) -> None:
    reading = Reading(
        columns={"group": "model_size+gpu", "system": "format", "case": "use_case"},
        prices={"A6000": 0.80, "A100": 1.79, "H100": 3.29, "H100x2": 3.19},
        baseline="BF16",
    )
    found = audit(published / "bf16-or-death/redhat_single_stream.csv", reading)
    queries = check(found, "queries per dollar")
    assert (queries.checked, len(queries.misses)) == (288, 0)
    reductions = check(found, "cost reduction")
    assert (reductions.checked, len(reductions.misses)) == (24, 0)


def test_one_price_for_every_h100_does_not_reproduce(published: Path) -> None:
    """The price of a GPU depends on how many are rented: with one price 13 rows are off."""
    reading = Reading(
        columns={"group": "model_size+gpu", "system": "format", "case": "use_case"},
        prices={"A6000": 0.80, "A100": 1.79, "H100": 3.29},
        baseline="BF16",
    )
    found = audit(published / "bf16-or-death/redhat_single_stream.csv", reading)
    misses = check(found, "queries per dollar").misses
    assert len(misses) == 13
    assert {miss.name.split()[0] for miss in misses} == {"70B"}


def test_tau_bench_rows_and_their_mistakes(tau: Audit) -> None:
    assert len(tau.rows) == 151
    assert sum(one.cost is not None for one in tau.rows) == 24
    high = row(tau, "retail", "GPT-5.2 high")
    assert high.accuracy == pytest.approx(0.8158)
    assert high.cost == pytest.approx(0.07156)
    assert high.cost_of_pass == pytest.approx(0.0877, abs=5e-5)
    (copied,) = check(tau, "copied numbers").misses
    assert copied.name == "telecom Qwen3-Max-Thinking-Preview"
    assert "GPT-5," in copied.said
    assert len(check(tau, "unpriced zero").misses) == 4
    (impossible,) = check(tau, "pass^k").misses
    assert impossible.name == "banking_knowledge GLM-5 enabled"


def test_tau_bench_frontier_and_verdicts(tau: Audit) -> None:
    retail = [one for one in tau.rows if one.group == "retail"]
    assert [one.system for one in retail if one.undominated] == ["GPT-5.2 none", "GPT-5.2 high"]
    for one in tau.rows:
        assert (one.cost is None) == (one.on_frontier is None)
        assert one.low is not None
        assert one.high is not None
        assert one.accuracy is not None
        assert one.low <= one.accuracy <= one.high
        if one.undominated:
            assert one.on_frontier is not None
            assert one.on_frontier > 0.4


def test_cost_of_pass_aggregates_reproduce(published: Path) -> None:
    found = audit(published / "cost-of-pass/cost_of_pass_aggregates.csv", Reading())
    made = check(found, "cost of pass")
    assert (made.checked, len(made.misses)) == (30, 0)
    assert not check(found, "whole attempts").misses
    assert [one.n for one in found.rows] == [128.0] * 30


def test_signal_to_noise_table_says_what_the_paper_says(published: Path) -> None:
    """Larger models rank tasks with less noise; a task's SNR goes with its decision accuracy."""
    with (published / "signal-noise/readme_table.csv").open() as file:
        rows = {one["task"]: one for one in csv.DictReader(file)}
    assert len(rows) == 24
    snr = {task: float(one["snr_13B"]) for task, one in rows.items()}
    assert (snr["hellaswag"], snr["arc_easy"], snr["mmlu"]) == (242.1, 169.8, 106.8)
    assert max(snr, key=lambda task: snr[task]) == "hellaswag"
    assert float(rows["mbpp"]["snr_1B"]) == 2.7
