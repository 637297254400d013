"""What to do with a budget: which system, how often, and how the answer is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.frontier.pareto import losses, members
from qbench.benchmarks.analysis.scaling.coverage import coverage, voted
from qbench.benchmarks.analysis.scaling.tallies import Row
from qbench.benchmarks.analysis.scaling.verifier import Tries, Verifier, answers, measured
from qbench.benchmarks.analysis.sums import Floats

Strategy = Literal["once", "vote", "until tested", "until accepted", "until right"]
"""``vote``: k attempts and the majority, all wrong answers taken as alike. ``until tested``: until
a weak test that was recorded accepts, at most k attempts. ``until accepted``: likewise, by a
supposed verifier. ``until right``: by one that is never wrong."""

PERFECT = Verifier()


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """(S', K) what a strategy gets and pays at each sample, by k."""

    strategy: Strategy
    ks: tuple[int, ...]
    passed: Floats
    cost: Floats


def outlooks(
    row: Row, ks: Sequence[int], verifier: Verifier | None, *, at_once: bool
) -> list[Outlook]:
    """Return every strategy of one system.

    Args:
        row: its attempts.
        ks: most attempts, none above ``row.most``; 1 is among them.
        verifier: None where no imperfect one is supposed.
        at_once: pay for all k attempts, made in parallel, rather than stop at the first accepted.

    """
    parallel = row.cost[:, None] * np.asarray(ks, dtype=np.float64)
    rates = coverage(row.n, row.passed, ks[:1])
    made = [Outlook(strategy="once", ks=tuple(ks[:1]), passed=rates, cost=parallel[:, :1])]
    if odd := odd_ones(ks):
        votes = voted(row.n, row.passed, odd)
        made.append(
            Outlook(strategy="vote", ks=odd, passed=votes, cost=row.cost[:, None] * np.asarray(odd))
        )
    paid = parallel if at_once else None
    if verifier is not None:
        made.append(_until("until accepted", row, ks, verifier, paid))
    return [*made, _until("until right", row, ks, PERFECT, paid)]


def odd_ones(ks: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of a vote: odd, for one more voter only makes ties."""
    return tuple(sorted({k - 1 + k % 2 for k in ks if k > 2}))


def _until(
    name: Strategy, row: Row, ks: Sequence[int], verifier: Verifier, paid: Floats | None
) -> Outlook:
    places = np.asarray(ks) - 1
    tries = measured(row.n, row.passed, verifier, int(places[-1]) + 1)
    right, _ = answers(tries, verifier)
    cost = spent(row, tries)[:, places] if paid is None else paid
    return Outlook(strategy=name, ks=tuple(ks), passed=right[:, places], cost=cost)


def spent(row: Row, tries: Tries) -> Floats:
    """Return the expected cost (S', K) of at most k tries, those after an accepted one not made.

    An attempt that fails may cost more than one that passes: each is counted at its own mean.
    """
    each = tries.right * row.right_cost[:, None] + tries.wrong * row.wrong_cost[:, None]
    return np.asarray(np.cumsum(each, axis=1))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """P strategies beside each other."""

    undominated: tuple[bool, ...]
    """By the point estimates."""
    chance: tuple[float, ...]
    """Share of resamples in which nobody passes as much for as little."""


def standing(passed: Floats, cost: Floats, draws: tuple[Floats, Floats]) -> Standing:
    """Say which of (P,) strategies are worth considering, and how surely.

    Args:
        passed: shares of samples.
        cost: per sample.
        draws: (B, P) of both, drawn together.

    """
    if not len(passed):
        return Standing(undominated=(), chance=())
    now = _members(passed[None], cost[None])[0]
    chance = _members(*draws).mean(axis=0)
    return Standing(undominated=tuple(map(bool, now)), chance=tuple(map(float, chance)))


def _members(passed: Floats, cost: Floats) -> NDArray[np.bool_]:
    return members(losses((passed, True), (cost, False)))


def affordable(
    passed: Floats, cost: Floats, draws: tuple[Floats, Floats], budget: float
) -> tuple[int, float] | None:
    """Return the strategy that passes most within a budget per sample, and how surely it is that.

    Of equals the cheaper. None where nothing is within the budget. The chance is the share of
    resamples in which the same one is chosen, by its cost there.
    """
    place = int(_choice(passed[None], cost[None], budget)[0])
    if place < 0:
        return None
    return place, float((_choice(*draws, budget) == place).mean())


def _choice(passed: Floats, cost: Floats, budget: float) -> Floats:
    """Return (B,) places of the best within the budget; -1 where there is none."""
    order = np.argsort(cost, axis=1, kind="stable")
    ranked = np.take_along_axis(np.where(cost <= budget, passed, -1.0), order, axis=1)
    best = np.take_along_axis(order, ranked.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(ranked.max(axis=1) < 0, -1, best)
