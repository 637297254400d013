"""How far a system's next-token distributions are from a baseline's on the same text.

An endpoint tells the K most likely tokens of a position, not the whole vocabulary. The divergence
is therefore taken between what both told: the tokens that both lists hold, and everything else as
one outcome. By the log-sum inequality that is a lower bound of the full divergence, and equal to
it where K is the vocabulary.

Neighbouring positions resemble each other, so means are taken with the spread between blocks of
``BLOCK`` positions, not between positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import Mean, clustered_mean

Floats = NDArray[np.float64]

BLOCK = 32
"""Positions that are treated as one observation."""

SMALLEST = 1e-12
"""Probability below which a remainder is rounding: log-probabilities come with 6 digits or so."""


@dataclass(frozen=True, kw_only=True)
class Distributions:
    """N positions of a text, each with its K most likely next tokens, most likely first."""

    token: NDArray[np.int32]
    """(N,) what the text really has there."""
    passage: NDArray[np.int32]
    """(N,) in which passage."""
    logprob: Floats
    """(N,) natural log-probability of that token."""
    top: NDArray[np.int32]
    """(N, K) token ids; -1 where fewer were told."""
    top_logprob: Floats
    """(N, K); -inf where fewer were told."""

    @property
    def blocks(self) -> NDArray[np.int32]:
        """(N,) the block of each position: ``BLOCK`` neighbours of one passage."""
        starts = np.flatnonzero(np.diff(self.passage, prepend=-1))
        place = np.arange(len(self.passage)) - np.repeat(
            starts, np.diff(np.append(starts, len(self.passage)))
        )
        return (self.passage * 1_000_000 + place // BLOCK).astype(np.int32)


def same_text(one: Distributions, other: Distributions) -> bool:
    """Whether both saw the same tokens: another tokenizer makes positions incomparable."""
    return np.array_equal(one.token, other.token) and np.array_equal(one.passage, other.passage)


def divergences(baseline: Distributions, system: Distributions) -> Floats:
    """Return (N,) lower bounds of KL(baseline || system) in nats; see the module."""
    return np.array(
        [
            _divergence(*parts)
            for parts in zip(
                baseline.top, baseline.top_logprob, system.top, system.top_logprob, strict=True
            )
        ]
    )


def _divergence(
    tokens: NDArray[np.int32], logs: Floats, others: NDArray[np.int32], other_logs: Floats
) -> float:
    shared, here, there = np.intersect1d(
        tokens[tokens >= 0], others[others >= 0], assume_unique=True, return_indices=True
    )
    if not len(shared):
        return 0.0  # nothing in common was told: the bound says nothing
    p, q = np.exp(logs[here]), np.exp(other_logs[there])
    found = float(p @ (logs[here] - other_logs[there]))
    rest_p, rest_q = max(0.0, 1 - float(p.sum())), max(0.0, 1 - float(q.sum()))
    if rest_p > SMALLEST:
        found += rest_p * math.log(rest_p / max(rest_q, SMALLEST))
    return max(0.0, found)


def divergence(baseline: Distributions, system: Distributions) -> Mean:
    """Return the mean of ``divergences`` with the spread between blocks."""
    return clustered_mean(divergences(baseline, system), baseline.blocks)


def agreement(baseline: Distributions, system: Distributions) -> Mean:
    """Return the share of positions at which both find the same token most likely."""
    same = (baseline.top[:, 0] == system.top[:, 0]).astype(np.float64)
    return clustered_mean(same, baseline.blocks)


def perplexity(system: Distributions) -> tuple[float, tuple[float, float]]:
    """Return exp of the mean negative log-likelihood, and its 95 % interval."""
    mean = clustered_mean(-system.logprob, system.blocks)
    low, high = mean.interval()
    return math.exp(mean.value), (math.exp(low), math.exp(min(high, 700.0)))


def perplexity_ratio(
    baseline: Distributions, system: Distributions
) -> tuple[float, tuple[float, float]]:
    """Return the system's perplexity / the baseline's, paired by position, with its interval."""
    mean = clustered_mean(baseline.logprob - system.logprob, baseline.blocks)
    low, high = mean.interval()
    return math.exp(mean.value), (math.exp(low), math.exp(min(high, 700.0)))
