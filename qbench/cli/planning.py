"""``plan``: what a run would do, cost and be able to detect."""

from __future__ import annotations

from datetime import UTC, datetime

from qbench.benchmarks.analysis.design import assumed, detectable
from qbench.cli.options import Wish, ordering
from qbench.cli.render import console, tables
from qbench.service.domain import Controls, Request
from qbench.service.order import to_request
from qbench.service.plan import Plan, make_plan
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.reports.values import to_json
from qbench.workers.engines import load_engine
from qbench.workers.tariffs import planned_tariff


def _plan(wish: Wish) -> None:
    prices = read_prices()
    request = to_request(wish.order)
    plan = make_plan(request, wish.controls, now=datetime.now(UTC))
    refusals = {s.label: load_engine(s.engine).refuse(s) for s in request.systems}
    facts = {
        "suite": f"{request.suite} {request.suite_version}",
        "levels": list(request.levels),
        "systems": [s.label for s in request.systems],
        "samples": len(plan.samples),
        "epochs": request.epochs,
        "attempts": plan.attempts,
        "cells": len(plan.cells),
        "shards": len(plan.shards),
        "detectable_difference": detectable(len(plan.samples), assumed().variance(1)),
        "margin": request.margin,
        "dollars_per_hour": _rates(request, wish.controls, prices),
        "at_most_dollars": _ceilings(plan, wish.controls, prices),
        "refused": {label: why for label, why in refusals.items() if why},
    }
    if wish.json:
        console.raw(to_json(facts))
    else:
        tables.facts(facts, title="Plan")


def _rates(request: Request, controls: Controls, prices: PriceBook) -> dict[str, float | None]:
    """Return what each local system's machine costs by the hour; None where unpriced."""
    found: dict[str, float | None] = {}
    for system in request.systems:
        machine = planned_tariff(system, controls, prices).machine
        if system.engine != "api":
            found[system.label] = float(machine.per_hour) if machine else None
    return found


def _ceilings(plan: Plan, controls: Controls, prices: PriceBook) -> dict[str, float | None]:
    """Return the most that each API system can cost, every limit used up; None where unpriced."""
    request = plan.run.request
    attempts = len(plan.samples) * request.epochs
    found: dict[str, float | None] = {}
    for system in request.systems:
        if system.engine == "api":
            each = planned_tariff(system, controls, prices).worst(request.limits)
            found[system.label] = float(each * attempts) if each else None
    return found


plan = ordering(_plan, "Show what a run would do, cost and be able to detect.")
