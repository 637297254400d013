"""Problems that exercise performance, each with solutions from slow to fast."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from qbench.benchmarks.suites.code.problem import Constants, Family


class Climb(Struct, frozen=True, kw_only=True):
    """A family, solutions slower than its own, and inputs large enough to tell them apart."""

    family: Family
    slower: tuple[str, ...]
    """Slowest first; all right."""
    large: Callable[[random.Random, Constants], Sequence[Any]]


def _plain(
    key: str,
    texts: tuple[str, str],
    slip: tuple[str, str],
    names: Sequence[Sequence[str]],
    **more: Any,
) -> Family:
    statement, python = texts
    functions, p, q = names
    return Family(
        key=key,
        names=tuple(functions),
        p=tuple(p),
        q=tuple(q),
        statement=statement,
        python=python,
        javascript="",
        python_slip=slip,
        javascript_slip=("", ""),
        **more,
    )


def _list_and_queries(rng: random.Random, length: int, queries: int) -> list[Any]:
    values = [rng.randint(-50, 50) for _ in range(length)]
    pairs = [sorted(rng.choices(range(length + 1), k=2)) for _ in range(queries)]
    return [values, pairs]


RANGES = Climb(
    family=_plain(
        "ranges",
        (
            (
                "`$q` is a list of [a, b] pairs of positions in the list of integers `$p`, with "
                "a <= b. Return a list with, for each pair, the sum of the elements at the "
                "positions a to b - 1, plus $k."
            ),
            """
def $f($p, $q):
    from itertools import accumulate
    sums = list(accumulate($p, initial=0))
    return [sums[b] - sums[a] + $k for a, b in $q]
""",
        ),
        ("- sums[a] + $k", "- sums[a]"),
        (("range_sums", "sum_spans"), ("values", "days"), ("spans", "queries")),
        draw=lambda rng: {"k": rng.randint(1, 9)},
        inputs=lambda rng, _c, size: _list_and_queries(rng, size, size),
    ),
    slower=(
        """
def $f($p, $q):
    out = []
    for a, b in $q:
        total = $k
        for i in range(a, b):
            total += $p[i]
        out.append(total)
    return out
""",
        """
def $f($p, $q):
    return [sum($p[a:b]) + $k for a, b in $q]
""",
        """
def $f($p, $q):
    size = 64
    blocks = [sum($p[i:i + size]) for i in range(0, len($p), size)]
    out = []
    for a, b in $q:
        first, last = -(-a // size), b // size
        if first >= last:
            out.append(sum($p[a:b]) + $k)
        else:
            ends = sum($p[a:first * size]) + sum($p[last * size:b])
            out.append(ends + sum(blocks[first:last]) + $k)
    return out
""",
    ),
    large=lambda rng, _c: _list_and_queries(rng, 4000, 1500),
)


def _near(rng: random.Random, length: int) -> list[Any]:
    return [[rng.randint(0, max(length, 6)) for _ in range(length)]]


PAIRS = Climb(
    family=_plain(
        "pairs",
        (
            (
                "Return in how many ways two positions i < j of the list of integers `$p` can be "
                "chosen so that the elements there add up to $k."
            ),
            """
def $f($p):
    seen, found = {}, 0
    for x in $p:
        found += seen.get($k - x, 0)
        seen[x] = seen.get(x, 0) + 1
    return found
""",
        ),
        ("found = {}, 0", "found = {}, 1"),
        (("count_pairs", "pair_ways"), ("values", "weights"), ()),
        draw=lambda rng: {"k": rng.randint(4, 40)},
        inputs=lambda rng, _c, size: _near(rng, size),
    ),
    slower=(
        """
def $f($p):
    found = 0
    for i in range(len($p)):
        for j in range(i + 1, len($p)):
            if $p[i] + $p[j] == $k:
                found += 1
    return found
""",
        """
def $f($p):
    return sum($p[i + 1:].count($k - x) for i, x in enumerate($p))
""",
        """
def $f($p):
    from bisect import bisect_left, bisect_right
    order = sorted($p)
    found = 0
    for x in order:
        found += bisect_right(order, $k - x) - bisect_left(order, $k - x)
        found -= x + x == $k
    return found // 2
""",
    ),
    large=lambda rng, _c: [[rng.randint(-600, 600) for _ in range(1300)]],
)


def _modulus(rng: random.Random) -> Constants:
    modulus = rng.choice([4, 6, 10])
    return {"m": modulus, "r": rng.choice([1, modulus - 1])}


PRIMES = Climb(
    family=_plain(
        "primes",
        (
            (
                "Return how many prime numbers below the integer `$p` leave the remainder $r when "
                "divided by $m."
            ),
            """
def $f($p):
    sieve = bytearray([1]) * max($p, 2)
    sieve[0] = sieve[1] = 0
    for i in range(2, int($p ** 0.5) + 1):
        if sieve[i]:
            sieve[i * i::i] = bytes(len(range(i * i, len(sieve), i)))
    return sum(sieve[$r::$m])
""",
        ),
        ("sieve[$r::$m]", "sieve[$r - 1::$m]"),
        (("count_primes", "primes_in_class"), ("n", "limit"), ()),
        draw=_modulus,
        inputs=lambda rng, _c, size: [size * 5 + rng.randint(0, 4)],
    ),
    slower=(
        """
def $f($p):
    found = 0
    for number in range(2, $p):
        if number % $m == $r:
            found += all(number % d for d in range(2, number // 2 + 1))
    return found
""",
        """
def $f($p):
    found = 0
    for number in range(2, $p):
        if number % $m == $r:
            d = 2
            while d * d <= number and number % d:
                d += 1
            found += d * d > number
    return found
""",
        """
def $f($p):
    sieve = [True] * max($p, 2)
    for i in range(2, int($p ** 0.5) + 1):
        for j in range(i * i, $p, i):
            sieve[j] = False
    return sum(1 for i in range(2, $p) if sieve[i] and i % $m == $r)
""",
    ),
    large=lambda rng, _c: [6000 + rng.randint(0, 300)],
)


def _visits(rng: random.Random, number: int, time: int) -> list[Any]:
    starts = [rng.randint(0, time) for _ in range(number)]
    return [[[start, start + rng.randint(1, max(time // 3, 1))] for start in starts]]


OVERLAP = Climb(
    family=_plain(
        "overlap",
        (
            (
                "`$p` is a list of [start, end] pairs of integers from 0 on: a visitor is there "
                "at the times start to end - 1. Return the largest number of visitors who are "
                "there at the same time, counting $k more for the staff (also when nobody comes)."
            ),
            """
def $f($p):
    starts, ends = sorted(a for a, _ in $p), sorted(b for _, b in $p)
    here = best = left = 0
    for start in starts:
        while ends[left] <= start:
            left += 1
            here -= 1
        here += 1
        if here > best:
            best = here
    return best + $k
""",
        ),
        ("ends[left] <= start", "ends[left] < start"),
        (("most_visitors", "busiest_time"), ("visits", "stays"), ()),
        draw=lambda rng: {"k": rng.randint(1, 6)},
        inputs=lambda rng, _c, size: _visits(rng, size, 6),
    ),
    slower=(
        """
def $f($p):
    last = max((b for _, b in $p), default=0)
    return max((sum(a <= t < b for a, b in $p) for t in range(last)), default=0) + $k
""",
        """
def $f($p):
    return max((sum(a <= t < b for a, b in $p) for t in {a for a, _ in $p}), default=0) + $k
""",
        """
def $f($p):
    last = max((b for _, b in $p), default=0)
    change = [0] * (last + 1)
    for a, b in $p:
        change[a] += 1
        change[b] -= 1
    here = best = 0
    for step in change:
        here += step
        best = max(best, here)
    return best + $k
""",
    ),
    large=lambda rng, _c: _visits(rng, 300, 4000),
)


def _letters(rng: random.Random, length: int, kinds: int) -> list[Any]:
    return [[rng.randint(1, kinds) for _ in range(length)]]


RISING = Climb(
    family=_plain(
        "rising",
        (
            (
                "Return the length of the longest subsequence of the list of integers `$p` "
                "(what is left after deleting elements) in which every element is at least $k "
                "larger than the one before."
            ),
            """
def $f($p):
    from bisect import bisect_right
    tails = []
    for x in $p:
        place = bisect_right(tails, x - $k)
        if place == len(tails):
            tails.append(x)
        elif x < tails[place]:
            tails[place] = x
    return len(tails)
""",
        ),
        ("x - $k)", "x)"),
        (("longest_rise", "rising_length"), ("heights", "prices"), ()),
        draw=lambda rng: {"k": rng.randint(2, 5)},
        inputs=lambda rng, _c, size: _letters(rng, size, 25),
    ),
    slower=(
        """
def $f($p):
    best = []
    for i, x in enumerate($p):
        best.append(1 + max((best[j] for j in range(i) if $p[j] + $k <= x), default=0))
    return max(best, default=0)
""",
        """
def $f($p):
    tails = []
    for x in $p:
        place = 0
        while place < len(tails) and tails[place] + $k <= x:
            place += 1
        if place == len(tails):
            tails.append(x)
        else:
            tails[place] = min(tails[place], x)
    return len(tails)
""",
        """
def $f($p):
    tails = []
    for x in $p:
        low, high = 0, len(tails)
        while low < high:
            middle = (low + high) // 2
            if tails[middle] + $k <= x:
                low = middle + 1
            else:
                high = middle
        if low == len(tails):
            tails.append(x)
        else:
            tails[low] = min(tails[low], x)
    return len(tails)
""",
    ),
    large=lambda rng, _c: _letters(rng, 1800, 80_000),
)


def _texts(rng: random.Random, length: int) -> list[Any]:
    return ["".join(rng.choices("abcd", k=max(length - rng.randint(0, 2), 0))) for _ in range(2)]


COMMON = Climb(
    family=_plain(
        "common",
        (
            (
                "Return $k times the length of the longest common subsequence of the strings `$p` "
                "and `$q` (what is left of both after deleting characters)."
            ),
            """
def $f($p, $q):
    places, everywhere = {}, (1 << len($p)) - 1
    for i, c in enumerate($p):
        places[c] = places.get(c, 0) | 1 << i
    row = everywhere
    for c in $q:
        hits = row & places.get(c, 0)
        row = (row + hits | row - hits) & everywhere
    return $k * (len($p) - row.bit_count())
""",
        ),
        ("row - hits", "hits"),
        (("common_length", "shared_letters"), ("first", "left"), ("second", "right")),
        draw=lambda rng: {"k": rng.randint(2, 9)},
        inputs=lambda rng, _c, size: _texts(rng, size),
    ),
    slower=(
        """
def $f($p, $q):
    memo = {}
    for i in range(len($p) + 1):
        for j in range(len($q) + 1):
            if i == 0 or j == 0:
                memo[i, j] = 0
            elif $p[i - 1] == $q[j - 1]:
                memo[i, j] = memo[i - 1, j - 1] + 1
            else:
                memo[i, j] = max(memo[i - 1, j], memo[i, j - 1])
    return $k * memo[len($p), len($q)]
""",
        """
def $f($p, $q):
    table = [[0] * (len($q) + 1) for _ in range(len($p) + 1)]
    for i in range(len($p)):
        for j in range(len($q)):
            if $p[i] == $q[j]:
                table[i + 1][j + 1] = table[i][j] + 1
            else:
                table[i + 1][j + 1] = max(table[i][j + 1], table[i + 1][j])
    return $k * table[len($p)][len($q)]
""",
        """
def $f($p, $q):
    row = [0] * (len($q) + 1)
    for c in $p:
        slanted = here = 0
        for j, d in enumerate($q, 1):
            above = row[j]
            if c == d:
                here = slanted + 1
            elif above > here:
                here = above
            row[j] = here
            slanted = above
    return $k * row[-1]
""",
    ),
    large=lambda rng, _c: _texts(rng, 400),
)

LADDERS: dict[int, tuple[Climb, ...]] = {
    1: (RANGES,),
    2: (PAIRS,),
    3: (PRIMES, OVERLAP),
    4: (RISING,),
    5: (COMMON,),
}
