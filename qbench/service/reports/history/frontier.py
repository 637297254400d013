"""How the frontier moved: run by run as booked, and at the prices of every known day."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import UTC, datetime, time

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from qbench.benchmarks.analysis.economics.costofpass import (
    per_problem,
    ratio_interval,
    ratio_of_means,
)
from qbench.benchmarks.analysis.economics.minima import (
    Bounds,
    Resampled,
    drawn_means,
    gains,
    lowest,
    value_interval,
)
from qbench.benchmarks.analysis.frontier.pareto import losses, members
from qbench.benchmarks.analysis.resampling import resampled
from qbench.benchmarks.analysis.sums import Floats, Sums
from qbench.errors import NotFound
from qbench.service.domain import Basis, Request, Run, System
from qbench.service.pricebook import PriceBook
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.history.report import MOST
from qbench.service.reports.history.values import FrontierHistory, FrontierStep
from qbench.service.reports.history.words import finding
from qbench.service.reports.values import Estimate
from qbench.service.store import Store
from qbench.service.used import Used

SEARCHED = 1_000
"""Newest ended runs that are looked through for those of the same family."""


class Ask(Struct, frozen=True, kw_only=True):
    """What is asked about a history."""

    limit: int = MOST
    """Newest runs."""
    basis: Basis = "saturated"
    prices: bool = False
    """Price everything at every known day, too."""
    options: CostOptions = CostOptions()


@dataclass(frozen=True)
class Record:
    """One system as one run measured it."""

    system: System
    samples: tuple[str, ...]
    rates: Floats
    """(S,) pass rates over ``samples``; NaN where nothing was scored."""
    costs: Floats
    """(S,) dollars per attempt."""
    n: Floats
    """(S,) scored attempts."""


@dataclass(frozen=True)
class Moment:
    """What counts from one moment on."""

    at: datetime
    run_id: str
    came: tuple[str, ...]
    records: tuple[Record, ...]
    left_out: dict[str, str]


def frontier_history(store: Store, name: str, book: PriceBook, ask: Ask) -> FrontierHistory:
    """Tell how the frontier moved over the runs that asked the samples of a run or a schedule.

    Same samples: the suite and its version, tasks, levels, number and seed. Systems may differ;
    of each its newest measurement counts. Problems that not all of them were scored on are left
    out of every step, so that steps compare.

    Args:
        store: where the runs are.
        name: a schedule, or a run's id, the beginning of it, or ``last``.
        book: prices, and experts.
        ask: basis, limit and options.

    Raises:
        NotFound: no such run or schedule, or no run that ended.

    """
    runs = _runs(store, name, ask.limit)
    request, expert = runs[-1].request, ask.options.expert_of(runs[-1].request.suite, book)
    read = [_read(store, run, ask.basis) for run in runs]
    moments = [_measured(evidence) for evidence in read]
    common, family = _common(moments, read)
    teller = _Teller(common, family, float(expert.dollars) if expert else math.inf, request.seed)
    steps = teller.told("measured", _gathered(moments))
    if ask.prices:
        steps += teller.told("prices", list(_priced(store, read, book, ask.basis)))
    found = FrontierHistory(
        name=name,
        basis=ask.basis,
        suite=request.suite,
        runs=len(runs),
        problems=len(common),
        families=len(np.unique(family)),
        expert=expert,
        steps=tuple(steps),
        finding="",
    )
    return replace(found, finding=finding(found))


def _runs(store: Store, name: str, limit: int) -> tuple[Run, ...]:
    """Return the ended runs over the samples that were named, oldest first."""
    wanted = _asked(_request(store, name))
    known = store.ended_runs(limit=SEARCHED)
    found = [run for run in known if _asked(run.request) == wanted]
    if not found:
        raise NotFound("No run of these samples has ended.", hint="See `qbench runs`.")
    return tuple(found[-limit:])


def _request(store: Store, name: str) -> Request:
    schedules = {one.name for one in store.schedules()}
    if name not in schedules:
        return store.run(name).request
    firings = store.firings(store.schedule(name).id)
    fired = [firing.run_id for firing in firings if firing.run_id]
    if not fired:
        raise NotFound(f"{name} has not run yet.", hint="See `qbench schedule show`.")
    return store.run(fired[-1]).request


def _asked(request: Request) -> tuple[object, ...]:
    """Return what decides the samples; systems and epochs do not."""
    return (
        request.suite,
        request.suite_version,
        request.tasks,
        request.levels,
        request.limit,
        request.seed,
    )


def _read(store: Store, run: Run, basis: Basis) -> Evidence:
    return Evidence.of(store, run.id, basis)


def _measured(evidence: Evidence) -> Moment:
    """Take what a run says of its systems; copies and what must not be ranked stay out."""
    records, left_out = [], {}
    for system in evidence.run.request.systems:
        if system.replica:
            continue
        why = evidence.invalid(system.id)
        record = None if why else _record(evidence, system)
        if record is None:
            left_out[system.label] = why or "unpriced"
        else:
            records.append(record)
    run = evidence.run
    came = tuple(record.system.label for record in records)
    return Moment(run.created_at, run.id, came, tuple(records), left_out)


def _record(evidence: Evidence, system: System) -> Record | None:
    """Return what was measured; None where a part of it is unpriced."""
    place = evidence.outcomes.systems.index(system.id)
    sums = evidence.sums
    rates, costs = sums.rates[place], sums.costs[place]
    if np.isnan(costs[~np.isnan(rates)]).any():
        return None
    return Record(system, evidence.outcomes.samples, rates, costs, sums.n[place])


def _common(
    moments: Sequence[Moment], read: Sequence[Evidence]
) -> tuple[list[str], NDArray[np.int32]]:
    """Return the samples that every record has, and the family of each."""
    every = [record for moment in moments for record in moment.records]
    names: dict[str, str] = {}
    for evidence in read:
        out = evidence.outcomes
        names |= {
            key: out.families[at] for key, at in zip(out.samples, out.sample_family, strict=True)
        }
    kept = set(names) if every else set[str]()
    for record in every:
        tried = np.flatnonzero(~np.isnan(record.rates))
        kept &= {record.samples[place] for place in tried}
    ordered = sorted(kept)
    _, family = np.unique([names[key] for key in ordered], return_inverse=True)
    return ordered, family.astype(np.int32)


def _gathered(moments: Sequence[Moment]) -> list[Moment]:
    """Let every moment hold the newest record of each system until then."""
    known: dict[str, Record] = {}
    gathered = []
    for moment in moments:
        known |= {record.system.id: record for record in moment.records}
        gathered.append(changed(moment, records=tuple(known.values())))
    return gathered


def _priced(
    store: Store, read: Sequence[Evidence], book: PriceBook, basis: Basis
) -> Iterator[Moment]:
    """Yield all that was measured, at the prices of every day on which one of them changed."""
    used = [Used.of(store, evidence.run) for evidence in read]
    before: dict[str, str] = {}
    for day in book.days():
        prices = {key: name for one in used for key, name in one.prices_on(book, day).items()}
        if prices.keys() == before.keys():
            continue
        moments = [
            _measured(
                Evidence(
                    run=evidence.run,
                    basis=basis,
                    outcomes=changed(one.outcomes, cost=one.at(book, day).cost),
                    planned=evidence.planned,
                    endpoints=evidence.endpoints,
                )
            )
            for one, evidence in zip(used, read, strict=True)
        ]
        came = tuple(sorted({prices[key] for key in prices.keys() - before.keys()}))
        newest = _gathered(moments)[-1]
        counted = {record.system.label for record in newest.records}
        out = {k: why for m in moments for k, why in m.left_out.items() if k not in counted}
        at = datetime.combine(day, time(), UTC)
        yield Moment(at, "", came, newest.records, out)
        before = prices


@dataclass(frozen=True)
class _Teller:
    """Makes steps of moments, on the same problems and resamples."""

    samples: list[str]
    family: NDArray[np.int32]
    expert: float
    seed: int

    def told(self, why: str, moments: Sequence[Moment]) -> list[FrontierStep]:
        """Return one step per moment."""
        if not moments:
            return []
        grids = [self._grid(moment) for moment in moments]
        drawn = None
        if self.samples:
            cheapest = [lowest(v, np.ones((1, len(v)), bool), self.expert)[0] for _, _, v in grids]
            drawn = drawn_means(np.stack(cheapest), self.family, seed=self.seed)
        steps: list[FrontierStep] = []
        for place, (moment, grid) in enumerate(zip(moments, grids, strict=True)):
            steps.append(self._step(why, moment, grid, (drawn, place), steps[-1:]))
        return steps

    def _grid(self, moment: Moment) -> tuple[Floats, Floats, Floats]:
        """Return (Y, S) pass rates, dollars per attempt and dollars per right answer."""
        shape = (len(moment.records), len(self.samples))
        rates, costs = np.zeros(shape), np.zeros(shape)
        for row, record in enumerate(moment.records):
            at = {key: place for place, key in enumerate(record.samples)}
            places = [at[key] for key in self.samples]
            rates[row], costs[row] = record.rates[places], record.costs[places]
        return rates, costs, per_problem(costs, rates)

    def _step(
        self,
        why: str,
        moment: Moment,
        grid: tuple[Floats, Floats, Floats],
        drawn: tuple[Resampled | None, int],
        before: Sequence[FrontierStep],
    ) -> FrontierStep:
        rates, costs, _ = grid
        labels = [record.system.label for record in moment.records]
        able = bool(labels and self.samples)
        best, cost = self._best(labels, rates, costs) if able else ("", None)
        free = _undominated(labels, rates, costs) if able else ()
        last = before[0].undominated if before else ()
        return FrontierStep(
            at=moment.at,
            why="measured" if why == "measured" else "prices",
            run_id=moment.run_id,
            systems=len(labels),
            came=moment.came,
            value=self._value(grid, *drawn) if able else None,
            fall=_fall(*drawn, drawn[1] - 1) if able and before and before[0].value else None,
            since_first=_fall(*drawn, 0) if able and drawn[1] else None,
            solved=float((rates > 0).any(axis=0).mean()) if able else None,
            best=best,
            best_cost=cost,
            undominated=free,
            entered=tuple(label for label in free if label not in last),
            left=tuple(label for label in last if label not in free),
            left_out=moment.left_out,
        )

    def _value(
        self, grid: tuple[Floats, Floats, Floats], drawn: Resampled | None, place: int
    ) -> Estimate | None:
        if drawn is None:
            return None
        _, costs, v = grid
        value = float(drawn.means[place])
        bounds = Bounds(expert=self.expert, attempt=float(costs.mean(axis=1).min()))
        at_expert = float((np.minimum.reduce(v, axis=0) >= self.expert).mean())
        ends = value_interval(
            value, drawn.interval(place), drawn.families, at_expert=at_expert, bounds=bounds
        )
        return estimate(value, ends)

    def _best(
        self, labels: Sequence[str], rates: Floats, costs: Floats
    ) -> tuple[str, Estimate | None]:
        """Return the system with the cheapest right answer, by the ratio of means."""
        ratios = [ratio_of_means(cost, rate) for cost, rate in zip(costs, rates, strict=True)]
        place = int(np.argmin(ratios))
        if math.isinf(ratios[place]):
            return "", None
        one = np.ones_like(rates[[place]])
        families = int(self.family.max()) + 1
        sums = Sums(
            n=one, passed=rates[[place]], cost=costs[[place]], family=self.family, families=families
        )
        drawn_rates, drawn_costs = resampled(sums, seed=self.seed)
        ends = ratio_interval(
            float(costs[place].mean()), families, drawn_costs[:, 0], drawn_rates[:, 0]
        )
        return labels[place], estimate(ratios[place], ends)


def _undominated(labels: Sequence[str], rates: Floats, costs: Floats) -> tuple[str, ...]:
    dollars = costs.mean(axis=1)
    planes = losses((rates.mean(axis=1)[None], True), (dollars[None], False))
    free = np.flatnonzero(members(planes)[0]).tolist()
    return tuple(labels[place] for place in sorted(free, key=lambda place: float(dollars[place])))


def _fall(drawn: Resampled | None, place: int, before: int) -> Estimate | None:
    """Return how far V fell from one step to another; None where the later is not finite."""
    if drawn is None or not np.isfinite(drawn.means[place]):
        return None
    fall = float(gains(drawn.means[before], drawn.means[place]))
    every = gains(drawn.draws[:, before], drawn.draws[:, place])
    return estimate(fall, drawn.spread(every))
