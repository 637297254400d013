"""``sensitivity``: which layers suffer in a format, and which to keep wider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from qbench.cli.options import Json, command, words
from qbench.cli.render import console, layers, quantization
from qbench.errors import ConfigError, NotFound
from qbench.kernels.formats import get_format
from qbench.service.catalogue import DEFAULT_MODEL, full_name
from qbench.service.reports.values import SCHEMA, to_json
from qbench.workers.checkpoints import resolve
from qbench.workers.quantize.calibration import Calibration, ready_tokens
from qbench.workers.quantize.environment import find_tool
from qbench.workers.quantize.identity import refuse_quantized
from qbench.workers.sensitivity import Measure, Report, Study, read_budget, study

MEASURES: dict[str, Measure] = {"kl": "kl", "output": "output"}
RECIPES = ("rtn", "mse", "gptq")


@command
def sensitivity(
    model: Annotated[str, typer.Argument(help="Hub id or folder.")] = DEFAULT_MODEL,
    format_name: Annotated[str, typer.Option("--format", "-f", help="Of most layers.")] = "w4a16",
    other: Annotated[
        str, typer.Option(help="Wider formats that layers may have instead, comma-separated.")
    ] = "w8a16,bf16",
    budget: Annotated[
        str, typer.Option(help="Mean bits per weight of the decoder's layers: 4.8bits.")
    ] = "",
    max_error: Annotated[
        float | None,
        typer.Option(min=0, help="Or: most error that may be left, all units' summed."),
    ] = None,
    measure: Annotated[
        str, typer.Option(help="kl: what each unit alone does to the answers; output: to its own.")
    ] = "kl",
    recipe: Annotated[str, typer.Option(help="rtn, mse or gptq.")] = "rtn",
    calibration: Annotated[
        str, typer.Option(help="A suite's training samples, a text file, or hub:NAME.")
    ] = "mcp",
    samples: Annotated[int, typer.Option("--samples", "-n", help="Sequences.")] = 4,
    length: Annotated[int, typer.Option(help="Longest sequence, in tokens.")] = 128,
    checks: Annotated[
        int, typer.Option(min=-1, help="Random choices to compare with; -1: check nothing.")
    ] = 5,
    seed: Annotated[int, typer.Option(help="Of the data and the random choices.")] = 0,
    out: Annotated[str, typer.Option(help="File for the recipe: quantize --layers takes it.")] = "",
    json: Json = False,
) -> None:
    """Measure every layer's error in a format, and choose which layers to keep wider."""
    limits = read_budget(budget, max_error)
    if measure not in MEASURES:
        raise NotFound.among("measure", measure, MEASURES)
    if recipe not in RECIPES:
        raise NotFound.among("recipe to measure by", recipe, RECIPES)
    names = _names(format_name, other)
    source = resolve(full_name(model), quantization.say)
    refuse_quantized(source, model)
    data = Calibration(source=calibration, samples=samples, length=length, seed=seed)
    tokens = ready_tokens(Path(source.path), data, find_tool(), quantization.say)
    with quantization.Steps(names[0]) as steps:
        report = study(
            Study(
                checkpoint=source.path,
                out="",
                format=names[0],
                others=names[1:],
                tokens=tokens.path,
                probe=tokens.probe,
                budget=limits,
                measure=MEASURES[measure],
                recipe=recipe,
                checks=checks,
                seed=seed,
            ),
            steps.show,
        )
    _shown(report, full_name(model), out, json=json)


def _names(format_name: str, other: str) -> list[str]:
    """Return the formats by name, the main one first, each once."""
    found = [get_format(name) for name in (format_name, *words(other))]
    if found[0].weights is None:
        raise ConfigError(
            f"{found[0].name} is no quantization.", hint="Name a format with codes: --format w4a16."
        )
    small = {fmt.name for fmt in found if fmt.weights is not None}
    if "nf4" in small and len(small) > 1:
        raise ConfigError(
            "nf4 cannot stand beside other formats in one checkpoint: bitsandbytes has no other.",
            hint="Let layers stay in 16 bits instead: --other bf16.",
        )
    return list(dict.fromkeys(fmt.name for fmt in found))


def _shown(report: Report, model: str, out: str, *, json: bool) -> None:
    if out:
        Path(out).expanduser().write_text(yaml.safe_dump(report.layers, sort_keys=False))
    if json:
        told = {"schema": SCHEMA, "model": model, "report": report, "layers": report.layers}
        console.raw(to_json(told))
    else:
        layers.report(report, out)
