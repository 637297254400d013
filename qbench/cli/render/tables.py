"""Reports as tables: what was found, what it cost, what stands behind it, and one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from qbench.cli.render.console import count, dim, dollars, draw, out, percent, plain, seconds, table
from qbench.service.domain import variant
from qbench.service.reports.values import Estimate, Leaderboard, Row

MARKS = {"emulated": "†", "weight-only fallback": "‡"}
COLOURS = {"worse": "red", "better": "green", "equivalent": "green", "invalid": "red"}
UNITS = ((1.0, "$"), (1e-3, "m$"), (1e-6, "µ$"), (1e-9, "n$"))


def _suite(board: Leaderboard) -> str:
    """Name each suite with its version."""
    names, versions = board.suite.split(","), board.suite_version.split(",")
    if len(names) != len(versions):
        return board.suite
    return ", ".join(f"{name} {version}" for name, version in zip(names, versions, strict=True))


def leaderboard(board: Leaderboard) -> None:
    """Print a leaderboard: three tables that fit 80 columns, notes, and the finding last."""
    levels = ", ".join(map(str, board.levels))
    out.print(
        f"{_suite(board)} level {levels} · {board.samples:,} samples × {board.epochs} · "
        f"seed {board.seed} · run {board.run_id} ({board.status}) · {_paid(board)}",
        style="bold",
        markup=False,
    )
    out.print()
    draw(_accuracy(board))
    if any(row.by_suite for row in board.rows):
        draw(_suites(board))
    draw(_cost(board))
    draw(_validity(board.rows))
    for row in board.rows:
        if row.validity.invalid:
            said = f"INVALID: {name_of(row, board.rows)}: {row.validity.invalid}"
            out.print(said, style="red", markup=False)
    for note in (*_served_as(board), *board.notes):
        out.print(dim(f"· {note}"))
    out.print()
    out.print(board.finding, style="bold", markup=False)


def _paid(board: Leaderboard) -> str:
    return "cost unknown in part" if board.paid is None else f"{dollars(board.paid)} paid"


def _served_as(board: Leaderboard) -> list[str]:
    """Say what a row's format became, where no note does."""
    return [
        f"{name_of(row, board.rows)} was served as {row.effective}."
        for row in board.rows
        if not row.replica
        and row.effective != row.format
        and not any(row.effective in note for note in board.notes)
    ]


def name_of(row: Row, rows: Sequence[Row]) -> str:
    """Name a row by its format (notes say what it became), and its model if rows have several."""
    alike = len({other.model for other in rows}) == 1
    model = "" if alike else f"{row.model.rsplit('/', 1)[-1]} "
    return f"{model}{variant(row.format, row.replica, row.way)}{MARKS.get(row.path, '')}"


def _accuracy(board: Leaderboard) -> Table:
    made = table("System", "Passed>", "Pass %>", "95 %>", "Verdict", "Points>", "p>")
    for row in board.rows:
        gap = row.verdict.difference
        made.add_row(
            plain(name_of(row, board.rows)),
            f"{row.passed:,}/{row.validity.scored:,}" if row.validity.scored else "–",
            percent(row.pass_rate.value if row.pass_rate else None),
            _span(row.pass_rate, 100),
            _verdict(row),
            f"{100 * gap.value:+.1f} {_span(gap, 100)}" if gap else "",
            f"{row.verdict.p:.2g}" if row.verdict.p is not None else "",
        )
    made.caption = _about_accuracy(board)
    return made


def _suites(board: Leaderboard) -> Table:
    names = board.suite.split(",")
    made = table("System", *(f"{name} %>" for name in names))
    for row in board.rows:
        cells = (_rate(row.by_suite.get(name)) for name in names)
        made.add_row(plain(name_of(row, board.rows)), *cells)
    made.caption = "passed by suite; the rate above pools them, each sample counting once"
    return made


def _rate(found: Estimate | None) -> str:
    return f"{percent(found.value)} {_span(found, 100)}" if found else "–"


def _verdict(row: Row) -> Text:
    word = "INVALID" if row.validity.invalid else row.verdict.kind
    return Text(word, style=COLOURS.get(word.lower(), ""))


def _about_accuracy(board: Leaderboard) -> str:
    ways = sorted({row.interval for row in board.rows if row.interval})
    made = f"95 % intervals: {' or '.join(ways)}; " if ways else ""
    return f"{made}points: against the baseline on the same samples; p: Holm-adjusted"


def _span(found: Estimate | None, scale: float, digits: int = 1) -> str:
    """Write half the interval's width where it is even, else both ends."""
    if found is None:
        return ""
    low, high = found.value - found.low, found.high - found.value
    if math.isinf(found.high):
        return f"[{scale * found.low:.{digits}f}, ∞]"
    if abs(low - high) <= 0.1 * (low + high):
        return f"± {scale * (low + high) / 2:.{digits}f}"
    return f"[{scale * found.low:.{digits}f}, {scale * found.high:.{digits}f}]"


def unit_for(amounts: Iterable[float]) -> tuple[float, str]:
    """Choose the unit of a column of dollars: the largest that keeps the median above 1."""
    known = sorted(a for a in amounts if a and math.isfinite(a))
    if not known:
        return UNITS[0]
    middle = known[len(known) // 2]
    return next((unit for unit in UNITS if middle >= unit[0]), UNITS[-1])


def _cost(board: Leaderboard) -> Table:
    rows = board.rows
    scale, unit = unit_for(row.cost.value for row in rows if row.cost)
    pass_scale, pass_unit = unit_for(row.cost_of_pass.value for row in rows if row.cost_of_pass)
    made = table(
        "System",
        "Tokens in>",
        "out>",
        "Median>",
        f"{unit}/attempt>",
        f"{pass_unit}/pass>",
        "95 %>",
        "Frontier %>",
    )
    for row in rows:
        made.add_row(
            plain(name_of(row, rows)),
            count(row.prompt_tokens),
            count(row.completion_tokens),
            seconds(row.seconds),
            money(row.cost, scale),
            scaled(row.cost_of_pass.value, pass_scale) if row.cost_of_pass else "unpriced",
            _ends(row.cost_of_pass, pass_scale),
            percent(row.on_frontier, 0),
        )
    made.caption = f"cost basis: {board.basis} (API models: list price)"
    return made


def money(found: Estimate | None, scale: float) -> str:
    """Write dollars in a column's unit with their interval; unknown is never zero."""
    if found is None:
        return "unpriced"
    half = (found.high - found.low) / 2
    return f"{scaled(found.value, scale)} ± {scaled(half, scale)}"


def scaled(amount: float, scale: float) -> str:
    """Write dollars in a unit with three significant digits: a small price is never shown as 0."""
    value = amount / scale
    if not math.isfinite(value):
        return "∞"
    if value == 0:
        return "0"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _ends(found: Estimate | None, scale: float) -> str:
    if found is None:
        return ""
    return f"[{scaled(found.low, scale)}, {scaled(found.high, scale)}]"


def _validity(rows: Sequence[Row]) -> Table:
    made = table(
        "Validity",
        "Scored>",
        "Excl.>",
        "Unsc.>",
        "Trunc.>",
        "Unread>",
        "Unpr.>",
        "Retries>",
        "Cached>",
    )
    for row in rows:
        kept = row.validity
        numbers = (kept.errored, kept.unscored, kept.truncated, kept.parse_failures, kept.unpriced)
        made.add_row(
            plain(name_of(row, rows)),
            f"{kept.scored:,}/{kept.planned:,}",
            *(count(number) for number in numbers),
            count(kept.retries),
            "–" if kept.cached_share is None else f"{percent(kept.cached_share, 0)} %",
        )
    made.caption = (
        "scored of planned; excluded: infrastructure failed; unscored: the check could not decide;"
        " truncated; unread: unreadable tool calls; unpriced; prompt tokens from a cache"
    )
    return made


def facts(values: Mapping[str, Any], *, title: str = "") -> None:
    """Print names and values; what is empty is left out."""
    made = table(title, "")
    for name, value in values.items():
        if value not in ({}, [], ""):
            made.add_row(plain(name.replace("_", " ")), plain(_fact(name, value)))
    draw(made)


def _fact(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_fact(name, part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if value is None:
        return "unpriced"
    if "difference" in name or name == "margin":
        return f"{100 * value:.1f} points"
    return dollars(value) if "dollars" in name else str(value)


def rows_of(headers: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> None:
    """Print a plain table; a header that ends in ``>`` is right-aligned.

    The first column holds ids and names to copy: it is not broken.
    """
    made = table(*headers, caption=caption)
    made.columns[0].no_wrap = True
    for row in rows:
        made.add_row(*(plain(cell) for cell in row))
    draw(made)
