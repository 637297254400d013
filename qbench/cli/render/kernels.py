"""Kernels as tables: which there are, what checks found, how fast products are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby

from rich.text import Text

from qbench.cli.render import console
from qbench.cli.render.console import count, dim, draw, out, plain, table
from qbench.cli.render.quantization import say
from qbench.kernels.checking.kernels import Kernel
from qbench.kernels.checking.values import Checked, Checks
from qbench.kernels.speed.reading import BASELINE, Board, Cell, Line
from qbench.kernels.speed.rows import Row, Setting

GENERATIONS = {"Ampere": "sm_80", "Ada": "sm_89", "Hopper": "sm_90", "Blackwell": "sm_100"}
FROM = {"whole": "16 bits", "product": "codes"}
NAMES = 34
"""Cells that the columns before the numbers take."""
QUIET_S = 10.0


def listed(found: Sequence[Kernel]) -> None:
    """Print kernels with their formats and the GPUs they run on."""
    made = table("Kernel", "What it makes", "Formats", *GENERATIONS)
    made.columns[0].no_wrap = True
    for kernel in found:
        signs = ("✓" if kernel.runs_on(place) else "–" for place in GENERATIONS.values())
        made.add_row(
            plain(kernel.name), kernel.about, plain(", ".join(kernel.formats) or "any"), *signs
        )
    made.caption = (
        "for products: the formats of the weight; without a GPU all run under Triton's interpreter"
    )
    draw(made)


class Watch:
    """Says which kernel is checked, now and then, and what failed, at once."""

    def __init__(self) -> None:
        self._said = ""
        self._at = 0.0

    def __call__(self, one: Checked) -> None:
        """Take note of a check that is done."""
        if not one.passed:
            say(f"FAILED {_place(one)}: {one.wrong}")
        elif one.kernel != self._said or time.monotonic() - self._at > QUIET_S:
            say(f"checked {_place(one)}")
            self._said, self._at = one.kernel, time.monotonic()


def _place(one: Checked) -> str:
    label = f" {one.format}" if one.format else ""
    return f"{one.kernel}{label}, {one.dtype}, {one.size}"


def checks(found: Checks) -> None:
    """Print a line per kernel, format and type, what failed, and one sentence."""
    out.print(dim(f"{found.where}, seed {found.seed}"))
    out.print()
    made = table(
        "Kernel", "Of", "Inputs", "Sizes>", "Error>", "Bound>", "Exact", "Written", "Repeats", "",
        caption="error: the largest norm of the difference over the norm of the exact result, and "
        "the bound of its size; exact: one-hot inputs give the weight's columns, codes are those of"
        " the reference; repeats: the same bits twice; refused sizes are not counted",
    )  # fmt: skip
    keys = list(dict.fromkeys(map(_line, found.checks)))
    ordered = sorted(found.checks, key=lambda one: keys.index(_line(one)))
    for key, mine in groupby(ordered, _line):
        made.add_row(plain(key[0]), plain(key[1]), plain(key[2]), *_verdict(list(mine)))
    draw(made)
    for (kernel, label, wrong), mine in groupby(sorted(found.failed, key=_fault), _fault):
        first, *more = mine
        others = f" and {len(more)} more of {kernel} {label}".rstrip() if more else ""
        out.print(Text(f"✗ {_place(first)}{others}: {wrong}", style="red"), soft_wrap=True)
    out.print(closing(found), style="bold", markup=False)


def _fault(one: Checked) -> tuple[str, str, str]:
    return (one.kernel, one.format, one.wrong)


def _line(one: Checked) -> tuple[str, str, str]:
    return (one.kernel, one.format, one.dtype)


def _verdict(mine: Sequence[Checked]) -> tuple[str | Text, ...]:
    """Return the cells of a line: the size that is nearest to its bound, and what all are."""
    made = [one for one in mine if not one.unsupported]
    if not made:
        return ("0", "–", "–", "–", "–", "–", dim("refused"))
    ended = [one for one in made if not one.failure]
    known = [one for one in ended if one.error is not None]
    worst = max(known, key=lambda one: (one.error or 0.0) / one.bound, default=None)
    return (
        str(len(made)),
        "–" if worst is None else f"{worst.error:.1e}",
        "–" if worst is None else f"{worst.bound:.1e}",
        _sign([one.exact for one in ended]),
        _sign([one.written for one in ended]),
        _sign([one.repeats for one in ended]),
        "" if all(one.passed for one in made) else Text("FAILED", style="red"),
    )


def _sign(values: Sequence[bool | None]) -> str:
    if all(value is None for value in values):
        return "–"
    return "✗" if False in values else "✓"


def closing(found: Checks) -> str:
    """Say in one sentence whether all is right."""
    made = [one for one in found.checks if not one.unsupported]
    refused = len(found.checks) - len(made)
    more = f"; {count(refused)} were refused with a reason" if refused else ""
    if not found.failed:
        return f"All {count(len(made))} checks passed{more}."
    kernels = ", ".join(dict.fromkeys(one.kernel for one in found.failed))
    return f"{count(len(found.failed))} of {count(len(made))} checks failed ({kernels}){more}."


def boards(found: Sequence[Board], rows: Sequence[Row]) -> None:
    """Print tables for each GPU and model, and what they say."""
    for board in found:
        settings = list(dict.fromkeys(row.setting for row in rows if row.setting.gpu == board.gpu))
        _heading(board, settings)
        for model in board.models:
            _tables(model, [line for line in board.lines if line.model == model])
        for sentence in board.findings:
            out.print(sentence, style="bold", markup=False)
    if not found:
        out.print("Nothing was timed.", style="bold")


def _heading(board: Board, settings: Sequence[Setting]) -> None:
    last = settings[-1]
    versions = {
        "driver": last.driver,
        "CUDA": last.cuda,
        "torch": last.torch,
        "triton": last.triton,
        "vLLM": last.vllm,
        "qbench": last.qbench,
    }
    said = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    out.print(board.gpu, style="bold", markup=False)
    out.print(dim(f"{said}; {_dates(settings)}"))
    out.print(dim(f"ceilings: {board.ceilings.words}"))
    out.print()


def _dates(settings: Sequence[Setting]) -> str:
    days = sorted(one.date for one in settings)
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}, {len(days)} sessions"


def _tables(model: str, lines: Sequence[Line]) -> None:
    tokens = shown(sorted({m for line in lines for m in line.cells}), console.out.width)
    _grid(f"{model}: × bf16", lines, tokens, _times, "cublas in bf16: microseconds of its layers")
    _grid(f"{model}: % of the limit", lines, tokens, _share, "")


def _grid(
    title: str,
    lines: Sequence[Line],
    tokens: Sequence[int],
    cell: Callable[[Line, Cell], str],
    more: str,
) -> None:
    made = table("Format", "By", "From", *(f"{m}>" for m in tokens), title=title)
    for line in lines:
        cells = (cell(line, line.cells[m]) if m in line.cells else "–" for m in tokens)
        made.add_row(plain(line.format), plain(line.contestant), FROM[line.part], *cells)
    partial = sorted({m for line in lines for m in line.cells if _partial(line, m, lines)})
    notes = [more] if more else []
    if partial:
        notes.append(f"at M = {', '.join(map(str, partial))} not all have all layers")
    made.caption = "; ".join(notes) or None
    draw(made)


def _partial(line: Line, m: int, lines: Sequence[Line]) -> bool:
    most = max(len(other.cells[m].layers) for other in lines if m in other.cells)
    return len(line.cells[m].layers) < most


def _times(line: Line, cell: Cell) -> str:
    if (line.format, line.contestant, line.part) == BASELINE:
        return microseconds(cell.us)
    return "–" if cell.ratio is None else f"{cell.ratio:.2f}"


def _share(line: Line, cell: Cell) -> str:
    del line
    return f"{100 * cell.fraction:.0f}"


def microseconds(value: float) -> str:
    """Write microseconds with three digits where they are few."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def shown(tokens: Sequence[int], width: int) -> list[int]:
    """Return the M that fit a terminal of ``width``: every one, or every second and so on."""
    room = max(3, (width - NAMES) // 6)
    step = max(1, -(-len(tokens) // room))
    return [m for place, m in enumerate(tokens) if place % step == 0]
