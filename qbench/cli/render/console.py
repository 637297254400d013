"""Everything that is drawn in a terminal. The only importer of rich.

Numbers stand right-aligned under a header with their unit, intervals follow ``±``, secondary
facts are dim, and colour is left out where there is no terminal or ``NO_COLOR`` is set.
"""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from qbench.benchmarks.analysis.rates import wilson
from qbench.workers.progress import Tally

out = Console(highlight=False)
"""The result."""
talk = Console(stderr=True, highlight=False)
"""Everything said on the way."""

WORD = 16
"""Words up to this many cells are not broken."""


def raw(text: bytes) -> None:
    """Write bytes to stdout as they are, with a line end."""
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.flush()


def table(*headers: str, title: str = "", caption: str = "") -> Table:
    """Make an empty table; a header that ends in ``>`` is right-aligned.

    Words wrap where the terminal is narrow; numbers are never cut.
    """
    made = Table(
        box=box.SIMPLE_HEAD,
        title=title or None,
        caption=caption or None,
        title_justify="left",
        caption_justify="left",
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for header in headers:
        right = header.endswith(">")
        made.add_column(
            header.rstrip(">"),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
        )
    return made


def draw(made: Table) -> None:
    """Print a table to stdout with an empty line under it."""
    for column in made.columns:
        texts = [str(cell) for cell in (column.header, *column.cells)]
        words = texts if column.no_wrap else " ".join(texts).split()
        widest = max((cell_len(word) for word in words), default=0)
        column.min_width = widest if column.no_wrap else min(widest, WORD)
    out.print(made, crop=False)
    out.print()


def plain(text: str) -> Text:
    """Return text in which nothing is markup: names and messages come from elsewhere."""
    return Text(text)


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share as a percentage without its sign: ``23.1``."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f}"


def plus_minus(low: float, high: float, scale: float = 100, digits: int = 1) -> str:
    """Write half the width of an interval: ``± 4.0``."""
    return f"± {scale * (high - low) / 2:.{digits}f}"


def dollars(amount: Decimal | float | None) -> str:
    """Write dollars with three significant digits; unknown is ``unpriced``, never zero."""
    if amount is None or (isinstance(amount, float) and math.isnan(amount)):
        return "unpriced"
    value = float(amount)
    if math.isinf(value):
        return "∞"
    if value == 0:
        return "$0"
    places = max(2, 2 - math.floor(math.log10(abs(value))))
    return f"${value:,.{places}f}"


def seconds(amount: float | None) -> str:
    """Write a duration for people: ``850 ms``, ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if amount is None or math.isnan(amount):
        return "–"
    if amount < 1:
        return f"{1000 * amount:.0f} ms"
    if amount < 100:
        return f"{amount:.1f} s"
    minutes, rest = divmod(round(amount), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: float | None) -> str:
    """Write a whole number with thousands separators."""
    return "–" if number is None or math.isnan(number) else f"{number:,.0f}"


def dim(text: str) -> Text:
    """Return secondary text."""
    return Text(text, style="dim")


class Board:
    """Bars on stderr: a line per system with attempts, pass rate and time left; dollars below."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[attempts]}", justify="right"),
            TextColumn("{task.fields[rate]}", justify="right"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[money]}", style="dim"),
            console=talk,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def start(self) -> None:
        """Take the lower lines of the terminal."""
        self._bars.start()

    def stop(self) -> None:
        """Give the terminal back as it was."""
        self._bars.stop()

    def show(self, system_id: str, label: str, tally: Tally, money: str) -> None:
        """Draw how far a system is; ``money`` stands on its line alone, the newest of all."""
        facts: dict[str, Any] = {"attempts": f"{tally.done}/{tally.total}", "rate": passing(tally)}
        if system_id not in self._tasks:
            self._tasks[system_id] = self._bars.add_task(
                escape(clip(label, 28)), total=tally.total, completed=tally.done, money="", **facts
            )
        for other in self._tasks.values():
            self._bars.update(other, money="")
        task = self._tasks[system_id]
        self._bars.update(task, completed=tally.done, total=tally.total, money=money, **facts)


def passing(tally: Tally) -> str:
    """Write a pass rate with its Wilson interval, and the errors: ``31.7 ± 8.2 %, 2 errored``."""
    text = ""
    if tally.done:
        low, high = wilson(tally.passed, tally.done)
        text = f"{percent(tally.passed / tally.done)} {plus_minus(low, high)} %"
    return text + (f" {tally.errored} errored" if tally.errored else "")


def clip(text: str, width: int) -> str:
    """Shorten in the middle, where model names differ least: ``Qwen/Qwen…fp8``."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
