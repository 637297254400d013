"""What ``quantize`` draws: a bar while a checkpoint is made, and the tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from qbench.cli.render import console
from qbench.cli.render.console import dim, draw, out, plain, seconds, table
from qbench.workers.quantize.cache import Entry

PLAIN_EVERY_S = 10.0


def say(line: str) -> None:
    """Print a line of talk."""
    console.talk.print(line, style="dim", markup=False, soft_wrap=True)


class Steps:
    """Shows how far a maker is; a context manager that restores the terminal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said_at = time.monotonic()
        self._bars: Progress | None = None
        if console.talk.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[what]}", style="dim", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(compact=True),
                console=console.talk,
                transient=True,
            )
            self._task = self._bars.add_task(name, total=1, what="")

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def show(self, step: int, of: int, what: str) -> None:
        """Draw a step; without a terminal, a line now and then."""
        if self._bars:
            self._bars.update(self._task, completed=step, total=of, what=what)
        elif time.monotonic() - self._said_at >= PLAIN_EVERY_S:
            self._said_at = time.monotonic()
            say(f"{self._name}: {step} of {of}, {what}")


def made(entries: Sequence[Entry]) -> None:
    """Print what was asked for: sizes, errors, where it is, and one sentence."""
    _sizes(entries)
    for entry in entries:
        out.print(dim(f"{entry.manifest.label}: {entry.path}"), soft_wrap=True)
    out.print()
    out.print(closing(entries), style="bold", markup=False)


def _sizes(entries: Sequence[Entry]) -> None:
    drawn = table(
        "Format",
        "Recipe",
        "MB>",
        "Bits/weight>",
        "all weights>",
        "Layer error>",
        "worst>",
        "Made in>",
        caption="bits: measured from the files, scales included; error: of decoder layers' "
        "outputs on held-out text, relative to what a layer adds",
    )
    for entry in entries:
        told = entry.manifest
        worst = told.worst
        drawn.add_row(
            plain(told.format),
            told.recipe,
            f"{told.size.bytes / 1e6:,.1f}",
            f"{told.size.bits_per_weight:.3f}",
            f"{told.size.bits_overall:.3f}",
            _error(told.mean_error),
            _error(worst[1] if worst else None),
            seconds(told.seconds),
        )
    draw(drawn)


def _error(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def closing(entries: Sequence[Entry]) -> str:
    """Say in one sentence what is there now."""
    small = min(entries, key=lambda entry: entry.manifest.size.bytes).manifest
    verb = "is" if len(entries) == 1 else "are"
    return (
        f"{_counted(entries)} {verb} ready; the smallest, {small.format}, takes "
        f"{small.size.bytes / 1e6:,.1f} MB at {small.size.bits_overall:.2f} bits per weight over "
        "the whole model."
    )


def _counted(entries: Sequence[Entry]) -> str:
    return "1 checkpoint" if len(entries) == 1 else f"{len(entries)} checkpoints"


def listed(entries: Sequence[Entry]) -> None:
    """Print what is in the cache, with sizes."""
    if not entries:
        out.print("Nothing was quantized yet: qbench quantize MODEL --format w4a16.", markup=False)
        return
    drawn = table("Model", "Format", "Recipe", "MB>", "Bits/weight>", "Made", "Fingerprint")
    for entry in entries:
        told = entry.manifest
        drawn.add_row(
            plain(told.model.rstrip("/").rsplit("/", 1)[-1]),
            told.format,
            told.recipe,
            f"{told.size.bytes / 1e6:,.1f}",
            f"{told.size.bits_per_weight:.3f}",
            f"{told.made_at:%Y-%m-%d %H:%M}",
            told.fingerprint,
        )
    draw(drawn)
    total = sum(entry.manifest.size.bytes for entry in entries)
    where = entries[0].path.rsplit("/models/", 1)[0]
    out.print(f"{_counted(entries)}, {total / 1e6:,.1f} MB, in {where}.", markup=False)
