"""Two systems by every method and part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import clustered_mean, pass_rate
from qbench.benchmarks.analysis.comparison.cells import cells, effective, jeffreys, posterior
from qbench.benchmarks.analysis.comparison.paired import (
    Difference,
    difference,
    equivalence_p,
    non_inferiority_p,
)
from qbench.benchmarks.analysis.comparison.sidebyside import methods
from qbench.benchmarks.analysis.sums import Floats
from qbench.errors import NotFound
from qbench.service.domain import System
from qbench.service.reports.comparison.values import Belief, Comparison, Method, Rate, Slice
from qbench.service.reports.evidence import Evidence, estimate, judged, refuse_one_sided
from qbench.service.reports.findings import against
from qbench.service.reports.values import Verdict
from qbench.service.store import Store


def find_system(systems: tuple[System, ...], ref: str) -> System:
    """Find a system by format, label, ``MODEL@FORMAT`` or the beginning of its id.

    The second time the same is measured is ``bf16 again``, or ``#2`` behind the others.

    Raises:
        NotFound: none or several fit; lists them.

    """
    wanted = ref.lower()
    found = [
        system
        for system in systems
        if wanted in {name.lower() for name in _names(system)} or system.id.startswith(wanted)
    ]
    if len(found) != 1:
        raise NotFound.among("single system of this run", ref, [s.ref for s in systems])
    return found[0]


def _names(system: System) -> tuple[str, ...]:
    short = system.ref.removeprefix(f"{system.model}@")
    return system.variant, system.label, system.ref, short


@dataclass(frozen=True)
class _Two:
    """Two systems of a run, and the samples that both were scored on."""

    evidence: Evidence
    one: System
    two: System
    gap: Difference

    @property
    def margin(self) -> float:
        return self.evidence.run.request.margin

    @property
    def family(self) -> NDArray[np.int32]:
        return self.evidence.sums.family

    def rates(self) -> tuple[Floats, Floats]:
        """Return (S,) pass rates where both are known, NaN elsewhere."""
        first, second = self._row("rates", self.one), self._row("rates", self.two)
        known = ~np.isnan(first - second)
        return np.where(known, first, np.nan), np.where(known, second, np.nan)

    def _row(self, what: str, system: System) -> Floats:
        place = self.evidence.place(system.id)
        assert place is not None
        found: Floats = getattr(self.evidence.sums, what)[place]
        return found

    def attempts(self, system: System) -> Floats:
        """Return (S,) scored attempts."""
        return self._row("n", system)


def comparison(
    store: Store, run_ref: str, first: str, second: str, *, non_inferior: bool = False
) -> Comparison:
    """Compare two systems of a run on the samples both were scored on.

    Args:
        store: where the run is.
        run_ref: its id, the beginning of it, or ``last``.
        first: a system.
        second: what it is compared with.
        non_inferior: ask only whether the first is not worse by the margin; see ``verdict``.

    Raises:
        NotFound: no such run or system, or no sample that both were scored on.
        ConfigError: a one-sided verdict of a run that goes on until it is decided.

    """
    evidence = Evidence.of(store, run_ref)
    systems = evidence.run.request.systems
    one, two = find_system(systems, first), find_system(systems, second)
    gap = evidence.difference(one.id, two.id)
    if gap is None:
        raise NotFound(
            f"{one.label} and {two.label} share no scored sample.", hint="Resume the run first."
        )
    both = _Two(evidence, one, two, gap)
    verdict = _verdict(both, one_sided=non_inferior)
    belief = _belief(both)
    return Comparison(
        run_id=evidence.run.id,
        first=one.label,
        second=two.label,
        verdict=verdict,
        slices=_slices(both),
        components=_components(store, evidence.run.id, one, two),
        finding=_finding(both, verdict, belief),
        margin=both.margin,
        equivalence_p=equivalence_p(gap, both.margin),
        non_inferiority_p=non_inferiority_p(gap, both.margin),
        methods=_methods(both),
        rates=tuple(_rates(both)),
        belief=belief,
    )


def _verdict(both: _Two, *, one_sided: bool) -> Verdict:
    if both.evidence.rounds is not None:
        refuse_one_sided(both.evidence, one_sided=one_sided)
        return both.evidence.judge([(both.one.id, both.two.id)])[both.one.id]
    made = judged(both.gap, both.gap.p, both.margin, one_sided=one_sided)
    if _invalid(both):
        return Verdict(kind="invalid", difference=made.difference, samples=made.samples)
    return made


def _invalid(both: _Two) -> str:
    """Say which of the two is INVALID and why; empty when neither is."""
    for system in (both.one, both.two):
        why = both.evidence.invalid(system.id)
        if why:
            return f"{system.label} is INVALID ({why})"
    return ""


def _finding(both: _Two, verdict: Verdict, belief: Belief) -> str:
    invalid = _invalid(both)
    if invalid:
        return f"Nothing can be said: {invalid}."
    said = f"Against {both.two.label}, {both.one.label} {against(verdict, both.margin)}"
    if verdict.kind != "inconclusive":
        return f"{said}."
    points = f"{100 * both.margin:g} points"
    return (
        f"{said}; after these data it is worse by more than {points} with a probability of "
        f"{100 * belief.worse:.0f} %, within them {100 * belief.equivalent:.0f} %, better "
        f"{100 * belief.better:.0f} %."
    )


def _methods(both: _Two) -> tuple[Method, ...]:
    first, second = both.rates()
    seed, value = both.evidence.run.request.seed, both.gap.mean.value
    return tuple(
        Method(
            name=found.name,
            difference=None if found.interval is None else estimate(value, found.interval),
            p=found.p,
            families=found.families,
        )
        for found in methods(first, second, both.family, seed=seed)
    )


def _belief(both: _Two) -> Belief:
    first, second = both.rates()
    known = ~np.isnan(first)
    counted = effective(cells(first[known], second[known]), both.gap.mean)
    found = posterior(counted, both.margin, seed=both.evidence.run.request.seed)
    return Belief(
        difference=estimate(both.gap.mean.value, (found.low, found.high)),
        worse=found.worse,
        equivalent=found.equivalent,
        better=found.better,
    )


def _rates(both: _Two) -> Iterator[Rate]:
    for system, rates in zip((both.one, both.two), both.rates(), strict=True):
        found = pass_rate(rates, both.attempts(system), both.family)
        assert found is not None
        mean = clustered_mean(rates, both.family)
        spread = mean.value * (1 - mean.value)
        n = spread / mean.error**2 if mean.error > 0 else float(mean.clusters)
        yield Rate(
            label=system.label,
            pass_rate=estimate(found.value, (found.low, found.high)),
            jeffreys=estimate(found.value, jeffreys(found.value * n, n)),
        )


def _slices(both: _Two) -> tuple[Slice, ...]:
    out = both.evidence.outcomes
    parts: list[tuple[str, NDArray[np.bool_]]] = [("all", np.ones(len(out.samples), dtype=bool))]
    levels = [(f"level {n}", out.sample_level == n) for n in np.unique(out.sample_level)]
    tasks = [(name, out.sample_task == at) for at, name in enumerate(out.tasks)]
    parts += [part for group in (levels, tasks) if len(group) > 1 for part in group]
    made = (_slice(both, name, chosen) for name, chosen in parts)
    return tuple(part for part in made if part is not None)


def _slice(both: _Two, name: str, chosen: NDArray[np.bool_]) -> Slice | None:
    first, second = (np.where(chosen, rates, np.nan) for rates in both.rates())
    gap = difference(first, second, both.family, epochs=both.evidence.run.request.epochs)
    if gap is None:
        return None
    return Slice(
        name=name,
        samples=gap.mean.n,
        both=gap.both,
        only_first=gap.only_system,
        only_second=gap.only_baseline,
        neither=gap.neither,
        difference=estimate(gap.mean.value, gap.interval),
        p=gap.p,
    )


def _components(
    store: Store, run_id: str, one: System, two: System
) -> dict[str, tuple[float | None, float | None]]:
    found = store.components(run_id)
    first, second = found.get(one.id, {}), found.get(two.id, {})
    return {
        name: (_share(first.get(name)), _share(second.get(name)))
        for name in sorted(first.keys() | second.keys())
    }


def _share(part: tuple[float, int] | None) -> float | None:
    return part[0] / part[1] if part else None
