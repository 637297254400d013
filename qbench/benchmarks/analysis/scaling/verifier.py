"""Resampling until a verifier accepts: what an imperfect one can and cannot reach.

Stroebl, Kapoor and Narayanan, "Inference Scaling fLaws" (arXiv 2411.17501). Their notebook
multiplies the posterior of a task type by the mean survival, which counts both twice; the sums
here are exact. A problem on which nothing is accepted has no answer: neither right nor false.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np

from qbench.benchmarks.analysis.scaling.coverage import Ints, by_kind, known
from qbench.benchmarks.analysis.sums import Floats

HORIZON = 1_000
"""Attempts up to which the best cap is looked for one by one."""
ROUNDING = 1e-12
IMPOSSIBLE = 1e-18
"""Chance below which what happens is not followed."""


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """What decides whether an attempt is taken."""

    completeness: float = 1.0
    """Probability that a right attempt is accepted."""
    soundness: float = 1.0
    """Probability that a wrong attempt is rejected."""

    def __post_init__(self) -> None:
        if not (0 <= self.completeness <= 1 and 0 <= self.soundness <= 1):
            raise ValueError("completeness and soundness are probabilities, from 0 to 1")

    @property
    def perfect(self) -> bool:
        """Whether it knows right from wrong: an upper bound of any other."""
        return self.completeness == self.soundness == 1

    def rejects(self, r: Floats) -> Floats:
        """Return beta = (1 - c) r + s (1 - r), by the rate of right attempts."""
        return np.asarray((1 - self.completeness) * r + self.soundness * (1 - r))

    def right(self, r: Floats) -> Floats:
        """Return c r: the attempt is right and accepted."""
        return np.asarray(self.completeness * r)

    def false(self, r: Floats) -> Floats:
        """Return (1 - s)(1 - r): the attempt is wrong and accepted."""
        return np.asarray((1 - self.soundness) * (1 - r))

    def ceiling(self, r: Floats) -> Floats:
        """Return P(right | accepted) = c r / (c r + (1 - s)(1 - r)): no number of tries passes it.

        0 where nothing is ever accepted.
        """
        right, taken = self.right(r), self.right(r) + self.false(r)
        return np.divide(right, taken, out=np.zeros_like(taken), where=taken > 0)


@dataclass(frozen=True, kw_only=True)
class Stakes:
    """What is won and lost, in units of one right answer."""

    false_positive: float = 0.0
    """Lost by a wrong answer that was accepted; the paper's -V_f."""
    attempt: float = 0.0
    """Lost by every attempt: compute."""

    def __post_init__(self) -> None:
        if not (0 <= self.false_positive < math.inf and 0 <= self.attempt < math.inf):
            raise ValueError("costs are numbers from 0 up")


FREE = Stakes()


@dataclass(frozen=True, kw_only=True)
class Tries:
    """Probabilities (..., K) that the k-th attempt is made and turns out so; verifier applied."""

    right: Floats
    """It is right; NaN beyond what the data know."""
    wrong: Floats

    @property
    def made(self) -> Floats:
        """(..., K) expected attempts, of at most k."""
        return np.cumsum(self.right + self.wrong, axis=-1)


def measured(n: Ints, c: Ints, verifier: Verifier, depth: int) -> Tries:
    """Return what happens in up to ``depth`` tries, without bias, from counts of passes.

    The mean over all orders of the n attempts at a sample: the k-th is made when all before it
    were rejected. With a perfect verifier the sums of ``right`` are pass@k.

    Args:
        n: scored attempts, of any shape.
        c: those that passed, of the same shape.
        verifier: accepts or rejects every attempt on its own.
        depth: most attempts.

    """

    def of_kinds(tries: Ints, passes: Ints) -> Floats:
        right, wrong = _drawn(tries, passes, verifier, depth)
        return np.concatenate([known(right, tries), known(wrong, tries)], axis=1)

    found = by_kind(n, c, of_kinds)
    return Tries(right=found[..., :depth], wrong=found[..., depth:])


def _drawn(n: Ints, c: Ints, verifier: Verifier, depth: int) -> tuple[Floats, Floats]:
    """Follow how many of the rejected attempts were right: (U,) kinds to (U, depth) twice."""
    most = min(int(c.max(initial=0)), depth, _most_missed(verifier))
    rights = np.arange(most + 1)
    state = np.zeros((len(n), most + 1))
    state[:, 0] = 1
    right, wrong = np.zeros((len(n), depth)), np.zeros((len(n), depth))
    for k in range(depth):
        chance = np.clip((c[:, None] - rights) / np.maximum(n - k, 1)[:, None], 0, 1)
        hit, miss = state * chance, state * (1 - chance)
        right[:, k], wrong[:, k] = hit.sum(axis=1), miss.sum(axis=1)
        state = miss * verifier.soundness
        state[:, 1:] += hit[:, :-1] * (1 - verifier.completeness)
    return right, wrong


def _most_missed(verifier: Verifier) -> int:
    """Return how many right attempts in a row may be rejected before it is as good as impossible.

    The chance of m is at most (1 - c)^m.
    """
    missed = 1 - verifier.completeness
    if missed in (0, 1):
        return 0 if missed == 0 else sys.maxsize
    return math.ceil(math.log(IMPOSSIBLE) / math.log(missed))


def supposed(r: Floats, verifier: Verifier, depth: int) -> Tries:
    """Return what happens in up to ``depth`` tries where rates (...,) of right ones are known."""
    reached = verifier.rejects(r)[..., None] ** np.arange(depth)
    return Tries(right=reached * r[..., None], wrong=reached * (1 - r)[..., None])


def answers(tries: Tries, verifier: Verifier) -> tuple[Floats, Floats]:
    """Return the probabilities (..., K) of a right and of a false answer within k tries."""
    right = np.cumsum(verifier.completeness * tries.right, axis=-1)
    return right, np.cumsum((1 - verifier.soundness) * tries.wrong, axis=-1)


def reward(tries: Tries, verifier: Verifier, stakes: Stakes = FREE) -> Floats:
    """Return the expected reward (..., K) of at most k tries: right - V false - kappa attempts."""
    right, false = answers(tries, verifier)
    return np.asarray(right - stakes.false_positive * false - stakes.attempt * tries.made)


def best_cap(curve: Floats) -> tuple[int, float]:
    """Return the K in 1..len(curve) of the largest reward, and the reward; 0 where none pays."""
    place = int(np.argmax(curve))
    return (place + 1, float(curve[place])) if curve[place] > 0 else (0, 0.0)


def unlimited(
    r: Floats, share: Floats, verifier: Verifier, stakes: Stakes = FREE
) -> tuple[float, float]:
    """Return the best K of all, which may be infinite, and its reward, for known rates.

    Args:
        r: (T,) rate of right attempts by type of task.
        share: (T,) prior of each type.
        verifier: of every attempt.
        stakes: of an answer and an attempt.

    Returns:
        K* is infinite where going on for ever beats every cap up to ``HORIZON``.

    """
    curve = share @ reward(supposed(r, verifier, HORIZON), verifier, stakes)
    best, most = best_cap(curve)
    end = limit(r, share, verifier, stakes)
    rising = _last_gain(r, share, verifier, stakes) > 0 and end >= most - ROUNDING
    return (math.inf, end) if rising else (best, most)


def _gains(r: Floats, verifier: Verifier, stakes: Stakes) -> Floats:
    """Return what one more attempt is worth, by the rate of right ones."""
    lost = stakes.false_positive * verifier.false(r) + stakes.attempt
    return np.asarray(verifier.right(r) - lost)


def _last_gain(r: Floats, share: Floats, verifier: Verifier, stakes: Stakes) -> float:
    """Return the gain on the tasks that are still open after many attempts; 0 where none is."""
    gains, rejects = _gains(r, verifier, stakes), verifier.rejects(r)
    there = (share > 0) & (gains != 0) & (rejects > 0)
    return float(gains[there][rejects[there].argmax()]) if there.any() else 0.0


def limit(r: Floats, share: Floats, verifier: Verifier, stakes: Stakes = FREE) -> float:
    """Return the reward of trying for ever; -inf where that never ends and attempts cost."""
    gains, ends = _gains(r, verifier, stakes), 1 - verifier.rejects(r)
    if stakes.attempt and ((ends <= 0) & (share > 0)).any():
        return -math.inf
    return float(share @ np.divide(gains, ends, out=np.zeros_like(ends), where=ends > 0))


def soundness(base: float, plus: float, plus_given_base: float) -> float:
    """Estimate the soundness of weak tests from strong ones (arXiv 2411.17501, appendix).

    Args:
        base: share of attempts that pass the weak tests, b.
        plus: share that passes the strong tests, p, which count as the truth.
        plus_given_base: share that passes the strong tests of those that pass the weak, q.

    Returns:
        s = (1 - b - p + q b) / (1 - p): the share of wrong attempts that the weak tests reject.
        NaN where every attempt is right.

    """
    return (1 - base - plus + plus_given_base * base) / (1 - plus) if plus < 1 else math.nan
