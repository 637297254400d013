"""tau2-bench submissions: recorded pass^1 to pass^4 against what moments of rates must obey."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qbench.benchmarks.analysis.scaling.difficulty import rates_of
from qbench.benchmarks.analysis.sums import Floats

KS = (1, 2, 3, 4)
ROUNDED = 0.0015
"""Three numbers rounded to a tenth of a point, one of them twice."""


@pytest.fixture(scope="module")
def submissions(published: Path) -> list[dict[str, Any]]:
    rows = json.loads((published / "tau2_submissions.json").read_text())
    return [row for row in rows if all(row[f"pass_{k}"] is not None for k in KS)]


def reliabilities(rows: list[dict[str, Any]]) -> Floats:
    return np.array([[row[f"pass_{k}"] / 100 for k in KS] for row in rows])


def test_reliability_falls_ever_slower_but_in_one_row(submissions: list[dict[str, Any]]) -> None:
    """pass^k is a mean of powers, so it is convex in k. One submission's is not, by one task."""
    seen = reliabilities(submissions)
    assert len(seen) == 74
    assert (np.diff(seen, axis=1) <= 0).all()
    assert (seen[:, 1] >= seen[:, 0] ** 2 - ROUNDED).all()
    least = np.diff(seen, n=2, axis=1).min(axis=1)
    wrong = [submissions[place] for place in np.flatnonzero(least < -ROUNDED)]
    assert [(row["model"], row["domain"]) for row in wrong] == [("GLM-5", "banking_knowledge")]


def test_a_beta_law_from_two_moments_tells_the_next_two(submissions: list[dict[str, Any]]) -> None:
    seen = reliabilities(submissions)
    law = rates_of(seen[:, 0], seen[:, 1])
    told = np.stack([(law**k).mean(axis=1) for k in KS], axis=1)
    error = told - seen
    root = np.sqrt((error**2).mean(axis=0))
    assert root[:2] == pytest.approx([0, 0], abs=5e-4)
    assert root[2:] == pytest.approx([0.008, 0.0183], abs=5e-4)
    assert np.abs(error).max() < 0.045
    alike = seen[:, [0]] ** np.array(KS) - seen  # if all tasks were equally hard
    assert np.abs(alike).mean(axis=0)[2:] == pytest.approx([0.140, 0.163], abs=1e-3)
