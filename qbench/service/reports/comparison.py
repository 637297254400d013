"""Two systems part by part, and all systems on the accuracy-cost plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.paired import difference
from qbench.benchmarks.analysis.sums import Floats
from qbench.errors import NotFound
from qbench.service.domain import System, variant
from qbench.service.reports.evidence import Evidence, estimate, judged
from qbench.service.reports.findings import against
from qbench.service.reports.values import Comparison, Slice
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
    return variant(system.format, system.replica), system.label, system.ref, short


def comparison(store: Store, run_ref: str, first: str, second: str) -> Comparison:
    """Compare two systems of a run on the samples both were scored on.

    Raises:
        NotFound: no such run or system, or no sample that both were scored on.

    """
    evidence = Evidence.of(store, run_ref)
    systems = evidence.run.request.systems
    one, two = find_system(systems, first), find_system(systems, second)
    gap = evidence.difference(one.id, two.id)
    if gap is None:
        raise NotFound(
            f"{one.label} and {two.label} share no scored sample.", hint="Resume the run first."
        )
    verdict = judged(gap, gap.p, evidence.run.request.margin)
    said = against(verdict, evidence.run.request.margin)
    return Comparison(
        run_id=evidence.run.id,
        first=one.label,
        second=two.label,
        verdict=verdict,
        slices=_slices(evidence, one, two),
        components=_components(store, evidence.run.id, one, two),
        finding=f"Against {two.label}, {one.label} {said}.",
    )


def _slices(evidence: Evidence, one: System, two: System) -> tuple[Slice, ...]:
    out = evidence.outcomes
    parts: list[tuple[str, NDArray[np.bool_]]] = [("all", np.ones(len(out.samples), dtype=bool))]
    levels = [(f"level {n}", out.sample_level == n) for n in np.unique(out.sample_level)]
    tasks = [(name, out.sample_task == at) for at, name in enumerate(out.tasks)]
    parts += [part for group in (levels, tasks) if len(group) > 1 for part in group]
    made = (_slice(evidence, one, two, name, chosen) for name, chosen in parts)
    return tuple(part for part in made if part is not None)


def _slice(
    evidence: Evidence, one: System, two: System, name: str, chosen: NDArray[np.bool_]
) -> Slice | None:
    places = evidence.place(one.id), evidence.place(two.id)
    rates: list[Floats] = [
        np.where(chosen, evidence.sums.rates[place], np.nan)
        for place in places
        if place is not None
    ]
    epochs = evidence.run.request.epochs
    gap = difference(rates[0], rates[1], evidence.sums.family, epochs=epochs)
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
