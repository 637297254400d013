"""``suites``: what is asked; its data, its samples, its solutions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from qbench.benchmarks.catalogue import (
    DECLARED,
    SOURCES,
    asked,
    data_name,
    load_source,
    load_suite,
    suite_names,
)
from qbench.benchmarks.data import fetch, origin_of
from qbench.benchmarks.suite import Sample, Suite
from qbench.cli.options import Json, levels
from qbench.cli.recall import recall
from qbench.cli.render import console, tables
from qbench.cli.suite_files import check, new
from qbench.service.reports.values import SCHEMA, to_json

suites = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Suites: what is asked, where its data comes from, whether it holds water.",
)

Name = Annotated[str, typer.Argument(help="A suite, or suite/task.")]
Number = Annotated[int, typer.Option("--samples", "-n", min=1, help="How many samples.")]
Seed = Annotated[int, typer.Option(help="Another seed draws other samples.")]
Level = Annotated[str, typer.Option("--level", help="Difficulty, like 1 or 2-4 [default: all]")]


@suites.callback(invoke_without_command=True)
def listing(context: typer.Context, json: Json = False) -> None:
    """List the suites with their tasks, levels, licence, and whether their data is here."""
    if context.invoked_subcommand:
        return
    facts = [_facts(load_suite(name)) for name in suite_names()]
    if json:
        console.raw(to_json({"schema": SCHEMA, "suites": facts}))
        return
    headers = ("Suite", "Version", "Tasks>", "Levels", "Licence", "Data", "What it asks")
    tables.rows_of(headers, map(_row, facts))
    if any(fact["data"] == MISSING for fact in facts):
        _say(f"{MISSING}: fetch it once with `qbench suites get SUITE`.")


MISSING = "not here"


def _row(fact: dict[str, Any]) -> tuple[str, ...]:
    levels = fact["levels"]
    span = f"{levels[0]}–{levels[-1]}" if len(levels) > 1 else str(levels[0])
    told = (fact[name] for name in ("license", "data", "description"))
    return (fact["name"], fact["version"], str(len(fact["tasks"])), span, *told)


def _say(line: str) -> None:
    console.talk.print(line, markup=False)


def _facts(suite: Suite) -> dict[str, Any]:
    return {
        "name": suite.name,
        "version": suite.version,
        "tasks": suite.tasks,
        "levels": suite.levels,
        "license": suite.license,
        "data": _data(suite),
        "description": suite.description,
    }


def _data(suite: Suite) -> str:
    name = suite.name.partition("@")[0]
    if name not in SOURCES and (suite.generated or name not in DECLARED):
        return "generated"
    origin = origin_of(name)
    return f"here, {origin.version[:12]}" if origin else MISSING


@suites.command()
def get(
    name: Annotated[str, typer.Argument(help="A suite that needs data.")],
    source: Annotated[
        str, typer.Option("--from", help="Your file, or another id [default: the usual source]")
    ] = "",
) -> None:
    """Fetch a suite's data once; runs never fetch anything."""
    origin = fetch(data_name(name), load_source(name), source, _say)
    _say(
        f"{name} {origin.version} from {origin.source}, licence {origin.license}, "
        f"sha256 {origin.sha256[:12]}. {origin.note}".strip()
    )


suites.command()(check)
suites.command()(new)


@suites.command()
def show(
    name: Name, number: Number = 1, seed: Seed = 0, level: Level = "", json: Json = False
) -> None:
    """Show samples as they are asked, and which tasks there are."""
    if not json:
        suite, tasks = asked(name)
        _say(f"{suite.name} {suite.version}, {suite.license}. Tasks: {', '.join(tasks)}.")
    for sample in _samples(name, number, seed, level):
        if json:
            console.raw(msgspec.json.encode(sample))
            continue
        tables.rows_of((sample.id, ""), _shown(sample))


def _shown(sample: Sample) -> list[tuple[str, str]]:
    said = [("system", sample.system), ("user", sample.prompt)]
    said += [("user", one.prompt) for one in sample.follow_ups]
    said.append(("tools", ", ".join(sample.every_tool)))
    return [(title, text) for title, text in said if text]


@suites.command()
def script(
    name: Name,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    number: Number = 100,
    seed: Seed = 0,
    level: Level = "",
) -> None:
    """Write what a model of known skill says.

    Then: qbench run --engine scripted -o script=skilled -o known=FILE -o accuracy=0.7
    """
    suite, _ = asked(name)
    drawn = _samples(name, number, seed, level)
    known = {
        sample.id: {
            "prompt": sample.prompt,
            "level": sample.level,
            "solution": suite.solution(sample),
            "blunder": suite.blunder(sample),
        }
        for sample in drawn
    }
    out.write_bytes(msgspec.json.encode({"suite": suite.name, "samples": known}))
    _say(f"{out}: {len(known):,} samples of {suite.name}.")


suites.command()(recall)


def _samples(name: str, number: int, seed: int, level: str) -> tuple[Sample, ...]:
    suite, tasks = asked(name)
    wanted = levels(level) or suite.levels
    return suite.samples(seed=seed, tasks=tasks, levels=wanted, limit=number)
