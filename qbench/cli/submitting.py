"""``submit``, ``cancel`` and ``watch``: runs that others make."""

from __future__ import annotations

import time
from collections.abc import Iterator

import typer
from msgspec.structs import replace

from qbench.cli.live import LiveProgress
from qbench.cli.options import (
    Database,
    Json,
    RunRef,
    Wish,
    command,
    dollars,
    ordering,
    remote,
)
from qbench.cli.remote import DEFAULT, RemoteSource, connected
from qbench.cli.render import console
from qbench.cli.running import INVALID, check, drive, show
from qbench.cli.source import Server, Source, open_source, place_of
from qbench.service.desk import ASK_ANEW, Submission
from qbench.service.domain import Controls, RunStatus
from qbench.service.listing import RunProgress
from qbench.service.pricebook import read_prices
from qbench.service.reports.values import SCHEMA, to_json
from qbench.service.store import Store

LOOK_S = 1.0


def _submit(wish: Wish) -> None:
    wanted = Submission(
        order=wish.order, controls=wish.controls, fresh=wish.fresh, priority=wish.priority
    )
    with connected(place_of(wish.server, "") or DEFAULT) as http:
        source = RemoteSource(http)
        made = source.submit(wanted, idempotency_key=wish.idempotency_key)
        if not wish.watch:
            _told(made.run.id, json=wish.json, answer=to_json(made))
            return
        word = "queued" if made.created else "taken up again"
        console.talk.print(f"Run {made.run.id} is {word}.", style="dim")
        _follow(source, made.run.id, source.watch(made.run.id), json=wish.json)


def _told(run_id: str, *, json: bool, answer: bytes) -> None:
    if json:
        console.raw(answer)
    else:
        console.out.print(run_id, markup=False)


submit = ordering(_submit, "Hand a run to a server and watch it.", remote)


def _follow(source: Source, run_id: str, told: Iterator[RunProgress], *, json: bool) -> None:
    """Show a run until it rests, then its leaderboard; exit as ``run`` does."""
    last: RunProgress | None = None
    with LiveProgress() as progress:
        for last in told:
            progress.watch(last)
    status = RunStatus(last.run.status) if last else RunStatus.PLANNED
    board = source.leaderboard(run_id, "saturated", components=json)
    show(board, json=json)
    for name, state in (last.engines if last else {}).items():
        if ": " in state:
            console.talk.print(f"{name}: {state}", markup=False)
    if status is RunStatus.BUDGET:
        console.talk.print(f"The budget is reached. Go on: qbench resume {run_id} --budget MORE")
    if status is RunStatus.BUDGET or any(row.validity.invalid for row in board.rows):
        raise typer.Exit(INVALID)


@command
def cancel(ref: RunRef = "last", server: Server = "", json: Json = False) -> None:
    """Stop a run that a server makes; what has ended is kept."""
    with connected(place_of(server, "") or DEFAULT) as http:
        told = RemoteSource(http).cancel(ref)
    if json:
        console.raw(to_json({"schema": SCHEMA, "run": told.run}))
    else:
        console.talk.print(f"Run {told.run.id} is {told.run.status}.", markup=False)


@command
def resume(
    ref: RunRef = "last",
    budget: str = typer.Option("", help="A larger budget, in dollars; `none` removes it."),
    concurrency: int = typer.Option(0, min=0, help="Attempts in flight [default: as before]."),
    server: Server = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Run what is missing or errored of a run, here or on a server."""
    place = place_of(server, database)
    if not place:
        _resume_here(ref, budget, concurrency, database, json=json)
        return
    with connected(place) as http:
        source = RemoteSource(http)
        told = source.progress(ref)
        controls = changed(told.controls, budget, concurrency)
        run_id = source.resume(told.run.id, controls).run.id
        _follow(source, run_id, source.watch(run_id), json=json)


def _resume_here(ref: str, budget: str, concurrency: int, database: str, *, json: bool) -> None:
    prices = read_prices()
    with Store.open(database) as store:
        found = store.run(ref)
        store.refuse_imported(found.id, hint=ASK_ANEW)
        controls = changed(found.controls, budget, concurrency)
        check(found.request, controls, prices)
        store.set_controls(found.id, controls)
        drive(store.run(found.id), store, prices, json=json)


def changed(controls: Controls, budget: str, concurrency: int) -> Controls:
    """Return a run's controls with what the command line changes. Raises ConfigError."""
    return replace(
        controls,
        budget=controls.budget if not budget else dollars(budget.replace("none", "")),
        concurrency=concurrency or controls.concurrency,
    )


@command
def watch(
    ref: RunRef = "last", server: Server = "", database: Database = "", json: Json = False
) -> None:
    """Follow a run that others make, until it rests."""
    with open_source(server, database) as source:
        run_id = source.progress(ref).run.id
        told = _looking(source, run_id)
        if isinstance(source, RemoteSource):
            told = source.watch(run_id)
        _follow(source, run_id, told, json=json)


def _looking(source: Source, run_id: str) -> Iterator[RunProgress]:
    """Read a database every ``LOOK_S`` until the run rests."""
    while True:
        told = source.progress(run_id)
        yield told
        if told.at_rest:
            return
        time.sleep(LOOK_S)
