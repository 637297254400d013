"""Time a million API calls and two million engine lines at the prices of another day: no database.

What is read once (usage and lines as columns), and what each further day costs; beside it the
same line by line in Decimal, on a part, whose dollars must be equal to the last digit::

    python scripts/bench_repricing.py [--attempts 1000000] [--part 20000] [--runs 5]
"""

from __future__ import annotations

import argparse
import time as clock
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal

import numpy as np
from bench_leaderboard import peak, timed

from qbench.benchmarks.chat import TokenUsage
from qbench.service.metered import Lines, engine_bills, engine_time_of
from qbench.service.metered_calls import api_bill, calls_of
from qbench.service.money import MachinePrice, Rates, Tier, TokenPrice, machine_cost, token_cost
from qbench.service.money import exact_seconds as exact

CHEAP = Rates(input=Decimal("0.25"), output=Decimal(2), cached_input=Decimal("0.025"))
DEAR = Rates(input=Decimal("0.5"), output=Decimal("3.5"))
TOKENS = TokenPrice(
    name="made/model", rates=CHEAP, tiers=(Tier(above=400, rates=DEAR),), source="own: made"
)
MACHINE = MachinePrice(
    name="box",
    hardware="box",
    commitment="on-demand",
    per_unit=Decimal("4.29"),
    units=1,
    provider="us",
    source="own: made",
    checked=date(2026, 1, 1),
    valid_from=date(2026, 1, 1),
)


def calls(attempts: int) -> Iterator[tuple[int, str, time, TokenUsage | None]]:
    """Yield one call per attempt."""
    rng = np.random.default_rng(0)
    prompts, answers = rng.integers(100, 500, attempts), rng.integers(10, 90, attempts)
    for place, (prompt, answer) in enumerate(zip(prompts.tolist(), answers.tolist(), strict=True)):
        usage = TokenUsage(prompt_tokens=prompt, cached_tokens=64, completion_tokens=answer)
        yield place, "made/model", time(12, place % 60), usage


def lines(attempts: int) -> Iterator[Lines]:
    """Yield two lines per attempt, in parts, as the database keeps them."""
    nanos = np.random.default_rng(1).integers(10**6, 10**10, attempts)
    for basis in ("saturated", "dedicated"):
        for start in range(0, attempts, 2_000):
            places = range(start, min(attempts, start + 2_000))
            size = len(places)
            seconds = (nanos[start : start + 2_000] / 1e9).tolist()
            yield places, [(basis, "session", "old")] * size, seconds, ["0.000001234567"] * size


def main() -> None:
    """Print both, and fail where a digit differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--part", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    number, part = given.attempts, min(given.part, given.attempts)
    began = clock.process_time()
    used, spent = calls_of(calls(number)), engine_time_of(lines(number))
    took = clock.process_time() - began
    print(f"columns of {number:,} calls and {2 * number:,} lines: {took:.1f} s CPU")

    def day() -> None:
        api_bill(used, lambda *_: TOKENS, number)[0].floats(number)
        for bill in engine_bills(spent, lambda *_: MACHINE, number).bills.values():
            bill.floats(number)

    timed("all of it at another day's prices", day, given.runs)
    began = clock.process_time()
    slow = {"api": [token_cost(usage, TOKENS) for *_, usage in calls(part) if usage is not None]}
    for _, groups, seconds, _ in lines(part):
        costs = [machine_cost(exact(one or 0), MACHINE) for one in seconds]
        slow.setdefault(groups[0][0], []).extend(costs)
    took = clock.process_time() - began
    print(f"in Decimal, {part:,} attempts: {took:.2f} s CPU: {took * number / part:.0f} s for all")
    used, spent = calls_of(calls(part)), engine_time_of(lines(part))
    bills = {"api": api_bill(used, lambda *_: TOKENS, part)[0]}
    bills |= engine_bills(spent, lambda *_: MACHINE, part).bills
    for basis, costs in slow.items():
        assert costs == [bills[basis].dollars(place) for place in range(part)], basis
    print(f"the same dollars to the last digit; peak memory {peak():.2f} GB")


if __name__ == "__main__":
    main()
