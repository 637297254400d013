"""``audit``: a published table, recomputed and judged. No database, no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qbench.cli.options import Json, command, words
from qbench.cli.pictures import Plot, drawn
from qbench.cli.render import audit as render
from qbench.cli.render import console
from qbench.errors import ConfigError
from qbench.service.reports.audit.report import Reading
from qbench.service.reports.audit.report import audit as audited
from qbench.service.reports.values import to_json


@command
def audit(
    file: Annotated[str, typer.Argument(metavar="TABLE", help="A .csv or .json file.")],
    columns: Annotated[
        str,
        typer.Option("--map", help="Meaning=column, like accuracy=acc,system=model+effort."),
    ] = "",
    n: Annotated[
        str, typer.Option("--n", "-n", help="Tasks, like 164, or by group: retail=114,airline=50.")
    ] = "",
    trials: Annotated[int, typer.Option(min=1, help="Attempts at each task.")] = 1,
    price: Annotated[
        str, typer.Option(help="Dollars per GPU hour: A100=1.79,H100=3.29,H100x2=3.19.")
    ] = "",
    baseline: Annotated[
        str, typer.Option(help="System to compare with [default: the first row of each group]")
    ] = "",
    group: Annotated[str, typer.Option(help="Read this group alone.")] = "",
    margin: Annotated[float, typer.Option(help="Difference that counts as equivalent.")] = 0.05,
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Recompute a published table: what is inconsistent, and what its rows really show."""
    if not 0 < margin < 1:
        raise ConfigError(
            f"A margin of {margin} is not a difference of pass rates.",
            hint="Give it between 0 and 1, for example --margin 0.05.",
        )
    reading = Reading(
        columns=pairs(columns),
        n=numbers("--n", n if "=" in n or not n else f"={n}"),
        trials=float(trials),
        prices=numbers("--price", price),
        baseline=baseline,
        group=group,
        margin=margin,
    )
    found = audited(Path(file), reading)
    drawn("audit", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        render.audit(found)


def pairs(text: str) -> dict[str, str]:
    """Read ``a=b,c=d``. Raises ConfigError."""
    found = {}
    for part in words(text):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"Cannot read {part!r}.", hint="Write name=value, name=value.")
        found[name.strip()] = value.strip()
    return found


def numbers(option: str, text: str) -> dict[str, float]:
    """Read positive numbers by name. Raises ConfigError."""
    found = {}
    for name, value in pairs(text).items():
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if not 0 < found[name] < float("inf"):
            raise ConfigError(
                f"{option} {value!r} is no number above 0.", hint=f"Write {option} name=number."
            )
    return found
