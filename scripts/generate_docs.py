"""Write docs/cli.md from the commands, and the tables of other pages from what they are of.

``--check`` exits 1 when one is out of date.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from qbench.cli.formats import scheme_words
from qbench.cli.main import VERBS
from qbench.kernels.formats import FORMATS
from qbench.service.formats import known_formats
from qbench.service.reports.kernels import page as page_tables

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "cli.md"
FORMATS_PAGE = DOCS / "formats.md"
LAYER_TIME_PAGE = DOCS / "layer-time.md"
WIDTH = 96
HEADER = """\
# Commands

Made by `make docs` from the program itself. Every flag is also an environment variable:
`qbench run --suite mcp` is `QBENCH_RUN_SUITE=mcp qbench run`. The result goes to stdout, everything
else to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 run invalid or budget reached,
130 interrupted.
"""


def page() -> str:
    """Return the page."""
    parts = [HEADER]
    for section, verbs in VERBS.items():
        parts.append(f"\n## {section}\n")
        parts += [_command(name, place) for name, (place, _) in verbs.items()]
    return "".join(parts)


def _command(name: str, place: str) -> str:
    module, _, attribute = place.partition(":")
    return _help(name, get_command(getattr(importlib.import_module(module), attribute)))


def _help(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"qbench {name}", terminal_width=WIDTH)
    context.max_content_width = WIDTH
    text = f"\n### {name}\n\n```\n{command.get_help(context).strip()}\n```\n"
    parts = getattr(command, "commands", {})
    return text + "".join(_help(f"{name} {part}", made) for part, made in parts.items())


def formats_page(text: str) -> str:
    """Return docs/formats.md with its two tables made anew."""
    return renewed(text, {"presets": presets(), "paths": paths()})


def layer_time_page(text: str) -> str:
    """Return docs/layer-time.md with its tables made anew from the rows that come with qbench."""
    found = page_tables.price_lists()
    if not found:
        return renewed(text, dict.fromkeys(("agreement", "cheapest"), page_tables.note()))
    compared = page_tables.agreement_rows(found)
    agreement = markdown(page_tables.AGREEMENT_HEADS, compared) if compared else ""
    speed = markdown(page_tables.SPEED_HEADS, page_tables.speed_rows(found))
    ranges = "".join(f"{line}\n" for line in page_tables.range_lines(found))
    about = "Predicted generated tokens a second by batch size, the cheapest bold:\n\n"
    return renewed(text, {"agreement": agreement, "cheapest": f"{ranges}\n{about}{speed}"})


def renewed(text: str, parts: dict[str, str]) -> str:
    """Return a page with what stands between its marks made anew."""
    for name, made in parts.items():
        start = f"<!-- {name}: made by `make docs` -->\n"
        head, _, rest = text.partition(start)
        text = f"{head}{start}{made}{rest[rest.index('<!-- end -->') :]}"
    return text


def presets() -> str:
    """Return a row per preset: what it is and where it comes from."""
    rows = [
        (
            f"`{fmt.name}`",
            scheme_words(fmt.weights, fmt),
            scheme_words(fmt.activations, fmt),
            f"{fmt.bits_per_weight(4096):.5g}",
            fmt.recipe,
            fmt.paper,
        )
        for fmt in FORMATS.values()
    ]
    heads = ("preset", "weights", "activations", "bits per weight", "recipe", "source")
    return markdown(heads, rows)


def paths() -> str:
    """Return a row per preset: what runs it on each generation."""
    found = known_formats("h100").formats
    rows = [(f"`{fact.name}`", *fact.paths.values()) for fact in found]
    return markdown(("", "Ampere", "Ada", "Hopper", "Blackwell"), rows)


def markdown(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Write a table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> int:
    """Write or check the pages."""
    wanted = {
        PAGE: page(),
        FORMATS_PAGE: formats_page(FORMATS_PAGE.read_text(encoding="utf-8")),
        LAYER_TIME_PAGE: layer_time_page(LAYER_TIME_PAGE.read_text(encoding="utf-8")),
    }
    if "--check" in sys.argv:
        stale = [file for file, text in wanted.items() if file.read_text("utf-8") != text]
        for file in stale:
            sys.stderr.write(f"docs/{file.name} is out of date: run `make docs`.\n")
        return 1 if stale else 0
    for file, text in wanted.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
