"""``profile``: how long a model takes for a grid of token counts, measured once and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from qbench.cli.options import Json, command, pairs, words
from qbench.cli.pictures import Plot, drawn
from qbench.cli.render import console, profiles, quantization
from qbench.errors import ConfigError, NotFound
from qbench.kernels.formats import get_format
from qbench.service.catalogue import DEFAULT_MODEL, default_engine, full_name
from qbench.service.domain import Strategy, System
from qbench.service.order import NATIVE
from qbench.service.pricebook import read_prices
from qbench.service.profiles import Profile, save, stored
from qbench.service.reports.efficiency.profiles import Nominal, profiles_report
from qbench.service.reports.values import to_json
from qbench.workers.profiling import Plan
from qbench.workers.profiling import profiles as measure

Watts = Annotated[
    float | None,
    typer.Option(min=0, help="Power of one device [default: measured, else the price book's]"),
]


@command
def profile(
    model: Annotated[
        str, typer.Argument(help="Hub id, folder, or the name at --base-url.")
    ] = DEFAULT_MODEL,
    formats: Annotated[
        str,
        typer.Option("--formats", "-f", help="Comma-separated; the first is compared with."),
    ] = "",
    engine: Annotated[
        str, typer.Option(help="embedded, vllm or external [default: by model]")
    ] = "",
    base_url: Annotated[str, typer.Option(help="Of an OpenAI-compatible endpoint.")] = "",
    prompts: Annotated[str, typer.Option(help="Prompt tokens, comma-separated.")] = "32,128,512",
    outputs: Annotated[str, typer.Option(help="Generated tokens; 1 must be there.")] = "1,16,64",
    repeats: Annotated[int, typer.Option(min=1, help="Requests of each shape.")] = 3,
    streams: Annotated[
        int, typer.Option(min=0, help="Measure throughput with so many in flight, too.")
    ] = 0,
    denoised: Annotated[
        bool,
        typer.Option("--denoised", help="Fit the fastest repeats: where others use the machine."),
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Engine option key=value, as for `run`."),
    ] = None,
    hardware: Annotated[
        str, typer.Option(help="Machine to price by; see `qbench prices` [default: detected]")
    ] = "",
    watts: Watts = None,
    peak_tflops: Annotated[
        float | None, typer.Option(min=0, help="Peak of one device [default: its maker's]")
    ] = None,
    stored_only: Annotated[
        bool, typer.Option("--stored", help="Measure nothing: show what is kept of the model.")
    ] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="List all profiles that are kept.")
    ] = False,
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Time a grid of prompt and reply lengths, one request at a time; any run is costed with it."""
    if listing:
        _listed(json=json)
        return
    systems = _systems(full_name(model), words(formats), engine, base_url, pairs(option or ()))
    if stored_only:
        found = _kept(systems, everything=not formats)
    else:
        plan = Plan(
            prompts=_counts(prompts),
            outputs=_counts(outputs),
            repeats=repeats,
            streams=streams,
            denoised=denoised,
        )
        plan.check()
        found = _measured(systems, plan)
    nominal = Nominal(
        watts=watts, peak=None if peak_tflops is None else 1e12 * peak_tflops, hardware=hardware
    )
    report = profiles_report(found, read_prices(), nominal)
    drawn("profile", report, plot)
    if json:
        console.raw(to_json(report))
    else:
        profiles.report(report)


def _systems(
    model: str, formats: Sequence[str], engine: str, base_url: str, options: dict[str, Any]
) -> list[System]:
    """Return what is to be served, as a run would serve it. Raises ConfigError, NotFound."""
    chosen = engine or default_engine(model, base_url)
    if chosen not in ("embedded", "vllm", "external"):
        raise ConfigError(
            f"The {chosen} engine has no machine of ours to profile.",
            hint="Profile a local model; cost the run with it: qbench efficiency RUN --profile.",
        )
    names = formats or ((NATIVE,) if chosen == "external" else ("bf16",))
    if chosen != "external":
        names = [get_format(name).name for name in names]
    return [
        System(
            model=model,
            format=name,
            engine=chosen,
            strategy=Strategy(tool_protocol="text"),
            base_url=base_url if chosen == "external" else "",
            options=options,
        )
        for name in names
    ]


def _counts(text: str) -> tuple[int, ...]:
    """Read token counts. Raises ConfigError."""
    try:
        return tuple(sorted({int(part) for part in words(text)}))
    except ValueError:
        raise ConfigError(
            f"Cannot read token counts from {text!r}.", hint="Write numbers, like 32,128,512."
        ) from None


def _measured(systems: Sequence[System], plan: Plan) -> list[Profile]:
    made = asyncio.run(measure(systems, plan, quantization.say))
    for one in made:
        quantization.say(f"{one.label}: kept in {save(one)}")
    return made


def _kept(systems: Sequence[System], *, everything: bool) -> list[Profile]:
    """Return the newest kept profile of each format of a model. Raises NotFound."""
    model, wanted = systems[0].model, {system.format for system in systems}
    mine = [one for one in stored() if one.model == model and (everything or one.format in wanted)]
    newest = {one.format: one for one in reversed(mine)}
    order = [system.format for system in systems]
    if not newest:
        raise NotFound(
            f"No profile of {model} is kept.", hint=f"Measure it: qbench profile {model}"
        )
    return sorted(
        newest.values(),
        key=lambda one: (
            order.index(one.format) if one.format in order else len(order),
            one.format,
        ),
    )


def _listed(*, json: bool) -> None:
    found = stored()
    if json:
        console.raw(to_json({"schema": 1, "profiles": found}))
    else:
        profiles.listed(found)
