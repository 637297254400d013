"""Differential performance evaluation: how fast a right program is, against a ladder of others.

Source: Liu et al., "Evaluating Language Models for Efficient Code Generation" (arXiv 2408.06450),
section 3, as EvalPerf reckons it. Pure functions; costs are of any unit, lower is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from msgspec import Struct


class Ladder(Struct, frozen=True, kw_only=True):
    """Reference solutions of one task, clustered by cost."""

    costs: tuple[float, ...]
    """Of each cluster, slowest first: that of its slowest solution."""
    scores: tuple[float, ...]
    """Percent of the reference solutions that are not faster than the cluster."""


class Standing(Struct, frozen=True, kw_only=True):
    """Where a right solution stands on a ladder."""

    index: int
    """Cluster matched, 0 the slowest; -1 below all."""
    dps: float
    dps_norm: float
    """Both 0 to 100."""


def ladder(costs: Sequence[float], *, gap: float = 1.0) -> Ladder:
    """Cluster the measured ``costs`` of reference solutions, in any order.

    A solution begins a new cluster when the slowest of the one before costs more than ``gap``
    times as much. With a gap of 1 each cost is a cluster.

    Raises:
        ValueError: no costs, or one that is not positive.

    """
    if not costs or min(costs) <= 0:
        raise ValueError("A ladder needs costs above 0.")
    found: list[list[float]] = []
    for cost in sorted(costs, reverse=True):
        if found and found[-1][0] <= gap * cost:
            found[-1].append(cost)
        else:
            found.append([cost])
    seen, scores = 0, []
    for cluster in found:
        seen += len(cluster)
        scores.append(100 * seen / len(costs))
    return Ladder(costs=tuple(cluster[0] for cluster in found), scores=tuple(scores))


def standing(cost: float, rungs: Ladder, *, tolerance: float = 0.0) -> Standing:
    """Match a right solution from the fastest: the first j with cost <= (1 + tolerance) cost_j.

    DPS is score_j, and DPS_norm 100 (j + 1) / n; below all references both are 0. The published
    rule has no tolerance, because it counts instructions; time needs the one of its noise.
    """
    number = len(rungs.costs)
    for index in reversed(range(number)):
        if cost <= rungs.costs[index] * (1 + tolerance):
            return Standing(
                index=index, dps=rungs.scores[index], dps_norm=100 * (index + 1) / number
            )
    return Standing(index=-1, dps=0.0, dps_norm=0.0)


def mean_over_tasks(values: Mapping[str, Sequence[float]]) -> float | None:
    """Return the mean over tasks of the mean over samples; None when there is no sample."""
    means = [fmean(samples) for samples in values.values() if samples]
    return fmean(means) if means else None


class Pairwise(Struct, frozen=True, kw_only=True):
    """Two systems on the tasks that both pass."""

    wins: int
    losses: int
    ties: int

    @property
    def win_rate(self) -> float | None:
        """Return the share of common tasks won; None when there is none."""
        number = self.wins + self.losses + self.ties
        return self.wins / number if number else None


def pairwise(one: Mapping[str, Sequence[float]], other: Mapping[str, Sequence[float]]) -> Pairwise:
    """Compare mean scores task by task; tasks that only one passes do not count."""
    common = [task for task in one if one[task] and other.get(task)]
    differences = [fmean(one[task]) - fmean(other[task]) for task in common]
    return Pairwise(
        wins=sum(difference > 0 for difference in differences),
        losses=sum(difference < 0 for difference in differences),
        ties=sum(difference == 0 for difference in differences),
    )
