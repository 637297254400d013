"""Our hypergeometric law is scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qbench.benchmarks.analysis.hypergeometric import above, pmf


@st.composite
def laws(draw: st.DrawFn) -> tuple[int, int, int]:
    tries = draw(st.integers(1, 400))
    return tries, draw(st.integers(0, tries)), draw(st.integers(0, tries))


@given(law=laws())
def test_it_is_that_of_scipy(law: tuple[int, int, int]) -> None:
    counts = np.arange(-1, law[0] + 2)
    theirs = stats.hypergeom(*law)
    assert pmf(counts, *law) == pytest.approx(theirs.pmf(counts), rel=1e-9, abs=1e-13)
    assert above(counts, *law) == pytest.approx(theirs.sf(counts), rel=1e-9, abs=1e-12)


def test_arguments_broadcast() -> None:
    found = above(np.array([0, 1]), np.array([[4], [6]]), 2, 2)
    assert found.shape == (2, 2)
    assert found[0, 0] == pytest.approx(1 - 1 / 6)
