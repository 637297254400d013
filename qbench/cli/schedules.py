"""``schedule``: what recurs; ``history``: what it found; ``reprice``: prices of other days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from inspect import Signature, signature
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from qbench.benchmarks.analysis.runs.drift import Watch
from qbench.cli.options import (
    BasisName,
    Database,
    Json,
    RunRef,
    basis_of,
    command,
    read_order,
    words,
)
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question
from qbench.cli.render import console, timeline
from qbench.cli.render.moved import moved
from qbench.cli.source import Server, open_source
from qbench.cli.timetables import open_timetables
from qbench.errors import ConfigError, NotFound
from qbench.service.pricebook import read_prices
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.history.frontier import Ask, frontier_history
from qbench.service.reports.history.report import MOST
from qbench.service.reports.history.values import FrontierHistory
from qbench.service.reports.values import to_json
from qbench.service.schedules import Act, Delivery, Recurring

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a schedule.")]

schedule = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="What recurs: runs that watch for drift, and re-pricings.",
)


def read_recurring(
    name: Name,
    cron: Annotated[
        str, typer.Option(help="Minute, hour, day, month, weekday: '0 3 * * *' is 3 at night.")
    ],
    timezone: Annotated[str, typer.Option(help="For example Europe/Berlin.")] = "UTC",
    act: Annotated[str, typer.Option(help="run, or reprice runs that ended.")] = "run",
    runs: Annotated[str, typer.Option(help="Runs to reprice, comma-separated.")] = "",
    newest: Annotated[int, typer.Option(help="Else so many that ended last.")] = 10,
    basis: BasisName = "saturated",
    window: Annotated[int, typer.Option(help="Most earlier runs to compare with.")] = 8,
    least: Annotated[int, typer.Option(help="Fewest.")] = 3,
    fdr: Annotated[float, typer.Option(help="False discovery rate over all cells.")] = 0.05,
    points: Annotated[float, typer.Option(help="Smallest pass-rate change of interest.")] = 0.02,
    share: Annotated[float, typer.Option(help="Smallest change of cost and tokens.")] = 0.05,
    confirm: Annotated[bool, typer.Option(help="Run again before anybody is told.")] = True,
    webhook: Annotated[str, typer.Option(help="URL that alerts are posted to.")] = "",
    secret_env: Annotated[
        str, typer.Option(help="Variable with its HMAC secret, QBENCH_WEBHOOK_...")
    ] = "",
    email: Annotated[str, typer.Option(help="Addresses, comma-separated.")] = "",
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
) -> Recurring:
    """Read what recurs, but for the order."""
    return Recurring(
        name=name,
        cron=cron,
        timezone=timezone,
        act=_act(act),
        runs=words(runs),
        newest=newest,
        basis=basis_of(basis),
        watch=Watch(
            window=window, window_least=least, q=fdr, points=points, share=share, confirm=confirm
        ),
        delivery=Delivery(webhook=webhook, secret_env=secret_env, email=words(email)),
        priority=priority,
    )


def _act(name: str) -> Act:
    known: dict[str, Act] = {"run": "run", "reprice": "reprice"}
    if name not in known:
        raise NotFound.among("act", name, known)
    return known[name]


def _at(server: Server = "", database: Database = "", json: Json = False) -> None:
    """Declare where it is written and how it is shown."""


def _add(**given: Any) -> None:
    """Make a schedule; the service's beat fires it."""
    own = {name: given.pop(name) for name in signature(read_recurring).parameters}
    server, database, json = (given.pop(name) for name in ("server", "database", "json"))
    order, controls = read_order(**given)
    what = replace(read_recurring(**own), order=order, controls=controls)
    with open_timetables(server, database) as source:
        made = source.add(what)
    if json:
        console.raw(to_json(made))
        return
    timeline.schedules((made,))


_add.__signature__ = Signature(  # type: ignore[attr-defined]  # read by typer
    [
        parameter
        for declared in (read_recurring, read_order, _at)
        for parameter in signature(declared, eval_str=True).parameters.values()
    ]
)
schedule.command("add")(_add)


@schedule.command("list")
def list_schedules(server: Server = "", database: Database = "", json: Json = False) -> None:
    """List the schedules."""
    with open_timetables(server, database) as source:
        found = source.all()
    if json:
        console.raw(to_json(found))
    else:
        timeline.schedules(found.schedules)


@schedule.command("show")
def show(name: Name, server: Server = "", database: Database = "", json: Json = False) -> None:
    """Show a schedule, its newest firings and the alerts they raised."""
    with open_timetables(server, database) as source:
        found = source.show(name)
    if json:
        console.raw(to_json(found))
    else:
        timeline.schedule(found)


@schedule.command("pause")
def pause(name: Name, server: Server = "", database: Database = "") -> None:
    """Let a schedule not come due; a run under way goes on."""
    with open_timetables(server, database) as source:
        source.change(name, "pause")


@schedule.command("resume")
def resume(name: Name, server: Server = "", database: Database = "") -> None:
    """Let a schedule come due again; what was missed stays missed."""
    with open_timetables(server, database) as source:
        source.change(name, "resume")


@schedule.command("rm")
def remove(name: Name, server: Server = "", database: Database = "") -> None:
    """Take a schedule away; its runs and its history stay."""
    with open_timetables(server, database) as source:
        source.change(name, "rm")


@schedule.command("run-now")
def run_now(name: Name, server: Server = "", database: Database = "", json: Json = False) -> None:
    """Fire a schedule beside its times, at the service's next beat."""
    with open_timetables(server, database) as source:
        fired = source.run_now(name)
    if json:
        console.raw(to_json(fired))
    else:
        console.talk.print("Fired: the next beat of the service takes it up.")


@command
def history(
    name: Annotated[
        str, typer.Argument(metavar="[SCHEDULE]", help="A schedule; with --frontier or a run.")
    ] = "",
    run: Annotated[str, typer.Option("--run", help="All runs that asked the same as this.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Newest runs.")] = MOST,
    frontier: Annotated[
        bool, typer.Option("--frontier", help="The frontier over all runs of these samples.")
    ] = False,
    prices: Annotated[
        bool, typer.Option("--prices", help="With --frontier: at every known day's prices, too.")
    ] = False,
    expert: Annotated[str, typer.Option(help="With --frontier: dollars of an expert.")] = "",
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Show what a schedule, or all runs of one request, found over time."""
    if frontier:
        options = CostOptions.read(expert=expert)
        ask = Ask(limit=limit, basis=basis_of(basis), prices=prices, options=options)
        _frontier(name or run or "last", ask, expert, (server, database), json=json, plot=plot)
        return
    if prices or expert or plot:
        raise ConfigError(
            "--prices, --expert and --plot belong to --frontier.", hint="Add --frontier."
        )
    with open_timetables(server, database) as source:
        found = source.history(name, run or ("" if name else "last"), limit)
    if json:
        console.raw(to_json(found))
    else:
        timeline.history(found)


def _frontier(
    name: str, ask: Ask, expert: str, where: tuple[str, str], *, json: bool, plot: str
) -> None:
    question = Question(
        kind=FrontierHistory,
        answer=lambda store: frontier_history(store, name, read_prices(), ask),
        path="/v1/history/frontier",
        query={
            "name": name,
            "limit": ask.limit,
            "basis": ask.basis,
            "prices": str(ask.prices).lower(),
            "expert": expert,
        },
    )
    with open_source(*where) as source:
        found = source.ask(question)
    drawn("history", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        moved(found)


@command
def reprice(
    ref: RunRef = "last",
    as_of: Annotated[str, typer.Option(metavar="DATE", help="Like 2026-03-01; [today]")] = "",
    basis: BasisName = "saturated",
    save: Annotated[bool, typer.Option("--save", help="Keep the table as a snapshot.")] = False,
    server: Server = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Rank a run at the prices of another day; what was booked stays as it is."""
    day = _day(as_of)
    with open_timetables(server, database) as source:
        found = source.reprice(ref, day, basis_of(basis), save=save)
    if json:
        console.raw(to_json(found))
    else:
        timeline.repriced(found)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text) if text else _now().date()
    except ValueError:
        raise ConfigError(f"{text!r} is no date.", hint="Write it like 2026-03-01.") from None


def _now() -> datetime:
    return datetime.now(UTC)
