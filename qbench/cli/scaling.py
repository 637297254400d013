"""``scaling``: what more attempts buy."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from qbench.cli.options import BasisName, Database, Json, RunRef, basis_of, command, words
from qbench.cli.pictures import Plot, drawn
from qbench.cli.question import Question, of_run
from qbench.cli.render import console
from qbench.cli.render import scaling as tables
from qbench.cli.source import Server, open_source
from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Basis
from qbench.service.reports.scaling.report import scaling_of
from qbench.service.reports.scaling.values import CostUnit, Scaling, ScalingAsked
from qbench.service.reports.values import to_json

UNITS: dict[str, CostUnit] = {"dollars": "dollars", "kinetics": "kinetics"}


def _scaling(ref: str, asked: ScalingAsked, basis: Basis) -> Question[Scaling]:
    return Question(
        kind=Scaling,
        answer=lambda store: scaling_of(store, ref, asked, basis),
        path=of_run(ref, "scaling"),
        query=_query(asked) | {"basis": basis},
    )


def _query(asked: ScalingAsked) -> dict[str, Any]:
    """Return the parameters of the route; those that nobody named are not sent."""
    told: dict[str, Any] = {
        "k": list(asked.ks),
        "soundness": asked.soundness,
        "completeness": asked.completeness,
        "false_positive_cost": asked.false_positive_cost,
        "attempt_cost": asked.attempt_cost,
        "weak_test": asked.weak_test,
        "budget": list(asked.budgets),
        "cost": asked.cost,
        "gpu": asked.gpu,
        "at_once": "true" if asked.at_once else "",
        "least_gain": asked.least_gain,
    }
    return {name: value for name, value in told.items() if value not in (None, [], "")}


@command
def scaling(
    ref: RunRef = "last",
    k: Annotated[
        str, typer.Option("--k", help="Numbers of attempts [default: 1,2,4,8 … of the run]")
    ] = "",
    soundness: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of wrong answers that a verifier rejects."),
    ] = None,
    completeness: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of right ones it accepts [default: 1]")
    ] = None,
    false_positive_cost: Annotated[
        float, typer.Option(min=0, help="What a false answer loses, in right answers.")
    ] = 0.0,
    attempt_cost: Annotated[
        float, typer.Option(min=0, help="What an attempt loses, in right answers.")
    ] = 0.0,
    weak_test: Annotated[
        str, typer.Option(help="A score component; attempts where it is 1 are accepted.")
    ] = "",
    budget: Annotated[
        str, typer.Option(help="Per sample, in the unit of --cost; several with commas.")
    ] = "",
    cost: Annotated[
        str, typer.Option(help="dollars, or kinetics: TeFLOPs by tokens and model shape.")
    ] = "dollars",
    gpu: Annotated[str, typer.Option(help="For kinetics: b200 or h100.")] = "b200",
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Pay for all k attempts; else stop when accepted.")
    ] = False,
    least_gain: Annotated[
        float, typer.Option(help="Coverage per attempt at which more stop paying.")
    ] = 0.005,
    basis: BasisName = "saturated",
    server: Server = "",
    database: Database = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """What more attempts at a sample buy: coverage, saturation, verifiers, best plan per budget."""
    if cost not in UNITS:
        raise NotFound.among("unit of cost", cost, UNITS)
    if not 0 < least_gain < 1:
        raise ConfigError(
            f"A least gain of {least_gain:g} is no share.", hint="Write it like 0.005."
        )
    asked = ScalingAsked(
        ks=tuple(int(number) for number in _numbers(k, "--k 1,2,4,8", whole=True)),
        soundness=soundness,
        completeness=completeness,
        false_positive_cost=false_positive_cost,
        attempt_cost=attempt_cost,
        weak_test=weak_test,
        budgets=_numbers(budget.replace("$", ""), "--budget 0.001,0.01"),
        cost=UNITS[cost],
        gpu=gpu,
        at_once=at_once,
        least_gain=least_gain,
    )
    with open_source(server, database) as source:
        found = source.ask(_scaling(ref, asked, basis_of(basis)))
    drawn("scaling", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        tables.scaling(found)


def _numbers(text: str, example: str, *, whole: bool = False) -> tuple[float, ...]:
    """Read numbers above 0 with commas between them. Raises ConfigError."""
    try:
        found = tuple(int(word) if whole else float(word) for word in words(text))
    except ValueError:
        found = (-1,)
    if any(not (math.isfinite(one) and one > 0) for one in found):
        raise ConfigError(f"Cannot read numbers above 0 from {text!r}.", hint=f"Write {example}.")
    return found
