"""``run``, ``plan``, ``resume``, ``score`` and ``watch``: verbs that make or change results."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import typer

from qbench.benchmarks.analysis.paired import detectable
from qbench.cli import render, render_tables
from qbench.cli.live import LiveProgress
from qbench.cli.options import Database, Json, RunRef, Wish, command, ordering
from qbench.cli.source import Server, open_source
from qbench.errors import Unsupported
from qbench.service.domain import Controls, Request, Run, RunStatus
from qbench.service.leaderboard import leaderboard_of
from qbench.service.order import to_request
from qbench.service.plan import Plan, make_plan
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.report import Leaderboard, to_json
from qbench.service.store import Store
from qbench.workers.engines import load_engine
from qbench.workers.steps import execute
from qbench.workers.tariffs import check_budget, planned_tariff

INTERRUPTED = 130
INVALID = 3


def _run(wish: Wish) -> None:
    prices = read_prices()
    request = to_request(wish.order)
    check(request, wish.controls, prices)
    with Store.open(wish.database) as store:
        run = _found_or_made(wish, request, store)
        drive(run, store, prices, json=wish.json)


def check(request: Request, controls: Controls, prices: PriceBook) -> None:
    """Refuse what cannot run here before anything is started.

    Raises:
        Unsupported: an engine refuses a system; the message says why.
        PriceMissing: a budget was set and a system has no price.

    """
    for system in request.systems:
        why = load_engine(system.engine).refuse(system)
        if why:
            raise Unsupported(f"{system.label} cannot run on the engine {system.engine}.", hint=why)
    check_budget(request, controls, prices)


def _found_or_made(wish: Wish, request: Request, store: Store) -> Run:
    """Return the run of this very request, or write a new one."""
    known = None if wish.fresh else store.resumable(request.id)
    if known:
        store.set_controls(known.id, wish.controls)
        return store.run(known.id)
    plan = make_plan(request, wish.controls, now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    return plan.run


def drive(run: Run, store: Store, prices: PriceBook, *, json: bool) -> None:
    """Do what is missing, show the leaderboard, and exit with the code that tells."""
    status: RunStatus = run.status
    if status is RunStatus.DONE:
        render.talk.print(f"Run {run.id} is complete; --fresh runs it anew.", style="dim")
    else:
        with LiveProgress() as progress:
            status = interruptible(execute(run, store, prices, progress))
    board = leaderboard_of(store, run.id, components=json)
    show(board, json=json)
    if status is RunStatus.PAUSED:
        render.talk.print(f"Interrupted; everything so far is saved. Go on: qbench resume {run.id}")
        raise typer.Exit(INTERRUPTED)
    if status is RunStatus.BUDGET:
        render.talk.print(f"The budget is reached. Go on: qbench resume {run.id} --budget MORE")
        raise typer.Exit(INVALID)
    if any(row.validity.invalid for row in board.rows):
        render.talk.print(f"A row is INVALID. Mend its cause, then: qbench resume {run.id}")
        raise typer.Exit(INVALID)


def show(board: Leaderboard, *, json: bool) -> None:
    """Print a leaderboard to stdout."""
    if json:
        render.raw(to_json(board))
    else:
        render_tables.leaderboard(board)


def interruptible(work: Coroutine[Any, Any, RunStatus]) -> RunStatus:
    """Run ``work``; SIGINT and SIGTERM cancel it once, and it is PAUSED then."""

    async def supervised() -> RunStatus:
        task = asyncio.create_task(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop, task)
        try:
            return await task
        except asyncio.CancelledError:
            return RunStatus.PAUSED

    return asyncio.run(supervised())


def _stop(task: asyncio.Task[RunStatus]) -> None:
    render.talk.print("Stopping: saving what has ended ...", style="dim")
    task.cancel()


run = ordering(_run, "Run a suite over models and formats; ends in a leaderboard.")


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
        "detectable_difference": detectable(len(plan.samples)),
        "margin": request.margin,
        "dollars_per_hour": _rates(request, wish.controls, prices),
        "at_most_dollars": _ceilings(plan, wish.controls, prices),
        "refused": {label: why for label, why in refusals.items() if why},
    }
    if wish.json:
        render.raw(to_json(facts))
    else:
        render_tables.facts(facts, title="Plan")


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


@command
def score(
    ref: RunRef = "last", server: Server = "", database: Database = "", json: Json = False
) -> None:
    """Judge a run's stored transcripts again; calls no model."""
    with open_source(server, database) as source:
        changed = source.score(ref)
        render.talk.print(f"{changed:,} attempts of run {ref} judged again.", style="dim")
        show(source.leaderboard(ref, "saturated", components=json), json=json)
