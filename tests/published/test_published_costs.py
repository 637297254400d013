"""The cost-of-pass paper's recorded aggregates (arXiv 2504.13359)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from qbench.benchmarks.analysis.economics.costofpass import ratio_of_means
from qbench.service.pricebook import read_prices

SUITES = {"TwoDigitAddition": "two-digit-addition", "GSM8K": "gsm8k", "BBQ": "bbq"}


@pytest.fixture(scope="module")
def rows(published: Path) -> list[dict[str, str]]:
    with (published / "cost-of-pass" / "cost_of_pass_aggregates.csv").open() as file:
        return list(csv.DictReader(file))


def test_mean_cost_and_ratio_of_means_of_all_thirty_rows_are_exact(
    rows: list[dict[str, str]],
) -> None:
    assert len(rows) == 30
    for row in rows:
        prompt, completion = (
            float(row[f"mean_{kind}_tokens"]) * float(row[f"usd_per_1M_{kind}"]) / 1e6
            for kind in ("prompt", "completion")
        )
        cost, rate = prompt + completion, int(row["correct"]) / int(row["attempts"])
        assert cost == pytest.approx(float(row["mean_cost_usd_per_attempt"]), rel=1e-12), row
        ratio = ratio_of_means(np.array([cost]), np.array([rate]))
        told = float(row["ratio_of_means_cost_of_pass_usd"])
        assert ratio == pytest.approx(told, rel=1e-12), row


def test_the_published_frontier_is_above_the_ratio_of_means_by_less_than_3_per_cent(
    rows: list[dict[str, str]],
) -> None:
    """Two-digit addition, Llama-3.1-8B: 4.8e-5 per problem; a mean of ratios is no smaller."""
    (row,) = [r for r in rows if r["task"] == "TwoDigitAddition" and "8B" in r["model"]]
    ratio = float(row["ratio_of_means_cost_of_pass_usd"])
    assert ratio == pytest.approx(4.67e-5, rel=0.001)
    assert ratio <= 4.8e-5 <= 1.03 * ratio


def test_our_price_book_has_the_papers_experts(rows: list[dict[str, str]]) -> None:
    book = read_prices({})
    for row in rows:
        expert = book.expert(SUITES[row["task"]])
        assert expert is not None
        assert float(expert.dollars) == float(row["human_baseline_usd"])


def test_our_price_book_dates_every_recorded_model(rows: list[dict[str, str]]) -> None:
    book = read_prices({})
    assert all(book.release(row["model"]) for row in rows)
