"""``quantize``: make quantized checkpoints, and list what was made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import yaml

from qbench.cli.options import Json, command, pairs, words
from qbench.cli.render import console, quantization
from qbench.errors import ConfigError
from qbench.service.catalogue import DEFAULT_MODEL, full_name
from qbench.service.reports.values import SCHEMA, to_json
from qbench.workers.quantize.cache import Entry, entries
from qbench.workers.quantize.calibration import Calibration
from qbench.workers.quantize.identity import Progress, Wish
from qbench.workers.quantize.making import Watch, ensure_entry


@command
def quantize(
    model: Annotated[str, typer.Argument(help="Hub id or folder.")] = DEFAULT_MODEL,
    formats: Annotated[
        str, typer.Option("--format", "-f", help="Comma-separated; see `qbench formats`.")
    ] = "",
    recipe: Annotated[
        str,
        typer.Option(
            help="rtn, mse, gptq, awq or smoothquant+gptq [default: the format's own, mostly rtn]"
        ),
    ] = "",
    calibration: Annotated[
        str, typer.Option(help="A suite's training samples, a text file, or hub:NAME.")
    ] = "mcp",
    samples: Annotated[int, typer.Option("--samples", "-n", help="Calibration sequences.")] = 128,
    length: Annotated[int, typer.Option(help="Longest calibration sequence, in tokens.")] = 2048,
    seed: Annotated[int, typer.Option(help="Of the calibration data and the maker.")] = 0,
    layers: Annotated[
        str, typer.Option(help="JSON or YAML file: part of a layer's name -> format.")
    ] = "",
    low_rank: Annotated[
        int, typer.Option(min=0, help="Rank of a correction of the error; 0: none.")
    ] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Recipe option key=value; may be repeated."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List what was made before.")] = False,
    json: Json = False,
) -> None:
    """Make quantized checkpoints that vLLM loads, once; the same again costs nothing."""
    if listing:
        _listed(entries(), json=json)
        return
    if not formats:
        raise ConfigError("No format was named.", hint="Add --format w4a16, or see --list.")
    wish = Wish(
        calibration=Calibration(source=calibration, samples=samples, length=length, seed=seed),
        layers=read_layers(layers),
        low_rank=low_rank,
        options=pairs(option or ()),
        seed=seed,
    )
    made = [_one(full_name(model), name, recipe, wish) for name in words(formats)]
    if json:
        console.raw(to_json({"schema": SCHEMA, "made": [facts(entry) for entry in made]}))
    else:
        quantization.made(made)


def _one(model: str, name: str, recipe: str, wish: Wish) -> Entry:
    with _shown(name) as progress:
        watch = Watch(quantization.say, progress)
        return ensure_entry(model, name, recipe=recipe, wish=wish, watch=watch)


@contextmanager
def _shown(name: str) -> Iterator[Progress]:
    """Show a bar with the time left; a line per step where there is no terminal."""
    with quantization.Steps(name) as steps:
        yield steps.show


def read_layers(file: str) -> dict[str, str]:
    """Read a file of patterns and formats; empty without a file. Raises ConfigError."""
    if not file:
        return {}
    try:
        return msgspec.convert(yaml.safe_load(Path(file).expanduser().read_text()), dict[str, str])
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"{file} cannot be read as layers and formats: {error}",
            hint="Write JSON or YAML like {'layers\\.0\\.': 'bf16', 'down_proj': 'w8a16'}.",
        ) from error


def facts(entry: Entry) -> dict[str, Any]:
    """Return what JSON says of a checkpoint."""
    told = entry.manifest
    worst = told.worst
    return {
        "path": entry.path,
        "model": told.model,
        "format": told.format,
        "recipe": told.recipe,
        "label": told.label,
        "fingerprint": told.fingerprint,
        "bytes": told.size.bytes,
        "bits_per_weight": told.size.bits_per_weight,
        "bits_overall": told.size.bits_overall,
        "mean_error": told.mean_error,
        "worst_error": worst[1] if worst else None,
        "worst_layer": worst[0] if worst else None,
        "seconds": told.seconds,
        "made_at": told.made_at,
        "calibration": told.calibration,
        "license": told.license,
    }


def _listed(found: list[Entry], *, json: bool) -> None:
    if json:
        console.raw(to_json({"schema": SCHEMA, "checkpoints": [facts(entry) for entry in found]}))
    else:
        quantization.listed(found)
