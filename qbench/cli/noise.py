"""``noise``: how far the same is from itself, and which parts and samples drown in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from qbench.cli.options import Database, Json, command
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question
from qbench.cli.render import console, items, spread
from qbench.cli.source import Server, open_source
from qbench.errors import ConfigError, NotFound
from qbench.service.reports.noise.items import items_of
from qbench.service.reports.noise.report import noise_of
from qbench.service.reports.noise.signal import signal_noise
from qbench.service.reports.noise.values import ItemReport, PartKind, RunNoise, SignalNoise
from qbench.service.reports.values import to_json

T = TypeVar("T")


def _noise(refs: Sequence[str]) -> Question[RunNoise]:
    return Question(
        kind=RunNoise,
        answer=lambda store: noise_of(store, refs),
        path="/v1/noise",
        query={"run": list(refs)},
    )


def _signal(refs: Sequence[str], by: PartKind, least: float) -> Question[SignalNoise]:
    return Question(
        kind=SignalNoise,
        answer=lambda store: signal_noise(store, refs, by, least),
        path="/v1/noise/parts",
        query={"run": list(refs), "by": by, "least_snr": least},
    )


def _items(refs: Sequence[str]) -> Question[ItemReport]:
    return Question(
        kind=ItemReport,
        answer=lambda store: items_of(store, refs),
        path="/v1/noise/items",
        query={"run": list(refs)},
    )


@command
def noise(
    refs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Runs of the same systems; one: all ended runs of its request."
        ),
    ],
    by: Annotated[
        str, typer.Option("--by", help="Signal-to-noise ratio by task, level or family.")
    ] = "",
    least_snr: Annotated[
        float, typer.Option(min=0.0, help="Say which parts to leave out: those below it.")
    ] = 0.0,
    by_item: Annotated[
        bool, typer.Option("--items", help="Difficulty, discrimination and flips of each sample.")
    ] = False,
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Show how far the same is from itself: over runs, over epochs, and in an A/A copy."""
    if by_item and (by or least_snr):
        raise ConfigError("Parts or items are shown.", hint="Give --by or --items, not both.")
    with open_source(server, database) as source:
        if by_item:
            _show("items", source.ask(_items(refs)), items.items, json=json, plot=plot)
        elif by or least_snr:
            found = source.ask(_signal(refs, part_of(by or "task"), least_snr))
            _show("signal", found, spread.signal, json=json, plot=plot)
        else:
            _show("noise", source.ask(_noise(refs)), spread.noise, json=json, plot=plot)


def _show(name: str, found: T, draw: Callable[[T], Any], *, json: bool, plot: str) -> None:
    drawn(name, found, plot)
    if json:
        console.raw(to_json(found))
    else:
        draw(found)


def part_of(name: str) -> PartKind:
    """Read what makes a part. Raises NotFound."""
    known: dict[str, PartKind] = {"task": "task", "level": "level", "family": "family"}
    if name not in known:
        raise NotFound.among("part of a suite", name, known)
    return known[name]
