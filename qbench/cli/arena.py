"""``arena``: the answers of a run compared with each other by a judge model."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated, Any

import typer

from qbench.benchmarks.chat import Sampling
from qbench.cli.options import Database, Json, RunRef, command, dollars, pairs
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import arena as tables
from qbench.cli.render import console
from qbench.cli.source import Server, open_source, place_of
from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.service.catalogue import default_engine, full_name
from qbench.service.domain import Controls, Run, System
from qbench.service.order import NATIVE
from qbench.service.pricebook import read_prices
from qbench.service.reports.arena.report import arena_of, check_design
from qbench.service.reports.arena.values import Arena
from qbench.service.reports.comparison.report import find_system
from qbench.service.reports.values import to_json
from qbench.service.store import Store
from qbench.service.tournaments import Kind, Tournament
from qbench.workers.tournaments import Judged, judge_run, refuse_judge

DESIGNS: dict[str, Kind] = {
    "single-elimination": "single-elimination",
    "anchored": "anchored",
    "round-robin": "round-robin",
}
UNFINISHED = 3


@command
def arena(
    ref: RunRef = "last",
    judge: Annotated[
        str, typer.Option(help="Model that judges; without one, show what is stored.")
    ] = "",
    judge_url: Annotated[str, typer.Option(help="Its OpenAI-compatible endpoint.")] = "",
    judge_engine: Annotated[
        str, typer.Option(help="api, external or scripted [default: by model]")
    ] = "",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Of the judge's engine, key=value; may be repeated."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of one judgement.")] = 512,
    design: Annotated[
        str, typer.Option(help="single-elimination, anchored or round-robin.")
    ] = "single-elimination",
    anchor: Annotated[
        str, typer.Option(help="System that all others meet [default: the baseline]")
    ] = "",
    swap: Annotated[
        bool, typer.Option(help="Ask every match in both orders; contradiction is a tie.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the brackets.")] = 0,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Judge passed against failed attempts of a scored run."),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most pairs to calibrate with.")] = 200,
    budget: Annotated[str, typer.Option(help="Dollars for the judge; stops before them.")] = "",
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, help="Questions in flight.")
    ] = 16,
    tournament: Annotated[
        str, typer.Option(help="Show this one [default: the one just judged, or the newest]")
    ] = "",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Rank answers without a reference: random brackets per prompt, a judge, Elo with intervals.

    A tournament that was stopped goes on where it was; its judgements are kept and paid once.
    """
    judged: Judged | None = None
    if judge:
        if place_of(server, database):
            raise Unsupported(
                "A server does not judge.", hint="Judge where the database is, with --database."
            )
        controls = Controls(budget=dollars(budget), concurrency=concurrency)
        wanted = _judge(judge, judge_url, judge_engine, pairs(option or ()), max_tokens)
        kind = "calibration" if calibrate else _design(design)
        with Store.open(database) as store:
            made = _tournament(store.run(ref), wanted, kind, anchor, swap, seed, limit)
            judged = _drive(made, store, controls)
            ref, tournament = made.run_id, made.id
    question = _question(ref, tournament)
    with open_source(server, database) as source:
        found = source.ask(question)
    drawn("arena", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        tables.arena(found)
    _tell(judged, found)


def _judge(model: str, url: str, engine: str, options: dict[str, Any], tokens: int) -> System:
    name = full_name(model)
    chosen = engine or default_engine(name, url)
    return System(
        model=name,
        format=NATIVE,
        engine=chosen,
        base_url=url,
        options=options,
        sampling=Sampling(max_tokens=tokens),
    )


def _design(name: str) -> Kind:
    if name not in DESIGNS:
        raise NotFound.among("design", name, DESIGNS)
    return DESIGNS[name]


def _tournament(
    run: Run, judge: System, kind: Kind, anchor: str, swap: bool, seed: int, limit: int
) -> Tournament:
    if anchor and kind != "anchored":
        raise ConfigError("Only --design anchored has an anchor.", hint="Leave --anchor out.")
    chosen = find_system(run.request.systems, anchor).id if anchor else run.request.baseline
    made = Tournament(
        run_id=run.id,
        judge=judge,
        design=kind,
        swap=swap,
        seed=seed,
        anchor=chosen if kind == "anchored" else "",
        pairs=limit if kind == "calibration" else 0,
    )
    check_design(run, made)
    return made


def _drive(made: Tournament, store: Store, controls: Controls) -> Judged:
    prices = read_prices()
    refuse_judge(made.judge, controls, prices)
    shown = 0

    def tell(asked: int, failed: int, spent: Decimal) -> None:
        nonlocal shown
        if asked + failed >= shown + 100:
            shown = asked + failed
            lost = f", {failed:,} failed" if failed else ""
            paid = f"; {console.dollars(spent)} so far" if spent else ""
            console.talk.print(f"{asked:,} questions judged{lost}{paid}", style="dim")

    return asyncio.run(judge_run(made, store, prices, controls, tell, _say))


def _say(line: str) -> None:
    console.talk.print(line, style="dim", markup=False)


def _question(ref: str, tournament: str) -> Question[Arena]:
    return Question(
        kind=Arena,
        answer=lambda store: arena_of(store, ref, tournament),
        path=of_run(ref, "arena"),
        query={"tournament": tournament},
    )


def _tell(judged: Judged | None, found: Arena) -> None:
    """Say what is missing, and exit with the code that tells."""
    if judged is not None and judged.failed:
        console.talk.print(
            f"{judged.failed:,} questions were not answered ({judged.fault}); the same command"
            " asks them again.",
            markup=False,
        )
    if judged is not None and judged.budget_reached:
        console.talk.print("The budget is reached: the same command with more goes on.")
    if found.invalid or (judged is not None and (judged.failed or judged.budget_reached)):
        raise typer.Exit(UNFINISHED)
