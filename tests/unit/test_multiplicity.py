"""Adjusted p values against worked numbers, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from qbench.benchmarks.analysis.comparison.multiplicity import adjusted, discoveries, holm

BENJAMINI = (
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
)  # fmt: skip
"""Benjamini and Hochberg (1995), section 3.2: fifteen comparisons of a myocardial infarction."""


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_example_of_benjamini_and_hochberg() -> None:
    """They reject four at 5 % where Bonferroni, and Holm, reject three."""
    assert (discoveries(np.array(BENJAMINI)) <= 0.05).sum() == 4
    assert sum(p <= 0.05 for p in holm(BENJAMINI)) == 3
    assert discoveries(np.array(BENJAMINI))[3] == pytest.approx(0.0095 * 15 / 4)


def test_either_correction_is_asked_for_by_name() -> None:
    assert adjusted(BENJAMINI) == holm(BENJAMINI)
    assert adjusted(BENJAMINI, "bh") == discoveries(np.array(BENJAMINI)).tolist()
    assert adjusted([], "bh") == []


def test_holm_is_never_milder_than_the_false_discovery_rate() -> None:
    ps = np.random.default_rng(2).random(40) ** 3
    assert (np.array(holm(ps.tolist())) >= discoveries(ps) - 1e-12).all()


def test_any_false_finding_among_many_stays_below_five_percent() -> None:
    """2,000 families of 10 tests, all of them null: 5 % plus three standard errors of 0.49 %."""
    rng = np.random.default_rng(11)
    wrong = sum(min(holm(rng.random(10).tolist())) < 0.05 for _ in range(2_000))
    assert wrong / 2_000 < 0.05 + 3 * 0.0049


def test_the_share_of_false_findings_stays_below_five_percent() -> None:
    """2,000 families of 20 tests, 14 of them null: at most 0.7 x 5 % are expected to be false."""
    rng = np.random.default_rng(12)
    shares = []
    for _ in range(2_000):
        ps = rng.random(20)
        ps[14:] *= 1e-3
        found = discoveries(ps) < 0.05
        shares.append(found[:14].sum() / max(1, found.sum()))
    assert np.mean(shares) == pytest.approx(0.7 * 0.05, abs=0.006)
