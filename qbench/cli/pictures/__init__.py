"""Pictures of reports: ``--plot out.svg``. One lazy table, for matplotlib takes long to import."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from qbench.errors import ConfigError

Plot = Annotated[
    str, typer.Option("--plot", metavar="FILE", help="Draw it, too: a .svg, .png or .pdf file.")
]

SUFFIXES = (".svg", ".png", ".pdf")

PICTURES = {
    "arena": "qbench.cli.pictures.arena:paint",
    "cascade": "qbench.cli.pictures.cascade:paint",
    "comparison": "qbench.cli.pictures.differences:comparison",
    "pairs": "qbench.cli.pictures.differences:pairs",
    "audit": "qbench.cli.pictures.audit:paint",
    "cost-of-pass": "qbench.cli.pictures.costs:paint",
    "items": "qbench.cli.pictures.noise:items",
    "noise": "qbench.cli.pictures.noise:noise",
    "signal": "qbench.cli.pictures.noise:signal",
    "forecast": "qbench.cli.pictures.forecast:paint",
    "frontier": "qbench.cli.pictures.frontier:paint",
    "kernel-costs": "qbench.cli.pictures.kernel_costs:paint",
    "history": "qbench.cli.pictures.history:paint",
    "efficiency": "qbench.cli.pictures.efficiency:paint",
    "profile": "qbench.cli.pictures.profile:paint",
    "recall": "qbench.cli.pictures.recall:paint",
    "roofline": "qbench.cli.pictures.roofline:paint",
    "strategies": "qbench.cli.pictures.strategies:paint",
    "scaling": "qbench.cli.pictures.scaling:paint",
}
"""Report to the function that paints it on an empty figure: ``paint(figure, report)``."""


def drawn(name: str, report: Any, file: str) -> None:
    """Paint a report into ``file``; nothing happens where none is named.

    Raises:
        ConfigError: the file has another suffix, or cannot be written.

    """
    if not file:
        return
    if Path(file).suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"Cannot draw into {file!r}.", hint=f"Name a file that ends in {', '.join(SUFFIXES)}."
        )
    module, _, paint = PICTURES[name].partition(":")
    canvas = importlib.import_module("qbench.cli.pictures.canvas")
    canvas.save(getattr(importlib.import_module(module), paint), report, Path(file))
