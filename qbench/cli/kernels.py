"""``kernels``: which GPU programs there are, whether they are right, and how fast they are."""

from __future__ import annotations

import csv
import importlib
import secrets
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from qbench.cli.kernel_costs import cost
from qbench.cli.options import Json, words
from qbench.cli.pictures import Plot, drawn
from qbench.cli.render import console, quantization
from qbench.cli.render import kernels as render
from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.kernels.checking.kernels import KERNELS
from qbench.kernels.checking.values import Checks
from qbench.kernels.checking.values import Choice as Checking
from qbench.kernels.paths import architecture_of
from qbench.kernels.speed.choice import Choice
from qbench.kernels.speed.reading import boards, by_layer, derived, of_model, raised, ratios
from qbench.kernels.speed.rows import Row, measured, read_rows
from qbench.kernels.speed.shapes import DECODERS, TOKENS
from qbench.service.database import default_file
from qbench.service.reports.values import SCHEMA, to_json
from qbench.workers.hardware import cores

kernels = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="GPU kernels: whether they are right, how fast they are, what a token costs with them.",
)

SEAMS = {
    "check": "qbench.kernels.checking.mode:check",
    "measure": "qbench.kernels.speed.session:measure",
}
"""What needs torch, loaded when it is called."""
PACKAGED = "measured"
"""Stands for the rows that come with qbench where a file could."""

Formats = Annotated[
    str, typer.Option("--formats", "-f", help="Comma-separated [default: all that have kernels]")
]
FILE = f"Rows that `qbench kernels speed` wrote; `{PACKAGED}`: those that come with qbench."


@kernels.command("list")
def listed(
    gpu: Annotated[
        str, typer.Option("--gpu", help="Leave out what does not run there: h100, l40s, sm_90")
    ] = "",
    json: Json = False,
) -> None:
    """List the kernels, for which formats they are and on which generations of GPUs they run."""
    found = [kernel for kernel in KERNELS if not gpu or kernel.runs_on(architecture_of(gpu))]
    if json:
        console.raw(to_json({"schema": SCHEMA, "kernels": found}))
    else:
        render.listed(found)


@kernels.command()
def check(
    kernel: Annotated[
        str, typer.Option("--kernels", help="Comma-separated; see `qbench kernels list`.")
    ] = "",
    formats: Formats = "",
    dtypes: Annotated[str, typer.Option(help="Of 16-bit inputs, comma-separated.")] = "bf16,fp16",
    shapes: Annotated[
        str,
        typer.Option(
            help="tiny, real, or tokens x outputs x inputs like 16x4096x4096, comma-separated "
            "[default: tiny, and real on a GPU]"
        ),
    ] = "",
    seed: Annotated[
        int | None, typer.Option(help="Of all random numbers [default: a new one, printed]")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="Processes that check at once [default: half the cores]")
    ] = 0,
    json: Json = False,
) -> None:
    """Compare every kernel with float64 on fresh random inputs; without a GPU, interpreted."""
    choice = Checking(
        kernels=words(kernel),
        formats=words(formats),
        dtypes=words(dtypes),
        sizes=words(shapes),
        seed=secrets.randbelow(2**31) if seed is None else seed,
        jobs=jobs or _half_the_cores(),
    )
    found = _seam("check")(choice, quantization.say, render.Watch())
    if json:
        failed = len(found.failed)
        console.raw(to_json({"schema": SCHEMA, "failed": failed, **_plain(found)}))
    else:
        render.checks(found)
    if found.failed:
        raise typer.Exit(1)


@kernels.command()
def speed(
    models: Annotated[
        str, typer.Option("--models", "-m", help="Whose layers, comma-separated.")
    ] = ",".join(DECODERS),
    layers: Annotated[
        str, typer.Option(help="qkv, o, gate_up, down, lm_head, comma-separated [default: all]")
    ] = "",
    formats: Formats = "",
    tokens: Annotated[str, typer.Option(help="Rows of x, comma-separated.")] = ",".join(
        map(str, TOKENS)
    ),
    contestants: Annotated[
        str, typer.Option(help="qbench, cublas, marlin and so on, comma-separated [default: all]")
    ] = "",
    minutes: Annotated[
        float, typer.Option(min=0, help="Begin nothing after these; the same again goes on.")
    ] = 30.0,
    seed: Annotated[int, typer.Option(help="Of weights and inputs.")] = 0,
    jobs: Annotated[
        int, typer.Option(min=0, help="Processes that compile ahead [default: half the cores]")
    ] = 0,
    rows: Annotated[
        str, typer.Option("--rows", metavar="FILE", help="[default: kernels.jsonl, data folder]")
    ] = "",
    read: Annotated[str, typer.Option("--read", metavar="FILE", help=f"Time nothing. {FILE}")] = "",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Time again what the file holds; the newest is shown.")
    ] = False,
    separate: Annotated[
        bool, typer.Option("--by-layer", help="A table for each layer, not for each model.")
    ] = False,
    table: Annotated[
        str, typer.Option("--csv", metavar="FILE", help="Write all rows as CSV, too.")
    ] = "",
    json: Json = False,
    plot: Plot = "",
) -> None:
    """Time products of model layers on this GPU, beside bf16 and what else is installed.

    Rows are appended to a file as they are made, and what the file holds is not timed again.
    """
    if read:
        found = _stored(read)
    else:
        choice = Choice(
            file=Path(rows).expanduser() if rows else default_file().with_name("kernels.jsonl"),
            models=words(models),
            layers=words(layers),
            formats=words(formats),
            tokens=_counts(tokens),
            contestants=words(contestants),
            minutes=minutes,
            seed=seed,
            jobs=jobs or _half_the_cores(),
            fresh=fresh,
        )
        found = _seam("measure")(choice, quantization.say)
    _shown(found, table=table, json=json, plot=plot, separate=separate)


@kernels.command()
def roofline(
    file: Annotated[str, typer.Argument(metavar="FILE", help=FILE)],
    output: Annotated[str, typer.Option("--output", "-o", help="A .svg, .png or .pdf file.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Whose layers [default: the first of the file]")
    ] = "",
) -> None:
    """Draw rows under the ceilings of their GPU: operations per byte, and per second."""
    drawn("roofline", of_model(boards(_stored(file))[0], model), output)


kernels.command()(cost)


def _half_the_cores() -> int:
    return min(8, max(1, cores() // 2))


def _seam(name: str) -> Callable[..., Any]:
    """Return what needs torch. Raises Unsupported where that or Triton is missing."""
    missing = [package for package in ("torch", "triton") if find_spec(package) is None]
    if missing:
        raise Unsupported(
            f"Kernels need {' and '.join(missing)}, which this Python has not.",
            hint="pip install torch triton (Linux; torch for CUDA brings its own Triton).",
        )
    module, _, attribute = SEAMS[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def _stored(file: str) -> list[Row]:
    """Read rows. Raises StoreError; NotFound where there are none."""
    found = measured() if file == PACKAGED else read_rows(Path(file).expanduser())
    if not found:
        raise NotFound(
            f"{file} holds no timing.", hint="Make some: qbench kernels speed --rows FILE"
        )
    return found


def _counts(text: str) -> tuple[int, ...]:
    """Read rows of x. Raises ConfigError."""
    parts = words(text)
    if not parts or not all(part.isdigit() and int(part) for part in parts):
        raise ConfigError(
            f"Cannot read rows of x from {text!r}.", hint="Write numbers, like --tokens 1,16,4096."
        )
    return tuple(sorted({int(part) for part in parts}))


def _plain(found: Checks) -> dict[str, Any]:
    """Return checks with their verdicts, for JSON."""
    checks = [
        {
            **msgspec.structs.asdict(one),
            "size": str(one.size),
            "passed": one.passed,
            "wrong": one.wrong,
        }
        for one in found.checks
    ]
    return {"where": found.where, "seed": found.seed, "checks": checks}


def _shown(rows: Sequence[Row], *, table: str, json: bool, plot: str, separate: bool) -> None:
    """Print rows as boards or JSON, and write the files that were asked for."""
    found = boards(by_layer(rows) if separate else rows)
    if table:
        _write(Path(table).expanduser(), rows)
    if found:
        drawn("roofline", found[0], plot)
    if json:
        said = [sentence for board in found for sentence in board.findings]
        console.raw(to_json({"schema": SCHEMA, "findings": said, "rows": _derived(rows)}))
    else:
        render.boards(found, rows)


def _derived(rows: Sequence[Row]) -> list[dict[str, object]]:
    ceilings = raised(rows)
    return [derived(row, ratio, ceilings) for row, ratio in zip(rows, ratios(rows), strict=True)]


def _write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV with a line of names. Raises ConfigError."""
    lines = _derived(rows)
    try:
        with path.open("w", newline="") as file:
            made = csv.DictWriter(file, list(lines[0]) if lines else [])
            made.writeheader()
            made.writerows(lines)
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror}.", hint="Name a file in a folder of yours."
        ) from None
