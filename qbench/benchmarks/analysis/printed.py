"""Numbers as a table prints them: what was rounded, and what can be recomputed from what.

A printed number stands for every number that rounds to it. Two printed numbers agree where the
interval recomputed from one meets that of the other: a table is never blamed for its rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

HOUR = 3600.0
SLACK = 1e-9
"""Share by which ends may miss each other: double precision, not the table."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A positive number with the interval that rounds to it."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Printed:
        """Return the number in another unit, ``factor`` > 0."""
        return Printed(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def over(self, other: Printed) -> Printed:
        """Return the quotient; infinity where the divisor may be 0."""
        return Printed(
            value=_ratio(self.value, other.value),
            low=_ratio(self.low, other.high),
            high=_ratio(self.high, other.low),
        )


def _ratio(one: float, two: float) -> float:
    return one / two if two > 0 else math.inf


def printed(text: str) -> Printed:
    """Read a number with the half unit of its last digit; below 0 is cut off.

    Raises:
        ValueError: it is no finite number.

    """
    try:
        number = Decimal(text)
    except ArithmeticError:
        number = Decimal("nan")
    if not number.is_finite():
        raise ValueError(f"{text!r} is no number")
    half = Decimal(1).scaleb(int(number.as_tuple().exponent)) / 2
    low, high = max(Decimal(0), number - half), number + half
    return Printed(value=float(number), low=float(low), high=float(high))


def agree(one: Printed, two: Printed) -> bool:
    """Whether two intervals meet."""
    slack = SLACK * max(abs(one.value), abs(two.value)) if math.isfinite(two.value) else 0.0
    return one.low <= two.high + slack and two.low <= one.high + slack


def mean(values: Sequence[Printed]) -> Printed:
    """Return the arithmetic mean with its interval."""
    n = len(values)
    return Printed(
        value=sum(one.value for one in values) / n,
        low=sum(one.low for one in values) / n,
        high=sum(one.high for one in values) / n,
    )


def queries_per_dollar(seconds: Printed, hourly: float) -> Printed:
    """Return 3600 / (latency x dollars per hour), one query at a time (arXiv 2411.02355).

    ``hourly`` is the price of all GPUs together.
    """
    return Printed(value=HOUR, low=HOUR, high=HOUR).over(seconds.times(hourly))


def standard_error(share: Printed, n: float) -> Printed:
    """Return what a printed standard error of ``n`` independent samples can be.

    From sqrt(p (1 - p) / n) to the same over n - 1, which is the sample standard deviation over
    sqrt(n).
    """

    def error(p: float, n: float) -> float:
        return math.sqrt(max(0.0, p * (1 - p)) / n)

    ends = [share.low, min(1.0, share.high), *([0.5] if share.low < 0.5 < share.high else [])]
    found = [error(p, m) for p in ends for m in (n, max(1.0, n - 1))]
    return Printed(value=error(share.value, n), low=min(found), high=max(found))


def possible(share: Printed, n: float) -> bool:
    """Whether a whole number of ``n`` attempts can have passed (Brown and Heathers 2017, GRIM)."""
    return math.floor(share.high * n + SLACK * n) >= math.ceil(share.low * n - SLACK * n)


def falls(series: Sequence[Printed]) -> bool:
    """Whether pass^1, pass^2, ... can be what they are called, within rounding.

    pass^k is the probability that k attempts drawn from a task's all pass (tau-bench, arXiv
    2406.12045). It falls, and by less each time: pass^k - pass^(k+1) is the probability of k
    passes and then a failure, of which k + 1 passes and then a failure is a part.
    """
    pairs = pairwise(series)
    triples = zip(series, series[1:], series[2:], strict=False)
    monotone = all(later.low <= one.high + SLACK for one, later in pairs)
    return monotone and all(
        one.high - 2 * two.low + three.high >= -SLACK for one, two, three in triples
    )


def error_of_tasks(pass_1: float, pass_2: float, tasks: float, trials: float) -> float:
    """Return the standard error of pass^1 between tasks, from pass^1 and pass^2 alone.

    With c of K trials passed, pass^2 is the mean of c (c - 1) / (K (K - 1)), so the mean of
    (c / K)^2 is ((K - 1) pass^2 + pass^1) / K, and the variance of the tasks' rates follows: the
    same number that the attempts themselves give (Miller, arXiv 2411.00640, clustered by task).
    """
    squares = ((trials - 1) * pass_2 + pass_1) / trials
    variance = max(0.0, squares - pass_1 * pass_1) * tasks / max(1.0, tasks - 1)
    return math.sqrt(variance / tasks)


def effective(pass_1: float, pass_2: float | None, tasks: float, trials: float) -> float:
    """Return how many independent attempts tell as much about pass^1 (Rao and Scott 1992).

    From ``tasks``, where the trials of a task always agree, to ``tasks`` x ``trials``, where they
    know nothing of each other. ``tasks`` where pass^2 is not known.
    """
    if pass_2 is None or trials <= 1 or not 0 < pass_1 < 1:
        return tasks
    error = error_of_tasks(pass_1, pass_2, tasks, trials)
    alone = pass_1 * (1 - pass_1)
    return min(max(tasks, alone / error**2 if error else math.inf), tasks * trials)
