"""``run``, ``plan``, ``resume``, ``score`` and ``watch``: verbs that make or change results."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import typer

from qbench.benchmarks.catalogue import load_strategy
from qbench.benchmarks.sandbox.running import sandbox_kind
from qbench.cli.live import LiveProgress
from qbench.cli.options import Database, Json, RunRef, Wish, command, ordering
from qbench.cli.render import console, tables
from qbench.cli.source import Server, open_source
from qbench.errors import Unsupported
from qbench.service.domain import Controls, Request, Run, RunStatus
from qbench.service.order import to_request
from qbench.service.plan import make_plan
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import Leaderboard, to_json
from qbench.service.store import Store
from qbench.workers.engines import load_engine
from qbench.workers.others import check_others, refuse_others
from qbench.workers.steps import execute
from qbench.workers.tariffs import check_budget

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
        ConfigError: a strategy runs code and there is no sandbox.
        PriceMissing: a budget was set and a system has no price.

    """
    for system in request.systems:
        why = load_engine(system.engine).refuse(system)
        if why:
            raise Unsupported(f"{system.label} cannot run on the engine {system.engine}.", hint=why)
        if load_strategy(system.strategy.name).runs_code(system.strategy):
            asyncio.run(sandbox_kind())
        if why := refuse_others(system):
            raise Unsupported(f"The strategy of {system.label} cannot ask {why}", hint="Mend that.")
    check_budget(request, controls, prices)
    if controls.budget is not None:
        for system in request.systems:
            check_others(system, prices)


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
        console.talk.print(f"Run {run.id} is complete; --fresh runs it anew.", style="dim")
    else:
        with LiveProgress() as progress:
            status = interruptible(execute(run, store, prices, progress))
    board = leaderboard_of(store, run.id, components=json)
    show(board, json=json)
    if status is RunStatus.PAUSED:
        console.talk.print(
            f"Interrupted; everything so far is saved. Go on: qbench resume {run.id}"
        )
        raise typer.Exit(INTERRUPTED)
    if status is RunStatus.BUDGET:
        console.talk.print(f"The budget is reached. Go on: qbench resume {run.id} --budget MORE")
        raise typer.Exit(INVALID)
    if any(row.validity.invalid for row in board.rows):
        console.talk.print(f"A row is INVALID. Mend its cause, then: qbench resume {run.id}")
        raise typer.Exit(INVALID)


def show(board: Leaderboard, *, json: bool) -> None:
    """Print a leaderboard to stdout."""
    if json:
        console.raw(to_json(board))
    else:
        tables.leaderboard(board)


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
    console.talk.print("Stopping: saving what has ended ...", style="dim")
    task.cancel()


run = ordering(_run, "Run a suite over models and formats; ends in a leaderboard.")


@command
def score(
    ref: RunRef = "last", server: Server = "", database: Database = "", json: Json = False
) -> None:
    """Judge a run's stored transcripts again; calls no model."""
    with open_source(server, database) as source:
        changed = source.score(ref)
        console.talk.print(f"{changed:,} attempts of run {ref} judged again.", style="dim")
        show(source.leaderboard(ref, "saturated", components=json), json=json)
