"""Where the next dollars go: systems that are decided, or surely off the frontier, get no more.

All systems that go on are asked the same samples in the same order, and so is the baseline, so
that whatever stops early leaves pairs behind and never holes. Error is controlled by the
confidence sequences of ``sequential``, which allow any choice that looks at the past alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.sequential.confidence import ALPHA, Tracked, tracked
from qbench.benchmarks.analysis.sums import Floats


@dataclass(frozen=True, kw_only=True)
class State:
    """An undecided system, as far as it is known."""

    key: str
    done: int
    """Samples asked so far."""
    wanted: float
    """Samples at which its verdict falls if what is seen is the truth (``sequential.deciding``)."""
    cost: float
    """Dollars per sample; NaN where unknown."""


def chosen(
    states: Sequence[State], baseline: float, *, most: int, left: float | None = None
) -> tuple[str, ...]:
    """Choose who is asked the next round.

    Everybody, where money is no limit. Else as many as can be brought to their verdicts with
    what is left, the cheapest verdicts first and those that ``most`` samples will not decide
    last; one at least.

    Args:
        states: the undecided systems.
        baseline: its dollars per sample; it is asked what the one that goes farthest is asked.
        most: samples of the full design.
        left: dollars left; None without a budget.

    Returns:
        Keys in the order of ``states``.

    """
    prices = [state.cost for state in states] + [baseline]
    if left is None or not states or any(math.isnan(price) for price in prices):
        return tuple(state.key for state in states)
    ranked = sorted(states, key=lambda state: _price(state, baseline, most))
    taken, own, farthest = [ranked[0].key], _own(ranked[0], most), _ahead(ranked[0], most)
    for state in ranked[1:]:
        own, farthest = own + _own(state, most), max(farthest, _ahead(state, most))
        if own + farthest * baseline > left:
            break
        taken.append(state.key)
    return tuple(state.key for state in states if state.key in taken)


def _ahead(state: State, most: int) -> float:
    return max(1.0, min(state.wanted, most) - state.done)


def _own(state: State, most: int) -> float:
    return _ahead(state, most) * state.cost


def _price(state: State, baseline: float, most: int) -> tuple[bool, float, str]:
    """Rank by what the verdict will cost, the hopeless last; ties by name, not by place."""
    dollars = _own(state, most) + _ahead(state, most) * baseline
    return state.wanted > most, dollars, state.key


def off_frontier(
    rates: Floats,
    costs: Floats,
    family: NDArray[np.int32],
    rounds: NDArray[np.int64],
    *,
    rho: float,
) -> dict[int, int]:
    """Find systems that another one surely beats: better and cheaper on the same samples.

    Both paired differences, that of the pass rates and the relative one of the costs
    ((x - y) / (x + y), by sample), lie wholly on the wrong side of zero in their confidence
    sequences, each at 5 % over all ordered pairs (Bonferroni).

    Args:
        rates: (Y, S) pass rates; NaN where unknown.
        costs: (Y, S) dollars per attempt.
        family: (S,).
        rounds: (S,) when each sample was asked.
        rho: see ``sequential.tuned``.

    Returns:
        The place of each beaten system to that of one that beats it.

    """

    def follow(values: Floats) -> Tracked | None:
        hopeful = np.nansum(values) > 0  # else no sequence of it lies above zero now
        return tracked(values, family, rounds, rho=rho) if hopeful else None

    found: dict[int, int] = {}
    for one, two in permutations(range(len(rates)), 2):
        if one in found:
            continue
        worse = follow(rates[two] - rates[one])
        dearer = follow(relative(costs[one], costs[two])) if worse else None
        if surely(worse, len(rates)) and surely(dearer, len(rates)):
            found[one] = two
    return found


def surely(found: Tracked | None, systems: int) -> bool:
    """Say whether a difference is above zero, at 5 % over all ordered pairs of ``systems``."""
    alpha = ALPHA / max(1, systems * (systems - 1))
    return found is not None and found.interval(alpha)[0] > 0


def relative(one: Floats, two: Floats) -> Floats:
    """Return by how much one cost is above another, from -1 to 1; NaN where both are nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (one - two) / (one + two)
