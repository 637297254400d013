"""``kernels cost``: from rows of kernels to seconds of a token and dollars of a million."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from qbench.cli.options import Json, words
from qbench.cli.pictures import Plot, drawn
from qbench.cli.render import console, kernel_costs
from qbench.errors import ConfigError, NotFound
from qbench.kernels.formats import get_format
from qbench.kernels.layertime.transformer import Transformer, transformer_of
from qbench.kernels.speed.rows import Row, read_rows
from qbench.service.pricebook import read_prices
from qbench.service.reports.efficiency.shapes import CONFIGS, transformer_named
from qbench.service.reports.kernels.known import known_rows
from qbench.service.reports.kernels.report import BATCHES, Wanted, cost_of
from qbench.service.reports.values import to_json
from qbench.workers.engines.schemes import find_config
from qbench.workers.hardware import this_machine


def cost(
    model: Annotated[
        str, typer.Option("--model", "-m", help="A known model, a folder, or a cached Hub id.")
    ] = "Llama-3.1-8B",
    gpu: Annotated[
        str, typer.Option(help="Whose rows: h100, h200 [default: this machine's GPU]")
    ] = "",
    formats: Annotated[
        str, typer.Option("--formats", "-f", help="Comma-separated [default: all that were timed]")
    ] = "",
    batch: Annotated[str, typer.Option(help="Sequences at a time, comma-separated.")] = ",".join(
        map(str, BATCHES)
    ),
    prompt: Annotated[int, typer.Option(min=1, help="Prompt tokens to read.")] = 512,
    output: Annotated[int, typer.Option(min=1, help="Tokens to generate.")] = 128,
    context: Annotated[
        int, typer.Option(min=0, help="Tokens before the prompt that the cache holds already.")
    ] = 0,
    engine: Annotated[
        str, typer.Option(help="Whose kernels and overhead: embedded, vllm, or a contestant.")
    ] = "embedded",
    rows: Annotated[
        list[Path] | None,
        typer.Option("--rows", help="Further rows, from `qbench kernels speed --rows FILE`."),
    ] = None,
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Predict seconds, tokens a second and dollars of each format from rows of its kernels."""
    wanted = Wanted(
        gpu=gpu or this_machine().name,
        engine=engine,
        formats=tuple(get_format(name).name for name in words(formats)),
        batches=_counts(batch),
        prompt=prompt,
        output=output,
        cached=context,
    )
    found = cost_of(_transformer(model), wanted, read_prices(), _rows(rows or []))
    drawn("kernel-costs", found, plot)
    if json:
        console.raw(to_json(found))
    else:
        kernel_costs.report(found)


def _rows(files: list[Path]) -> list[Row]:
    """Return the rows that come with qbench and those of files."""
    return [*known_rows(), *(row for file in files for row in read_rows(file))]


def _counts(text: str) -> tuple[int, ...]:
    """Read batch sizes. Raises ConfigError."""
    try:
        return tuple(sorted({int(part) for part in words(text)}))
    except ValueError:
        raise ConfigError(
            f"Cannot read batch sizes from {text!r}.", hint="Write numbers, like 1,64,256."
        ) from None


def _transformer(model: str) -> Transformer:
    """Return a model's shape by name, else from its config. Raises NotFound."""
    file = find_config(model)
    if file is not None:
        config = msgspec.json.decode(file.read_bytes())
        return transformer_of(config, model.rstrip("/").rpartition("/")[2])
    known = transformer_named(model)
    if known is None:
        raise NotFound.among("model with a known shape", model, CONFIGS)
    return known
