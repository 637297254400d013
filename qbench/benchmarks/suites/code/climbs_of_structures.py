"""Ladders over intervals, runs and texts."""

from __future__ import annotations

import random
from typing import Any

from qbench.benchmarks.suites.code.climb import Climb, plain


def _visits(rng: random.Random, number: int, time: int) -> list[Any]:
    starts = [rng.randint(0, time) for _ in range(number)]
    return [[[start, start + rng.randint(1, max(time // 3, 1))] for start in starts]]


OVERLAP = Climb(
    family=plain(
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
    family=plain(
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
    family=plain(
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
