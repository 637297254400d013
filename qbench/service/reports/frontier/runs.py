"""Several runs on one plane: the same samples, other systems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from qbench.errors import ConfigError
from qbench.service.domain import Basis, Request
from qbench.service.reports.evidence import Evidence
from qbench.service.store import Store

ALIKE = ("suite", "suite_version", "tasks", "levels", "limit", "seed", "limits")
"""Fields of a request that decide which samples are tried, and how long."""


def evidence_of(store: Store, refs: Sequence[str], basis: Basis) -> Evidence:
    """Read runs as if they were one; a single one as it is.

    Args:
        store: where they are.
        refs: ids, beginnings of them, or ``last``; the first run's seed draws the resamples.
        basis: of local systems.

    Raises:
        NotFound: no such run.
        ConfigError: they tried other samples, or the same system twice.

    """
    first, *others = (store.run(ref) for ref in dict.fromkeys(refs))
    runs = [first, *(run for run in others if run.id != first.id)]
    if len(runs) == 1:
        return Evidence.of(store, first.id, basis)
    for run in runs[1:]:
        _must_match(first.request, run.request, run.id)
    systems = [system for run in runs for system in run.request.systems]
    twice = sorted({system.label for system in systems if systems.count(system) > 1})
    if twice:
        raise ConfigError(
            f"More than one of the runs measured {', '.join(twice)}.",
            hint="Name one of them; `qbench noise` tells how far such runs are apart.",
        )
    return Evidence(
        run=replace(first, request=replace(first.request, systems=tuple(systems))),
        basis=basis,
        outcomes=store.outcomes([run.id for run in runs]),
        planned={key: n for run in runs for key, n in store.planned(run.id).items()},
        endpoints=tuple(end for run in runs for end in store.endpoints(run.id)),
    )


def _must_match(one: Request, two: Request, run_id: str) -> None:
    differing = list(_differing(one, two))
    if differing:
        raise ConfigError(
            f"Run {run_id} did not try the same samples: its {', '.join(differing)} differ.",
            hint="Only runs on the same samples can share a frontier: run them alike.",
        )


def _differing(one: Request, two: Request) -> Iterator[str]:
    for name in ALIKE:
        if getattr(one, name) != getattr(two, name):
            yield name.replace("_", " ")
