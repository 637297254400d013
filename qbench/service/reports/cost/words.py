"""What a reader must know about costs of right answers, and the finding in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from qbench.benchmarks.analysis.clusters import FEW
from qbench.service.domain import System
from qbench.service.reports.cost.energy import energy_notes
from qbench.service.reports.cost.values import CostOfPass, CostsOfPass, FrontierValue
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.values import Estimate

UNITS = ((0.01, "$"), (1e-3, "m$"), (1e-6, "µ$"), (1e-9, "n$"))
"""Dollars from this size on, and what they are counted in."""


def finding(found: CostsOfPass) -> str:
    """State the frontier with its interval, against the expert, and who is cheapest."""
    frontier = found.frontier
    if frontier is None and not all(row.left_out for row in found.rows):
        return "No problem was scored for every compared system: there is no frontier."
    if frontier is None:
        return "No system is both valid and priced: there is no frontier cost-of-pass."
    return f"{_frontier(found, frontier)} {_cheapest(found.rows)}".strip()


def _frontier(found: CostsOfPass, frontier: FrontierValue) -> str:
    if math.isinf(frontier.value.value):
        only = frontier.solved_only
        solved = f" Over the problems that are solved it is {interval(only)}." if only else ""
        return (
            f"The frontier cost-of-pass is ∞: no system solved {frontier.unsolved} of "
            f"{frontier.problems} problems, and no expert's cost is known for this suite.{solved}"
        )
    if found.expert is None:
        return (
            f"With every system at hand a right answer costs {interval(frontier.value)}; "
            "no expert's cost is known for this suite."
        )
    price, value = float(found.expert.dollars), frontier.value
    least, share, most = (100 * (1 - v / price) for v in (value.high, value.value, value.low))
    return (
        f"With every system and an expert at {amount(price)} at hand a right answer costs "
        f"{interval(value)}, {share:.1f} % [{least:.1f}, {most:.1f}] less than the expert's, as "
        f"{_attempts(frontier)} tell; {frontier.at_expert} of {frontier.problems} problems go to "
        "the expert."
    )


def _attempts(frontier: FrontierValue) -> str:
    each = f"{frontier.attempts:.3g}"
    return f"{each} attempt{'' if each == '1' else 's'} per problem"


def _cheapest(rows: Sequence[CostOfPass]) -> str:
    known = [row for row in rows if row.cheapest_share and row.cheapest_share.value > 0]
    if not known:
        return ""
    best = max(known, key=lambda row: row.cheapest_share.value if row.cheapest_share else 0.0)
    assert best.cheapest_share is not None
    low, high = best.cheapest_share.low, best.cheapest_share.high
    share = f"{100 * best.cheapest_share.value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return f"Cheapest on the most problems: {best.label} ({share})."


def interval(found: Estimate, digits: int = 3) -> str:
    """Write dollars with their interval in the value's unit: ``3.98 n$ [3.43, 4.60]``.

    An end that is a thousandth of the unit or less has a unit of its own. ``digits``: significant
    ones.
    """
    scale, unit = _unit(found)
    low, high = (_end(part, scale, digits) for part in (found.low, found.high))
    if math.isinf(found.value):
        return f"∞ [{low}, {high}]"
    return f"{_with_unit(found.value / scale, unit, digits)} [{low}, {high}]"


def _end(part: float, scale: float, digits: int) -> str:
    if 0 < part < scale / 1000:
        own, unit = _unit(Estimate(value=part, low=part, high=part))
        return _with_unit(part / own, unit, digits)
    return _number(part / scale, digits)


def _with_unit(value: float, unit: str, digits: int) -> str:
    number = _number(value, digits)
    return f"{unit}{number}" if unit == "$" else f"{number} {unit}"


def amount(dollars: float) -> str:
    """Write dollars with three significant digits: ``$2.50``, ``3.98 n$``."""
    return interval(Estimate(value=dollars, low=dollars, high=dollars)).partition(" [")[0]


def _unit(found: Estimate) -> tuple[float, str]:
    parts = (abs(found.value), abs(found.high), abs(found.low))
    size = next((part for part in parts if part and math.isfinite(part)), 1.0)
    least, unit = next((one for one in UNITS if size >= one[0]), UNITS[-1])
    return (1.0 if unit == "$" else least), unit


def _number(value: float, digits: int = 3) -> str:
    if math.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def notes(
    evidence: Evidence, found: CostsOfPass, kept: Sequence[System], *, unknown: Sequence[str] = ()
) -> tuple[str, ...]:
    """Say what the numbers leave out or assume."""
    return tuple(_notes(evidence, found, kept, unknown))


def _notes(
    evidence: Evidence, found: CostsOfPass, kept: Sequence[System], unknown: Sequence[str]
) -> Iterator[str]:
    yield from (f"left out: {row.label} ({row.left_out})" for row in found.rows if row.left_out)
    yield _expert(found, evidence.run.request.suite)
    unpriced = any(row.left_out == "unpriced" for row in found.rows)
    yield from energy_notes(evidence, kept, unpriced=unpriced)
    frontier = found.frontier
    if frontier is None:
        return
    missing = len(evidence.outcomes.samples) - frontier.problems
    if missing:
        yield f"{missing} problems are left out: not every compared system was scored on them"
    if frontier.families < FEW:
        yield f"only {frontier.families} families of problems: the intervals are rough"
    if math.isfinite(frontier.value.value):
        yield _epochs(evidence, frontier)
    ends = (evidence.endpoint(system) for system in kept)
    if any(end is not None and end.path == "emulated" for end in ends):
        yield "emulated systems stand here with the cost of their emulation, not of native hardware"
    if unknown and (found.releases or len({system.model for system in kept}) > 1):
        yield f"no release date is known of {', '.join(unknown)}: give --released MODEL=YYYY-MM-DD"
    if found.no_decay and len(found.releases) > 1:
        yield f"no halving time: {found.no_decay}"


def _expert(found: CostsOfPass, suite: str) -> str:
    if found.expert is None:
        return f"no expert's cost is known for suite {suite}: give --expert DOLLARS to bound V"
    checked = f", checked {found.expert.checked}" if found.expert.checked else ""
    return f"expert: {amount(float(found.expert.dollars))} ({found.expert.source}{checked})"


def _epochs(evidence: Evidence, frontier: FrontierValue) -> str:
    if frontier.held_out is None:
        return (
            "one attempt per problem: its cost-of-pass is the attempt's cost or ∞, and what failed "
            "by chance is charged to the expert; more --epochs make V better"
        )
    return (
        f"V rests on {evidence.run.request.epochs} attempts per problem: the smallest of noisy "
        "costs is too small, and what failed by chance is charged to the expert; half of the "
        f"attempts choosing and the other half paying costs {interval(frontier.held_out)}"
    )
