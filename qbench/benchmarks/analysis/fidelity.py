"""How far a system's next-token distributions are from a baseline's on the same text.

An endpoint tells the K most likely tokens of a position, not the whole vocabulary. Of a token that
only the baseline lists, the system's probability is unknown, but not above the smallest that the
system lists. The divergence given is the smallest that agrees with all that was told: a lower bound
of the full one, and equal to it where K is the vocabulary.

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
    rows = zip(baseline.top, baseline.top_logprob, system.top, system.top_logprob, strict=True)
    return np.array([_divergence(*row) for row in rows])


def _divergence(
    tokens: NDArray[np.int32], logs: Floats, others: NDArray[np.int32], other_logs: Floats
) -> float:
    told, known = tokens >= 0, others >= 0
    p, shared = np.exp(logs[told]), np.isin(tokens[told], others[known])
    order = np.argsort(others[known])
    place = order[np.searchsorted(others[known][order], tokens[told][shared])]
    found = float(p[shared] @ (logs[told][shared] - other_logs[known][place]))
    left = max(SMALLEST, 1 - float(np.exp(other_logs[known][place]).sum()))
    rest = max(0.0, 1 - float(p.sum()))
    most = float(np.exp(other_logs[known].min())) if known.any() else 1.0
    return max(0.0, found + _least(p[~shared], rest, most, left))


def _least(alone: Floats, rest: float, most: float, left: float) -> float:
    """Return the least that outcomes of unknown probability can add to the divergence.

    Args:
        alone: (A,) the baseline's probabilities of tokens that only it lists.
        rest: what it gives to everything that it does not list.
        most: the system's probability of a token that it does not list is at most this.
        left: what the system gives to all of them together.

    The least is reached in proportion to the baseline, tokens at their bound aside.

    """
    ordered = np.sort(alone)[::-1]
    after = rest + float(ordered.sum()) - np.cumsum(np.append(0.0, ordered))
    for bounded in range(len(ordered) + 1):
        room = max(SMALLEST, left - bounded * most)
        factor = room / after[bounded] if after[bounded] > SMALLEST else 0.0
        if bounded == len(ordered) or factor * ordered[bounded] <= most:
            break
    free = after[bounded]
    found = float((ordered[:bounded] * np.log(ordered[:bounded] / most)).sum())
    return found + (free * math.log(free / room) if free > SMALLEST else 0.0)


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
