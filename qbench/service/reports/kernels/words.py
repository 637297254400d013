"""What a predicted price list says in words: what a reader must know, and the finding."""

from __future__ import annotations

from collections.abc import Iterator

from qbench.kernels.formats import FORMATS
from qbench.kernels.layertime.serving import ATTENTION_SHARE
from qbench.service.reports.kernels.values import Cheapest, FormatCost, KernelCost, Paced

PAPER = "arXiv 2411.02355"
LONG = 4096
"""Prompt tokens from which attention over the prompt is worth a note."""


def notes(found: KernelCost, overhead: str, asked: int) -> tuple[str, ...]:
    """Say what the numbers are made of and what they leave out.

    Args:
        found: the report without words.
        overhead: what must be known of the engine's overhead; empty for nothing.
        asked: largest batch size that was wanted.

    """
    return tuple(_notes(found, overhead, asked))


def _notes(found: KernelCost, overhead: str, asked: int) -> Iterator[str]:
    yield f"Predicted from rows of kernels ({found.measured_on}); nothing here was served."
    if overhead:
        yield f"No error is known: {overhead}, so that tokens a second are the most there can be."
    elif found.error is not None:
        judged = sum(row.judged for row in found.agreement)
        yield (
            f"Error: {100 * found.error:.1f} % root mean square over {judged} measured formats and "
            f"streams of {found.engine}, its overhead calibrated on bf16 alone."
        )
    else:
        yield (
            f"No error is known: {found.engine} was measured end to end in bf16 alone, from which "
            "its overhead is."
        )
    if not found.per_hour:
        yield f"No price of {found.gpu} is known: write one into QBENCH_PRICES (docs/money.md)."
    if found.memory_bytes is None:
        yield f"The memory of {found.gpu} is unknown: nothing says whether a batch fits."
    for one in found.formats:
        yield from _of_format(found, one, asked)
    yield from _guessed(found)
    if found.prompt + found.cached >= LONG:
        yield (
            f"Attention over a prompt is taken to reach {100 * ATTENTION_SHARE:.0f} % of the "
            "products' rate; that is an assumption, and long prompts rest on it."
        )


def _of_format(found: KernelCost, one: FormatCost, asked: int) -> Iterator[str]:
    if found.memory_bytes and one.largest_batch is not None and one.largest_batch < asked:
        yield f"{one.format}: {_room(found, one)}; asked for were {asked:,}."


def _guessed(found: KernelCost) -> Iterator[str]:
    """Say how much is of shapes that were not timed."""
    shares = [row.extrapolated for one in found.formats for row in one.rows]
    if any(shares):
        yield (
            f"Up to {100 * max(shares):.0f} % of the seconds are extrapolated: some shapes of "
            f"{found.model} were not timed, and a curve through others stands for them."
        )


def _room(found: KernelCost, one: FormatCost) -> str:
    """Say what fits beside a format's weights."""
    assert found.memory_bytes is not None
    has = f"{found.memory_bytes / 1e9:.0f} GB"
    weights = f"weights of {one.weight_bytes / 1e9:.1f} GB"
    if one.weight_bytes > found.memory_bytes:
        return f"{weights} do not fit into {has}"
    longest = found.cached + found.prompt + found.output
    room = f"room for {one.largest_batch:,} sequences" if one.largest_batch else "no room for one"
    return f"{weights} leave {room} of {longest:,} tokens in {has}"


def finding(found: KernelCost) -> str:
    """Say which format is cheapest where, and whether the paper's rule is reproduced."""
    if not found.cheapest:
        return f"No format of {found.model} fits {found.gpu}."
    ranges = "; ".join(_range(found, one) for one in found.cheapest)
    return f"Predicted cheapest for {found.model}, {_requests(found)}: {ranges}.{_rule(found)}"


def _requests(found: KernelCost) -> str:
    cached = f" after {found.cached:,} cached" if found.cached else ""
    return f"{found.prompt:,} + {found.output:,} tokens{cached}"


def _range(found: KernelCost, one: Cheapest) -> str:
    where = f"{one.first:,}" if one.first == one.last else f"{one.first:,} to {one.last:,}"
    near = f" (within the error: {', '.join(one.near)})" if one.near else ""
    return (
        f"{one.format} at {where} sequence{'s' if one.last > 1 else ''}{_against(found, one)}{near}"
    )


def _against(found: KernelCost, one: Cheapest) -> str:
    """Say how many times as cheap as bf16, at the largest size of the range that was asked for."""
    mine, plain = (_rows(found, name) for name in (one.format, "bf16"))
    shared = [size for size in mine if size in plain and one.first <= size <= one.last]
    if one.format == "bf16" or not shared:
        return ""
    size = shared[-1]
    ratio = mine[size].tokens_per_second / plain[size].tokens_per_second
    return f", {ratio:.2f} times as cheap as bf16 at {size:,}"


def _rows(found: KernelCost, fmt: str) -> dict[int, Paced]:
    rows = (row for one in found.formats if one.format == fmt for row in one.rows)
    return {row.batch: row for row in rows}


def _rule(found: KernelCost) -> str:
    """Compare with the paper: 4-bit weights one at a time, 8-bit products in a full batch."""
    one, full = found.cheapest[0], found.cheapest[-1]
    fits = [cost.format for cost in found.formats if _fits(cost, full.last)]
    if one.first == full.last or not (any(map(_few, fits)) and any(map(_eight, fits))):
        return ""
    holds = _few(one.format) and _eight(full.format)
    surely = "" if not one.near + full.near else ", within the error"
    return (
        " That 4-bit weights win one at a time and 8-bit weights and activations a full batch "
        f"({PAPER}) {'holds' if holds else 'does not hold'} here{surely}: {one.format} and "
        f"{full.format}."
    )


def _fits(one: FormatCost, batch: int) -> bool:
    return one.largest_batch is None or batch <= one.largest_batch


def _few(fmt: str) -> bool:
    """Whether weights take 4 bits."""
    weights = FORMATS[fmt].weights
    return weights is not None and weights.element_bits == 4


def _eight(fmt: str) -> bool:
    """Whether weights and activations take 8 bits."""
    sides = (FORMATS[fmt].weights, FORMATS[fmt].activations)
    return all(side is not None and side.element_bits == 8 for side in sides)
