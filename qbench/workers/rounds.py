"""The rounds of a run that goes on until it is decided: who is asked next, and what is left out.

Everything is computed from what is stored, so that a killed run goes on with the decisions that
it had made.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qbench.benchmarks.analysis.sequential.allocation import State, chosen
from qbench.benchmarks.analysis.sequential.confidence import deciding
from qbench.service.domain import Run, Shard
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.sequential.report import Rounds
from qbench.service.reports.sequential.stopping import stops
from qbench.service.rounds import rounds_of
from qbench.service.store import Store


@dataclass(frozen=True)
class Step:
    """What is done next."""

    shards: tuple[Shard, ...]
    """To be worked through, in the order of the plan; none when the run is at its end."""
    stopped: dict[str, str]
    """Systems that need no more, and why."""
    skipped: frozenset[str]
    """Ids of the shards that nobody needs any more."""


def next_step(
    run: Run, store: Store, *, left: float | None = None, gone: Collection[str] = ()
) -> Step:
    """Decide from what is stored.

    Args:
        run: whose request is sequential.
        store: where its attempts are.
        left: dollars that may still be spent; None without a budget.
        gone: systems whose engine was given up.

    """
    seen = _Seen(Evidence.of(store, run.id, "dedicated"), store.shards(run.id))
    return seen.step(left, frozenset(gone))


@dataclass(frozen=True)
class _Seen:
    evidence: Evidence
    shards: tuple[Shard, ...]

    @cached_property
    def numbers(self) -> dict[str, int]:
        return rounds_of(self.shards)

    @cached_property
    def rounds(self) -> Rounds:
        assert self.evidence.rounds is not None
        return self.evidence.rounds

    def step(self, left: float | None, gone: frozenset[str]) -> Step:
        request = self.evidence.run.request
        stopped = stops(self.evidence)
        judged = [s.id for s in request.systems if s.id != request.baseline and not s.replica]
        going = [key for key in judged if key not in stopped and key not in gone]
        going = [key for key in going if self._done(key) < len(self.rounds.sizes)]
        targets = self._targets(going if request.baseline not in gone else [], left)
        alive = {s.id for s in request.systems} - gone
        shards = [s for s in self.shards if not s.closed and s.system_id in alive]
        return Step(
            shards=tuple(s for s in shards if self._wanted(s, targets)),
            stopped=stopped,
            skipped=self._skipped(stopped),
        )

    def _done(self, key: str) -> int:
        place = self.evidence.place(key)
        return 0 if place is None else self.rounds.done[place]

    def _targets(self, going: list[str], left: float | None) -> dict[str, int]:
        """Return how many rounds each system is to have after this step."""
        if not going:
            return {}
        most = len(self.rounds.by_sample)
        states = [self._state(key) for key in going]
        baseline = self.evidence.run.request.baseline
        asked = chosen(states, self._cost(baseline), most=most, left=left)
        targets = {key: self._done(key) + 1 for key in asked}
        along = [s.id for s in self.evidence.run.request.systems if s.replica] + [baseline]
        return targets | dict.fromkeys(along, max(targets.values()))

    def _state(self, key: str) -> State:
        request = self.evidence.run.request
        one, two = self.evidence.place(key), self.evidence.place(request.baseline)
        gap = None if one is None or two is None else self.rounds.gap(one, two)
        comparisons = sum(not s.replica for s in request.systems) - 1
        wanted = deciding(gap, request.margin, comparisons=comparisons) if gap else np.inf
        return State(
            key=key,
            done=self.rounds.asked(self._done(key)),
            wanted=wanted,
            cost=self._cost(key),
        )

    def _cost(self, key: str) -> float:
        """Return dollars per sample; NaN where unknown."""
        place = self.evidence.place(key)
        if place is None:
            return np.nan
        costs = self.evidence.sums.costs[place]
        known = costs[~np.isnan(costs)]
        return float(known.mean()) * self.evidence.run.request.epochs if len(known) else np.nan

    def _wanted(self, shard: Shard, targets: dict[str, int]) -> bool:
        """Say whether a shard is due; a round that was begun is finished in any case."""
        due = self.numbers[shard.id] < targets.get(shard.system_id, 0)
        return due or self._begun(shard)

    def _begun(self, shard: Shard) -> bool:
        place = self.evidence.place(shard.system_id)
        return place is not None and bool(self.rounds.tried[place, self.numbers[shard.id]])

    def _skipped(self, stopped: dict[str, str]) -> frozenset[str]:
        """Find what is not needed: of stopped systems, and of all when nobody goes on."""
        request = self.evidence.run.request
        along = {request.baseline} | {s.id for s in request.systems if s.replica}
        judged = {s.id for s in request.systems} - along
        over = judged <= set(stopped)
        ended = set(stopped) | (along if over else set())
        farthest = max([self._done(key) for key in judged], default=0)
        return frozenset(
            shard.id
            for shard in self.shards
            if shard.system_id in ended
            and not self._begun(shard)
            and (shard.system_id not in along or self.numbers[shard.id] >= farthest)
        )
