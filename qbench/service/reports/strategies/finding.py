"""What strategies buy, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qbench.service.reports.findings import against
from qbench.service.reports.strategies.values import Block, StrategyRow


def finding(rows: Sequence[StrategyRow], margin: float) -> str:
    """Say which strategies beat the first one, at what price, and whose right answer is cheapest.

    Strategies that are told by the suite's own verdict are bounds: they are named apart.
    """
    first, others = rows[0], [row for row in rows[1:] if not row.invalid]
    if first.invalid or first.pass_rate is None:
        return f"Nothing can be said: {first.shown} is INVALID ({first.invalid})."
    real = [row for row in others if not row.caveat]
    said = [_better(first, real, margin), _cheapest([first, *real])]
    bounds = [row for row in others if row.caveat and row.pass_rate]
    said += [_bounds(bounds)] if bounds else []
    return " ".join(filter(None, said))


def _better(first: StrategyRow, real: Sequence[StrategyRow], margin: float) -> str:
    if not real:
        return ""
    told = [_against(first, row, margin) for row in real if row.verdict.kind in ("better", "worse")]
    open_ones = [row.shown for row in real if row.verdict.kind == "inconclusive"]
    if not told:
        told = [f"no strategy is found better or worse than {first.shown}"]
    if open_ones:
        told.append(f"inconclusive: {', '.join(open_ones)}")
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def _against(first: StrategyRow, row: StrategyRow, margin: float) -> str:
    return f"{row.shown} {against(row.verdict, margin)}{_times(first, row)}"


def _times(first: StrategyRow, row: StrategyRow) -> str:
    if first.cost is None or row.cost is None or not first.cost.value:
        return ""
    return f" at {row.cost.value / first.cost.value:.2g} times the dollars"


def _cheapest(rows: Sequence[StrategyRow]) -> str:
    known = [(row.cost_of_pass.value, row) for row in rows if row.cost_of_pass is not None]
    if len(known) < len(rows):
        return ""
    best, row = min(known, key=lambda pair: pair[0])
    if math.isinf(best):
        return "No strategy gave a right answer."
    return f"The cheapest right answer is {row.shown}'s."


def _bounds(rows: Sequence[StrategyRow]) -> str:
    told = [f"{row.shown} {100 * row.pass_rate.value:.1f} %" for row in rows if row.pass_rate]
    return f"Upper bounds: {', '.join(told)}."


def overall(blocks: Sequence[Block]) -> str:
    """Repeat what holds for all suites together, by model and format where there are several."""
    last = [block for block in blocks if not block.suite]
    if len(last) == 1:
        return last[0].finding
    return " ".join(f"{block.base}: {block.finding}" for block in last)
