"""``suites check`` and ``suites new``: whether a suite holds water, and a first file of one."""

from __future__ import annotations

import asyncio
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from qbench.benchmarks.catalogue import load_suite, reference_free, suite_names
from qbench.benchmarks.checking.findings import Checked
from qbench.benchmarks.checking.suites import check_suite
from qbench.cli.options import Json
from qbench.cli.render import checks, console
from qbench.errors import ConfigError, NotFound
from qbench.service.reports.values import SCHEMA, to_json

TEMPLATES = {"questions": ".csv", "choices": ".jsonl", "mcp": ""}
"""By name: the ending of the data file beside the YAML, where there is one."""


def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Suites or YAML files [default: all that ship]")
    ] = None,
    number: Annotated[int, typer.Option("--samples", "-n", min=5, help="Samples of each.")] = 60,
    seed: Annotated[int, typer.Option(help="Another seed draws other samples.")] = 0,
    json: Json = False,
) -> None:
    """Check that references pass, wrong answers fail, and the same seed draws the same samples.

    Exit code 1 when a check failed; what is not on this machine is told and fails nothing, unless
    it was named.
    """
    found = [_checked(name, seed, number) for name in names or suite_names()]
    if json:
        console.raw(to_json({"schema": SCHEMA, "suites": found}))
    else:
        checks.checked(found)
    if any(one.failed or (names and one.skipped) for one in found):
        raise typer.Exit(1)


def _checked(name: str, seed: int, number: int) -> Checked:
    console.talk.print(f"checking {name}", markup=False)
    free = reference_free(name)
    return asyncio.run(check_suite(load_suite(name), seed=seed, limit=number, free=free))


def new(
    name: Annotated[str, typer.Argument(help="The new suite's name.")],
    template: Annotated[
        str, typer.Option("--template", "-t", help="questions, choices or mcp.")
    ] = "questions",
    folder: Annotated[Path, typer.Option("--in", help="Where to write.")] = Path(),
) -> None:
    """Write a commented YAML file and a little data that run as they are."""
    if template not in TEMPLATES:
        raise NotFound.among("template", template, TEMPLATES)
    room = resources.files("qbench.benchmarks.suites.declared") / "templates"
    made = {f"{name}.yaml": (room / f"{template}.yaml").read_text("utf-8")}
    if TEMPLATES[template]:
        data = f"{name}{TEMPLATES[template]}"
        made[data] = (room / f"{template}{TEMPLATES[template]}").read_text("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in made.items():
        path = folder / file
        if path.exists():
            raise ConfigError(f"{path} is there already.", hint="Choose another name or folder.")
        path.write_text(text.replace("NAME", name), "utf-8")
    path = folder / f"{name}.yaml"
    console.talk.print(f"{path} written. Then: qbench suites check {path}", markup=False)
    console.talk.print(f"and: qbench run --suite {path}", markup=False)
