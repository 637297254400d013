"""What local systems will take on a GPU before anything ran there, from rows of its kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from msgspec import Struct
from msgspec.structs import replace as changed

from qbench.benchmarks.analysis.outcomes import SCORED
from qbench.kernels.layertime.serving import Traffic
from qbench.service.domain import Request, System
from qbench.service.money import exact_seconds, machine_cost
from qbench.service.pricebook import PriceBook
from qbench.service.profiles import stored
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.kernels.predicted import predictor_for, source_of
from qbench.service.reports.kernels.report import Predictor
from qbench.service.reports.prospect.spreads import Past
from qbench.service.reports.prospect.values import Attempts, Pace
from qbench.service.store import Store

USUAL = Attempts(calls=1.0, prompt=512.0, cached=0.0, output=128.0, source="")
"""Where no past run of the suite tells: rates are told, and no totals."""


class Asked(Struct, frozen=True, kw_only=True):
    """How much of a system is going to be run, and where."""

    places: Mapping[str, str]
    """System id to the machine that is going to serve it; empty where unknown."""
    streams: int
    """Attempts in flight."""
    attempts: int
    """Of each system."""


def paces_of(
    store: Store, request: Request, asked: Asked, book: PriceBook | None
) -> tuple[Pace, ...]:
    """Predict the systems whose kernels were timed where they are going to be served.

    Left out are systems with a measured profile there, and those that ran already in a run like
    this one: what was measured goes before what is predicted.

    Args:
        store: whose past runs tell the tokens of an attempt.
        request: what is going to be run.
        asked: how much of it, and where.
        book: what machines cost; None: no dollars are told.

    """
    wanted = [one for one in request.systems if not one.replica and asked.places.get(one.id)]
    if not wanted:
        return ()
    past = Past.of(store, request)
    profiled = {(one.engine_key, one.hardware) for one in stored()}
    found = (
        _predicted(system, asked, past, book)
        for system in wanted
        if (system.engine_key, asked.places[system.id]) not in profiled
        and not past.attempt(system)[2]
    )
    return tuple(one for one in found if one is not None)


def _predicted(system: System, asked: Asked, past: Past, book: PriceBook | None) -> Pace | None:
    place = asked.places[system.id]
    found = predictor_for(system, place)
    if found is None:
        return None
    price = book.machine_price(place, datetime.now(UTC)) if book else None
    return _pace(replace(found, price=price), system, asked, attempts_of(past, system.model))


def attempts_of(past: Past, model: str) -> Attempts:
    """Return what an attempt takes in tokens, told by past runs: by the same model's in them."""
    told = [one for evidence in past.runs for one in _tokens(evidence, model)]
    if not told:
        return USUAL
    calls, read, cached, output = (float(np.mean(column)) for column in zip(*told, strict=True))
    runs = "1 past run" if len(past.runs) == 1 else f"{len(past.runs)} past runs"
    return Attempts(calls=calls, prompt=read, cached=cached, output=output, source=runs)


def _tokens(evidence: Evidence, model: str) -> Iterator[tuple[float, float, float, float]]:
    """Yield calls, read, cached and generated tokens of each scored attempt of a model."""
    out = evidence.outcomes
    places = {evidence.place(one.id) for one in evidence.run.request.systems if one.model == model}
    mine = np.isin(out.system, [place for place in places if place is not None])
    known = mine & (out.status == SCORED) & (out.calls > 0) & ~np.isnan(out.prompt_tokens)
    for at in np.flatnonzero(known):
        cached = float(out.cached_tokens[at])
        read = float(out.prompt_tokens[at]) - cached
        yield float(out.calls[at]), read, cached, float(out.completion_tokens[at])


def _pace(found: Predictor, system: System, asked: Asked, each: Attempts) -> Pace:
    """Predict a system's attempts: every call of theirs is a request of the mean tokens."""
    counts = (each.prompt, each.output, each.cached)
    prompt, output, cached = (round(one / each.calls) for one in counts)
    one = Traffic(prompt=max(1, prompt), output=max(1, output), cached=cached)
    most = found.most(system.format, one.longest)
    batch = min(asked.streams, asked.streams if most is None else most)
    made = Pace(
        label=system.label,
        gpu=found.kernels.gpu,
        kernels=found.kernels.taken(system.format, system.engine).contestant,
        streams=batch,
        each=each,
        source=source_of(found),
    )
    if not batch:
        return made
    return _timed(made, found, system.format, asked.attempts, changed(one, batch=batch))


def _timed(made: Pace, found: Predictor, fmt: str, attempts: int, traffic: Traffic) -> Pace:
    spent = found.time(fmt).batch(traffic)
    tokens, error = traffic.batch * traffic.output, found.error(spent)
    rate = found.dollars(spent.seconds, tokens)
    busy = spent.seconds / traffic.batch * made.each.calls * attempts
    total = None if found.price is None else float(machine_cost(exact_seconds(busy), found.price))
    told = made.each != USUAL
    return changed(
        made,
        tokens_per_second=tokens / spent.seconds,
        per_million=None if rate is None else found.interval(rate, error),
        seconds=found.interval(spent.seconds * made.each.calls, error) if told else None,
        minutes=found.interval(busy / 60, error) if told else None,
        dollars=found.interval(total, error) if told and total is not None else None,
    )
