"""Ladders over lists of numbers: ranges, pairs, primes."""

from __future__ import annotations

import random
from typing import Any

from qbench.benchmarks.suites.code.climb import Climb, plain
from qbench.benchmarks.suites.code.problem import Constants


def _list_and_queries(rng: random.Random, length: int, queries: int) -> list[Any]:
    values = [rng.randint(-50, 50) for _ in range(length)]
    pairs = [sorted(rng.choices(range(length + 1), k=2)) for _ in range(queries)]
    return [values, pairs]


RANGES = Climb(
    family=plain(
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
    family=plain(
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
    family=plain(
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
