"""``formats``: number formats, their size, and what will really run."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from qbench.cli.options import Json
from qbench.cli.render import console, tables
from qbench.errors import NotFound
from qbench.kernels.formats import Format
from qbench.kernels.paths import ComputePath
from qbench.kernels.schemes import Scheme
from qbench.kernels.sizes import LLAMA_8B, Shape, Size, shape_of
from qbench.service.formats import FormatFacts, FormatPage, format_page, known_formats
from qbench.service.reports.values import to_json
from qbench.workers.engines.schemes import find_config
from qbench.workers.hardware import this_machine

formats = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Number formats: bits per weight, size, and what will really run.",
)

Gpu = Annotated[
    str,
    typer.Option("--gpu", help="Say what runs there: h100, l40s, sm_90 [default: this machine]"),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="A folder or cached Hub id to size [default: Llama-3.1-8B's shape]"
    ),
]
SIGNS: dict[ComputePath, str] = {
    "native": "native",
    "weight-only fallback": "fallback",
    "emulated": "emulated",
    "unknown": "–",
}


@formats.callback(invoke_without_command=True)
def every(context: typer.Context, gpu: Gpu = "", model: ModelName = "", json: Json = False) -> None:
    """List the formats, what each takes and what runs it on each generation of GPUs."""
    if context.invoked_subcommand is not None:
        return
    found = known_formats(gpu or this_machine().architecture, _shape(model))
    if json:
        console.raw(to_json(found))
        return
    headers = ("Format", "Bits>", "GB>", "Ampere", "Ada", "Hopper", "Blackwell", "Here")
    tables.rows_of(
        headers,
        (_row(fact) for fact in found.formats),
        caption=(
            f"bits per weight with scales and file size in the shape of {found.model}; here: "
            f"{found.architecture}; fallback: weights only, activations stay in 16 bits; "
            "– no kernel known in vLLM. The embedded engine runs all of them, emulated on CPUs"
        ),
    )
    about = ((fact.name, fact.recipe, fact.about, fact.source) for fact in found.formats)
    tables.rows_of(("Format", "Recipe", "What it is", "Source"), about)


def _row(fact: FormatFacts) -> tuple[str, ...]:
    size = f"{fact.size.file_bytes / 1e9:.1f}" if fact.size else "–"
    generations = (SIGNS[path] for path in fact.paths.values())
    bits = f"{fact.bits_per_weight:.3f}"
    return (fact.name, bits, size, *generations, SIGNS[fact.path])


@formats.command()
def show(
    name: Annotated[str, typer.Argument(metavar="FORMAT", help="A format's name.")],
    gpu: Gpu = "",
    model: ModelName = "",
    json: Json = False,
) -> None:
    """Say what one format is and what will really run on a GPU."""
    page = format_page(name, gpu or this_machine().architecture, _shape(model))
    if json:
        console.raw(to_json(page))
        return
    tables.facts(_facts(page), title=page.format.name)
    console.out.print(_sentence(page), style="bold", markup=False)


def _facts(page: FormatPage) -> dict[str, Any]:
    fmt, size = page.format, page.facts.size
    return {
        "about": fmt.about,
        "source": fmt.paper,
        "weights": scheme_words(fmt.weights, fmt),
        "activations": scheme_words(fmt.activations, fmt),
        "everything_else": fmt.storage,
        "arithmetic": fmt.arithmetic or "",
        "rotation": f"Hadamard blocks of {fmt.rotation} columns" if fmt.rotation else "",
        "recipe": fmt.recipe,
        "bits_per_weight": f"{page.facts.bits_per_weight:.4f}",
        **(_sizes(size, page.model) if size else {}),
        "on_" + page.architecture: " by ".join(filter(None, (page.facts.path, page.facts.kernel))),
        "embedded_engine": f"{page.embedded.path} ({page.embedded.kernel})",
        "by_generation": page.facts.paths,
        "note": page.facts.note,
    }


def _sizes(size: Size, model: str) -> dict[str, str]:
    return {
        f"file_({model})": f"{size.file_bytes / 1e9:.3f} GB",
        "weights_in_memory": f"{size.load_bytes / 1e9:.3f} GB where codes are multiplied, "
        f"{size.emulated_bytes / 1e9:.3f} GB emulated",
    }


def scheme_words(scheme: Scheme | None, fmt: Format) -> str:
    """Describe one side in words: ``e2m1, a scale per 16 columns in e4m3, found as they come``."""
    if scheme is None:
        return fmt.storage
    shared = {
        "tensor": "tensor",
        "channel": "output channel",
        "token": "token",
        "group": f"{scheme.group} columns",
        "block": f"{scheme.rows} x {scheme.group} block",
    }[scheme.strategy]
    parts = [scheme.element, f"a scale per {shared} in {scheme.scale_dtype}"]
    parts += ["below a float32 one"] if scheme.two_level else []
    parts += [] if scheme.symmetric else ["with a zero point"]
    parts += ["found as they come"] if scheme.dynamic else []
    return ", ".join(parts)


def _sentence(page: FormatPage) -> str:
    name, place, path = page.format.name, page.architecture, page.facts.path
    by = f" by {page.facts.kernel}" if page.facts.kernel else ""
    said = {
        "native": f"{name} runs natively on {place}{by}.",
        "weight-only fallback": f"{name} falls back to weights only on {place}{by}: stored as "
        "asked for, multiplied in 16 bits, and never ranked on speed as the native format.",
        "emulated": f"{name} is emulated on {place}.",
        "unknown": f"vLLM has no known kernel for {name} on {place}; with the embedded engine: "
        f"{page.embedded.path}, by {page.embedded.kernel}.",
    }
    return said[path]


def _shape(model: str) -> Shape:
    """Read a model's shape from its config where it lies on this machine. Raises NotFound."""
    if not model:
        return LLAMA_8B
    config = find_config(model)
    if config is None:
        raise NotFound(
            f"No config.json of {model} is on this machine.",
            hint="Name a folder in Hugging Face layout, or a Hub id that was downloaded before.",
        )
    return shape_of(msgspec.json.decode(config.read_bytes()), model.rstrip("/").rpartition("/")[2])
