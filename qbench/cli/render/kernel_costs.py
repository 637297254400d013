"""Predicted price lists as tables that fit 80 columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from qbench.cli.render.console import count, dim, dollars, draw, out, percent, plain, table
from qbench.cli.render.profiles import milliseconds
from qbench.kernels.layertime.agreement import Compared
from qbench.service.reports.kernels.values import FormatCost, KernelCost, Paced
from qbench.service.reports.values import Estimate


def report(found: KernelCost) -> None:
    """Print seconds, dollars, what they are made of, how far they are off, and one sentence."""
    machine = f"${found.per_hour}/h ({found.price})" if found.per_hour else "unpriced"
    history = f" after {found.cached:,} cached" if found.cached else ""
    out.print(
        f"{found.model} · {found.gpu} · {found.engine} · {machine} · "
        f"{found.prompt:,} + {found.output:,} tokens{history}",
        style="bold",
        markup=False,
    )
    out.print()
    _speed(found)
    _money(found)
    _parts(found)
    if found.agreement:
        _agreement(found)
    for note in found.notes:
        out.print(dim(f"· {note}"))
    out.print(found.finding, style="bold", markup=False)


def _batches(found: KernelCost) -> list[int]:
    return sorted({row.batch for one in found.formats for row in one.rows})


def _by_batch(
    found: KernelCost, what: str, cell: Callable[[Paced], str], last: str = "", caption: str = ""
) -> Table:
    """Make a table with a line per format and a column per batch size; – where it does not fit.

    Its last column, where it has one, is how wide the 95 % interval is.
    """
    batches = _batches(found)
    heads = [f"{size:,}>" for size in batches] + ([f"{last}>"] if last else [])
    made = table(what, *heads, caption=caption)
    for one in found.formats:
        known = {row.batch: row for row in one.rows}
        cells = [cell(known[size]) if size in known else "–" for size in batches]
        made.add_row(plain(one.format), *cells, *([_widest(one.rows)] if last else []))
    return made


def _speed(found: KernelCost) -> None:
    if not _batches(found):
        return
    draw(
        _by_batch(
            found,
            "ms/token, batch",
            lambda row: milliseconds(row.step_ms / 1000),
            caption="predicted milliseconds of a decoding step: what a sequence waits for a token",
        )
    )
    draw(
        _by_batch(
            found,
            "tokens/s, batch",
            lambda row: count(row.tokens_per_second),
            caption="predicted tokens a second of all sequences, their prompts' time included",
        )
    )


def _money(found: KernelCost) -> None:
    if not found.per_hour or not _batches(found):
        return
    best = _best(found)

    def cell(row: Paced) -> str:
        mark = "*" if best[row.batch] == row.format else " "
        return f"{_plain(row.dollars.value)}{mark}" if row.dollars else "–"

    draw(
        _by_batch(
            found,
            "$/M, batch",
            cell,
            "± %",
            "predicted dollars per million generated tokens, prompts included; ±: half the 95 %"
            " interval, the widest of the line; *: the cheapest",
        )
    )


def _best(found: KernelCost) -> dict[int, str]:
    """Return the cheapest format of each batch size."""
    rows = [row for one in found.formats for row in one.rows]
    ranked = sorted(rows, key=lambda row: row.tokens_per_second)
    return {row.batch: row.format for row in ranked}


def _widest(rows: Sequence[Paced]) -> str:
    """Write the widest half interval of some rows, relative."""
    known = [row for row in rows if row.dollars]
    halves = [_half(row.dollars) for row in known if row.dollars]
    widest = max(halves, default=math.inf)
    return "unknown" if math.isinf(widest) else f"{100 * widest:.0f}"


def _half(one: Estimate) -> float:
    return math.inf if one.low == 0 else (one.high - one.low) / 2 / one.value


def _plain(amount: float) -> str:
    return dollars(amount).removeprefix("$")


def _parts(found: KernelCost) -> None:
    _prices(found)
    _shares(found)


def _ends(found: KernelCost) -> Iterator[tuple[FormatCost, Paced]]:
    """Yield each format at the smallest and at the largest batch size of all that fits it."""
    for one in found.formats:
        for row in dict.fromkeys((*one.rows[:1], *one.rows[-1:])):
            yield one, row


def _prices(found: KernelCost) -> None:
    made = table(
        "Format", "Kernels", "GB>", "Most>", "Batch>", "$/M in>", "$/M out>", "$/M all>",
        caption="GB: weights; most: sequences that fit beside them; in, out: dollars of the"
        " seconds before and after the first token, per million prompt and generated tokens; all:"
        " per million of both kinds",
    )  # fmt: skip
    for one, row in _ends(found):
        most = "unknown" if one.largest_batch is None else count(one.largest_batch)
        told = (row.input_dollars, row.output_dollars, row.blended_dollars)
        made.add_row(
            plain(one.format),
            plain(one.contestant),
            f"{one.weight_bytes / 1e9:.1f}",
            most,
            count(row.batch),
            *("–" if price is None else _plain(price) for price in told),
        )
    draw(made)


def _shares(found: KernelCost) -> None:
    made = table(
        "Format", "Batch>", "GEMM %>", "Head %>", "Attn %>", "Small %>", "Over %>", "Prefill %>",
        caption="shares of the seconds: products, output head, attention, small work (norms,"
        " rotation, gates), overhead; prefill: of all, before the first token",
    )  # fmt: skip
    for one, row in _ends(found):
        parts = row.parts
        told = (parts.products, parts.head, parts.attention, parts.small, parts.overhead)
        shares = (percent(share, 0) for share in (*told, parts.prefill))
        made.add_row(plain(one.format), count(row.batch), *shares)
    draw(made)


def _agreement(found: KernelCost) -> None:
    """Print a table for the requests of each measurement."""
    groups: dict[tuple[object, ...], list[Compared]] = {}
    for row in found.agreement:
        key = (row.model, row.engine, row.engine_version, row.prompt, row.output, row.date)
        groups.setdefault(key, []).append(row)
    for rows in groups.values():
        _compared(rows)


def _compared(rows: Sequence[Compared]) -> None:
    one = rows[0]
    doubts = "; ".join(dict.fromkeys(f"*: {row.doubt}" for row in rows if row.doubt))
    made = table(
        "Measured", "Kernels", "Of", "Streams>", "tok/s>", "Predicted>", "Error %>", "",
        caption=f"{one.model}, {one.prompt:,} + {one.output:,} tokens, {one.engine}"
        f" {one.engine_version} end to end, {one.date}; step: of decoding alone; calibrated: the"
        f" overhead was found from it, the error is of the others{'; ' if doubts else ''}{doubts}",
    )  # fmt: skip
    for row in rows:
        made.add_row(
            plain(row.format),
            plain(row.kernel),
            row.what,
            count(row.streams),
            count(row.measured),
            count(row.predicted),
            f"{100 * row.error:+.1f}",
            dim("calibrated" if row.calibrated else "not counted*" if row.doubt else ""),
        )
    draw(made)
