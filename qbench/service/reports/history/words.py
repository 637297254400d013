"""How the frontier moved, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qbench.service.reports.history.values import FrontierHistory, FrontierStep
from qbench.service.reports.values import Estimate


def finding(found: FrontierHistory) -> str:
    """Say what a right answer cost at first and at last, and whether that changed."""
    said = [
        sentence
        for why, how in (("measured", "as booked"), ("prices", "at other prices alone"))
        if (sentence := _moved([s for s in found.steps if s.why == why], how))
    ]
    if not said:
        return "Nothing can be said: no system was scored and priced on shared problems."
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _moved(steps: Sequence[FrontierStep], how: str) -> str:
    """Compare the first step that can be told with the last, by V or else by the best system."""
    told = [step for step in steps if _cost(step) is not None]
    if not told:
        return ""
    first, last = told[0], told[-1]
    finite = all(step.value and math.isfinite(step.value.value) for step in (first, last))
    one, two = (step.value if finite else step.best_cost for step in (first, last))
    if one is None or two is None:
        return f"{how}, nobody has passed"
    what = "the frontier V" if finite else f"the cheapest right answer ({last.best})"
    if first is last:
        return f"{how}, {what} costs {_money(two)} on {last.at:%Y-%m-%d}"
    paired = last.since_first if finite and first is steps[0] else None
    return (
        f"{how}, {what} went from {_money(one)} on {first.at:%Y-%m-%d} to {_money(two)} on "
        f"{last.at:%Y-%m-%d} ({_change(one, two, paired)})"
    )


def _change(one: Estimate, two: Estimate, paired: Estimate | None) -> str:
    """Say how far it moved and whether that is clear: by the paired fall where it is known."""
    if one.value == two.value:
        return "no change"
    share = f"{100 * (two.value / one.value - 1):+.1f} %" if one.value else "from nothing"
    if paired is not None:
        clear = paired.low > 0 or paired.high < 0
        fall = f"a fall of {_money(paired)}"
        return f"{share}, {fall}" if clear else f"{share}, {fall}: no clear change"
    apart = two.high < one.low or two.low > one.high
    return share if apart else f"{share}, within their intervals: no clear change"


def _cost(step: FrontierStep) -> Estimate | None:
    return step.best_cost or step.value


def _money(found: Estimate) -> str:
    sign = "-" if found.value < 0 else ""
    return f"{sign}${abs(found.value):.3g} [{found.low:.3g}, {_end(found.high)}]"


def _end(amount: float) -> str:
    return "∞" if math.isinf(amount) else f"{amount:.3g}"
