"""Everything that can be said of a run before it: its size, what it can detect, a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from qbench.benchmarks.analysis.design import POWER, assumed, detectable
from qbench.service.domain import Controls, Request
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.pricebook import PriceBook
from qbench.service.reports.prospect.design import designed
from qbench.service.reports.prospect.forecast import forecast_of
from qbench.service.reports.prospect.pacing import Asked, paces_of
from qbench.service.reports.prospect.values import Design, Planned
from qbench.service.reports.sequential.report import decided_after
from qbench.service.store import Store


class Prospect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run that is only thought of."""

    order: Order
    controls: Controls = Controls()
    mde: float | None = None
    """Smallest difference of pass rates that is to be shown, above 0 and below 1."""
    power: float = POWER
    discordant: float | None = None
    """Share of samples on which systems disagree; None: by past runs, else 30 %."""


def prospect_of(
    store: Store,
    wanted: Prospect,
    *,
    places: Mapping[str, str] | None = None,
    book: PriceBook | None = None,
) -> Planned:
    """Plan a run without making it.

    What only the machine knows that will run it (rates, ceilings, refusals) is left empty.

    Args:
        store: whose past runs tell spreads, scores and costs.
        wanted: the run.
        places: system id to the machine that is going to serve it, where that is known.
        book: what machines cost, for what is predicted from kernels' rows; None: no dollars.

    Raises:
        NotFound: an unknown suite, task, format or baseline.
        ConfigError: a number is out of range, or the suite has no sample for it.

    """
    request = to_request(wanted.order)
    plan = make_plan(request, wanted.controls, now=datetime.now(UTC))
    known = places or {s.id: wanted.controls.hardware for s in request.systems}
    return Planned(
        suite=f"{request.suite} {request.suite_version}",
        levels=request.levels,
        systems=tuple(s.label for s in request.systems),
        samples=len(plan.samples),
        epochs=request.epochs,
        attempts=plan.attempts,
        cells=len(plan.cells),
        shards=len(plan.shards),
        detectable_difference=detectable(len(plan.samples), assumed().variance(1)),
        margin=request.margin,
        dollars_per_hour={},
        at_most_dollars={},
        refused={},
        decided_after_samples=decided_after(request),
        design=_design(store, request, wanted),
        forecast=forecast_of(store, request, plan.samples, known),
        paces=paces_of(
            store,
            request,
            Asked(
                places=known,
                streams=wanted.controls.concurrency,
                attempts=len(plan.samples) * request.epochs,
            ),
            book,
        ),
    )


def _design(store: Store, request: Request, wanted: Prospect) -> Design | None:
    if wanted.mde is None:
        return None
    return designed(
        store,
        request,
        wanted.controls,
        mde=wanted.mde,
        power=wanted.power,
        discordant=wanted.discordant,
    )
