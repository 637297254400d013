from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qbench.benchmarks.analysis.fidelity import (
    Distributions,
    agreement,
    divergence,
    divergences,
    perplexity,
    perplexity_ratio,
    same_text,
)
from qbench.benchmarks.probe import probe_text

VOCABULARY = 12
Floats = NDArray[np.float64]


def told(full: Floats, top: int, token: NDArray[np.int32] | None = None) -> Distributions:
    """Tell the ``top`` most likely of (N, V) distributions, as an endpoint does."""
    order = np.argsort(-full, axis=1, kind="stable")[:, :top].astype(np.int32)
    token = np.zeros(len(full), dtype=np.int32) if token is None else token
    rows = np.arange(len(full))
    return Distributions(
        token=token,
        passage=(rows // 40).astype(np.int32),
        logprob=np.log(full[rows, token]),
        top=order,
        top_logprob=np.log(np.take_along_axis(full, order.astype(np.int64), axis=1)),
    )


def drawn(seed: int, positions: int = 120) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.full(VOCABULARY, 0.4), positions) + 1e-9


def exact(p: Floats, q: Floats) -> Floats:
    kept: Floats = (p * (np.log(p) - np.log(q))).sum(axis=1)
    return kept


@given(seed=st.integers(0, 1000), top=st.integers(1, VOCABULARY))
def test_what_is_told_never_overstates_the_divergence(seed: int, top: int) -> None:
    p, q = drawn(seed), drawn(seed + 5000)
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    found = divergences(told(p, top), told(q, top))
    assert (found >= 0).all()
    assert (found <= exact(p, q) + 1e-9).all()
    if top == VOCABULARY:
        assert found == pytest.approx(exact(p, q), abs=1e-6)


def test_a_system_that_expects_other_tokens_is_far() -> None:
    # the baseline gives token 0 nine tenths; the system lists 3 and 4 with a hundredth at least
    p = np.array([[0.9, 0.04, 0.03, 0.02, 0.01]])
    q = np.array([[0.001, 0.002, 0.007, 0.98, 0.01]])
    found = divergences(told(p, 2), told(q, 2))[0]
    # tokens 0 and 1 are worth 0.01 at most, and the other 0.06 may be all that is left
    worked = (
        0.9 * math.log(0.9 / 0.01) + 0.04 * math.log(0.04 / 0.01) + 0.06 * math.log(0.06 / 0.98)
    )
    assert found == pytest.approx(worked)
    assert found <= exact(p, q)[0]


def test_equal_distributions_do_not_diverge() -> None:
    p = drawn(1)
    one, other = told(p, 5), told(p, 5)
    assert divergence(one, other).value == pytest.approx(0, abs=1e-12)
    assert agreement(one, other).value == 1
    assert perplexity_ratio(one, other)[0] == 1


def test_a_worked_divergence() -> None:
    # p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4): KL = 1/2 ln 2 - 1/4 ln 2 = ln 2 / 4
    p, q = np.array([[0.5, 0.25, 0.25]]), np.array([[0.25, 0.5, 0.25]])
    assert divergences(told(p, 3), told(q, 3))[0] == pytest.approx(math.log(2) / 4)
    # of two told tokens each, {0, 1} are shared and token 2 is the rest: the same
    assert divergences(told(p, 2), told(q, 2))[0] == pytest.approx(math.log(2) / 4)


def test_perplexity_of_a_uniform_guess_is_the_vocabulary() -> None:
    uniform = np.full((80, 8), 1 / 8)
    value, (low, high) = perplexity(told(uniform, 8))
    assert value == pytest.approx(8)
    assert low == pytest.approx(8)
    assert high == pytest.approx(8)


def test_blocks_are_neighbours_of_one_passage() -> None:
    blocks = told(drawn(2, 100), 3).blocks
    assert len(set(blocks[:32])) == 1
    assert len(set(blocks)) == 2 + 2 + 1  # passages of 40, 40 and 20
    assert blocks[39] != blocks[40]


def test_other_tokens_are_another_text() -> None:
    p = drawn(3)
    assert same_text(told(p, 3), told(p, 3))
    assert not same_text(told(p, 3), told(p, 3, np.ones(len(p), dtype=np.int32)))


def test_the_text_has_eight_passages_and_a_name() -> None:
    text = probe_text()
    assert len(text.passages) == 8
    assert all(len(passage.split()) > 60 for passage in text.passages)
    assert len(text.digest) == 12
