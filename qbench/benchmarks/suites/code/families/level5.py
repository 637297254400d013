"""Level 5: several rules that meet, with states to be kept apart."""

from __future__ import annotations

import random
from typing import Any

from qbench.benchmarks.suites.code.families.draws import words
from qbench.benchmarks.suites.code.problem import Constants, Family


def _weights(rng: random.Random) -> Constants:
    return {"heavy": "".join(rng.sample("abcdef", 2)), "w": rng.randint(2, 4)}


def _two_texts(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    return ["".join(rng.choices("abcdef", k=max(size - n * rng.randint(0, 2), 0))) for n in (0, 1)]


COMMON = Family(
    key="common",
    names=("common_weight", "match_value", "best_common"),
    p=("first", "left"),
    q=("second", "right"),
    draw=_weights,
    inputs=_two_texts,
    statement=(
        "A common subsequence of the strings `$p` and `$q` is what is left of both after deleting "
        'characters. It is worth 1 for each letter, but $w for each of the letters "$heavy", and '
        "0 for a letter that equals the one right before it in the subsequence. Return the "
        "largest worth of a common subsequence."
    ),
    python="""
def $f($p, $q):
    memo = {}
    def best(i, j, last):
        if i == len($p) or j == len($q):
            return 0
        key = (i, j, last)
        if key not in memo:
            found = max(best(i + 1, j, last), best(i, j + 1, last))
            c = $p[i]
            if c == $q[j]:
                worth = 0 if c == last else ($w if c in $heavy else 1)
                found = max(found, worth + best(i + 1, j + 1, c))
            memo[key] = found
        return memo[key]
    return best(0, 0, "")
""",
    javascript="""
function $f($p, $q) {
  const memo = new Map();
  function best(i, j, last) {
    if (i === $p.length || j === $q.length) return 0;
    const key = i + "," + j + "," + last;
    if (!memo.has(key)) {
      let found = Math.max(best(i + 1, j, last), best(i, j + 1, last));
      const c = $p[i];
      if (c === $q[j]) {
        const worth = c === last ? 0 : $heavy.includes(c) ? $w : 1;
        found = Math.max(found, worth + best(i + 1, j + 1, c));
      }
      memo.set(key, found);
    }
    return memo.get(key);
  }
  return best(0, 0, "");
}
""",
    python_slip=("0 if c == last else ($w if c in $heavy else 1)", "$w if c in $heavy else 1"),
    javascript_slip=("c === last ? 0 : $heavy", "$heavy"),
)


def _life(rng: random.Random) -> Constants:
    return {
        "born": sorted(rng.sample(range(2, 6), 2)),
        "stays": sorted(rng.sample(range(1, 6), 2)),
        "age": rng.randint(2, 4),
    }


def _cells(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    side = 3 + size // 8
    rows = ["".join(rng.choice("#..") for _ in range(side)) for _ in range(side)]
    return [rows, size % 6]


LIFE = Family(
    key="life",
    names=("count_alive", "grow_cells", "run_colony"),
    p=("rows", "colony"),
    q=("steps", "rounds"),
    draw=_life,
    inputs=_cells,
    statement=(
        '`$p` is a square map as a list of strings, "#" for a living cell. It wraps around: the '
        "last row and column are neighbours of the first. In each step, all at once, an empty "
        "place comes alive when it has $born living neighbours (of eight; the numbers listed "
        "are alternatives), and a living cell stays when it has $stays. A cell that has stayed "
        "for $age steps in a row dies in the next step whatever its neighbours. Return how many "
        "cells are alive after `$q` steps."
    ),
    python="""
def $f($p, $q):
    n = len($p)
    age = {(y, x): 0 for y in range(n) for x in range(n) if $p[y][x] == "#"}
    near = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
    for _ in range($q):
        after = {}
        for y in range(n):
            for x in range(n):
                alive = sum(((y + a) % n, (x + b) % n) in age for a, b in near)
                if (y, x) not in age:
                    if alive in $born:
                        after[y, x] = 0
                elif alive in $stays and age[y, x] < $age:
                    after[y, x] = age[y, x] + 1
        age = after
    return len(age)
""",
    javascript="""
function $f($p, $q) {
  const n = $p.length, near = [-1, 0, 1];
  let age = $p.map((row) => [...row].map((c) => (c === "#" ? 0 : -1)));
  for (let step = 0; step < $q; step++) {
    age = age.map((row, y) => row.map((old, x) => {
      let alive = 0;
      for (const a of near) for (const b of near) {
        if ((a || b) && age[(y + a + n) % n][(x + b + n) % n] >= 0) alive += 1;
      }
      if (old < 0) return $born.includes(alive) ? 0 : -1;
      return $stays.includes(alive) && old < $age ? old + 1 : -1;
    }));
  }
  return age.flat().filter((value) => value >= 0).length;
}
""",
    python_slip=("range($q)", "range($q + 1)"),
    javascript_slip=("step < $q", "step <= $q"),
)


def _packing(rng: random.Random) -> Constants:
    return {"k": rng.randint(2, 4), "bonus": rng.randint(3, 12)}


def _goods(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    goods = [[rng.randint(1, 12), rng.randint(1, 30)] for _ in range(min(size, 12))]
    return [goods, sum(weight for weight, _ in goods) // 2]


PACK = Family(
    key="pack",
    names=("best_load", "pack_bag", "choose_goods"),
    p=("goods", "items"),
    q=("limit", "capacity"),
    draw=_packing,
    inputs=_goods,
    statement=(
        "`$p` is a list of [weight, value] pairs of positive integers, each to be taken once or "
        "not at all. The weights taken may add up to at most `$q`, and at most $k may be taken. "
        "Taking exactly $k is worth $bonus more. Return the largest worth (0 for nothing)."
    ),
    python="""
def $f($p, $q):
    best = {(0, 0): 0}
    for weight, value in $p:
        for (used, n), worth in list(best.items()):
            key = (used + weight, n + 1)
            if key[0] <= $q and key[1] <= $k:
                best[key] = max(best.get(key, 0), worth + value)
    return max(worth + ($bonus if n == $k else 0) for (_, n), worth in best.items())
""",
    javascript="""
function $f($p, $q) {
  let states = [[0, 0, 0]];
  for (const [weight, value] of $p) {
    const found = new Map(states.map((s) => [s[0] + "," + s[1], s]));
    for (const [used, n, worth] of states) {
      if (used + weight > $q || n + 1 > $k) continue;
      const key = used + weight + "," + (n + 1);
      const old = found.get(key);
      if (!old || old[2] < worth + value) found.set(key, [used + weight, n + 1, worth + value]);
    }
    states = [...found.values()];
  }
  return Math.max(...states.map(([, n, worth]) => worth + (n === $k ? $bonus : 0)));
}
""",
    python_slip=("$bonus if n == $k else 0", "0"),
    javascript_slip=("n === $k ? $bonus : 0", "0"),
)


def _caching(rng: random.Random) -> Constants:
    return {"k": rng.randint(2, 4), "pin": rng.choice(["a", "b", "c"]), "every": rng.randint(5, 8)}


def _uses(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    return [rng.choices("abcdef", k=size)]


CACHE = Family(
    key="cache",
    names=("count_hits", "cache_hits", "simulate_store"),
    p=("requests", "keys", "visits"),
    draw=_caching,
    inputs=_uses,
    statement=(
        "A store holds at most $k keys. The list `$p` tells which keys are asked for, in order. A "
        "key that is in the store is a hit. One that is not is put in; when the store is full, "
        'the key whose last use is longest ago leaves first, but "$pin" never leaves. After '
        "every $every requests (hits or not) the store is emptied, without exception. Return the "
        "number of hits."
    ),
    python="""
def $f($p):
    store, hits = [], 0
    for number, key in enumerate($p, 1):
        if key in store:
            hits += 1
            store.remove(key)
        elif len(store) == $k:
            store.remove(next(k for k in store if k != $pin))
        store.append(key)
        if number % $every == 0:
            store = []
    return hits
""",
    javascript="""
function $f($p) {
  let store = [], hits = 0;
  $p.forEach((key, i) => {
    if (store.includes(key)) {
      hits += 1;
      store = store.filter((k) => k !== key);
    } else if (store.length === $k) {
      const leaves = store.find((k) => k !== $pin);
      store = store.filter((k) => k !== leaves);
    }
    store.push(key);
    if ((i + 1) % $every === 0) store = [];
  });
  return hits;
}
""",
    python_slip=("if number % $every == 0:", "if number % $every == $every:"),
    javascript_slip=("if ((i + 1) % $every === 0) store = [];", ""),
)


def _tolls(rng: random.Random) -> Constants:
    return {"free": rng.randint(2, 4), "none": rng.choice([-1, -5]), "fee": rng.randint(1, 6)}


def _roads(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    towns = max(2, size // 2)
    ends = [rng.sample(range(towns), 2) for _ in range(size)]
    return [towns, [[a, b, rng.randint(1, 20)] for a, b in ends]]


ROADS = Family(
    key="roads",
    names=("cheapest_trip", "road_price", "lowest_toll"),
    p=("n", "towns"),
    q=("roads", "links"),
    draw=_tolls,
    inputs=_roads,
    statement=(
        "There are `$p` towns, numbered from 0. `$q` is a list of [a, b, price] triples: a road "
        "that can be used both ways for that price plus a fee of $fee. On a trip every "
        "road number $free, 2*$free and so on that one uses (counting from 1) is free, price and "
        "fee. Return the lowest cost of a trip from town 0 to town `$p` - 1, or $none when "
        "there is no way."
    ),
    python="""
def $f($p, $q):
    import heapq
    heap, done = [(0, 0, 0)], set()
    while heap:
        cost, town, used = heapq.heappop(heap)
        if town == $p - 1:
            return cost
        if (town, used) in done:
            continue
        done.add((town, used))
        for a, b, price in $q:
            for here, there in ((a, b), (b, a)):
                if here == town:
                    pays = 0 if used + 1 == $free else price + $fee
                    heapq.heappush(heap, (cost + pays, there, (used + 1) % $free))
    return $none
""",
    javascript="""
function $f($p, $q) {
  const best = new Map([["0,0", 0]]), open = [[0, 0, 0]];
  while (open.length) {
    open.sort((a, b) => b[0] - a[0]);
    const [cost, town, used] = open.pop();
    if (town === $p - 1) return cost;
    if (best.get(town + "," + used) < cost) continue;
    for (const [a, b, price] of $q) for (const [here, there] of [[a, b], [b, a]]) {
      if (here !== town) continue;
      const next = cost + (used + 1 === $free ? 0 : price + $fee);
      const key = there + "," + ((used + 1) % $free);
      if (!(best.get(key) <= next)) {
        best.set(key, next);
        open.push([next, there, (used + 1) % $free]);
      }
    }
  }
  return $none;
}
""",
    python_slip=("0 if used + 1 == $free else price + $fee", "price + $fee"),
    javascript_slip=("used + 1 === $free ? 0 : price + $fee", "price + $fee"),
)


def _wrapping(rng: random.Random) -> Constants:
    return {"width": rng.randint(12, 20), "indent": rng.randint(1, 4), "fill": rng.choice(".-_")}


WRAP = Family(
    key="wrap",
    names=("set_lines", "wrap_text", "fill_lines"),
    p=("words", "parts"),
    draw=_wrapping,
    inputs=lambda rng, _c, size: [words(rng, size)],
    statement=(
        "Set the words of the list `$p` in lines of exactly $width characters. The first line "
        'begins with $indent times "$fill". A line takes as many words as fit with one space '
        'between neighbours. What is missing to the width is filled up with "$fill" at the end '
        "of every line but the last, and at the beginning of the last one (before the indent "
        "where that is also the first). Return the list of lines; no words give an empty list. "
        "No word is longer than a line has room."
    ),
    python="""
def $f($p):
    lines, line = [], $fill * $indent
    bare = True
    for word in $p:
        longer = line + ("" if bare else " ") + word
        if len(longer) > $width:
            lines.append(line)
            longer = word
        line, bare = longer, False
    if not $p:
        return []
    return [one + $fill * ($width - len(one)) for one in lines] + [
        $fill * ($width - len(line)) + line
    ]
""",
    javascript="""
function $f($p) {
  if (!$p.length) return [];
  const lines = [];
  let line = $fill.repeat($indent), bare = true;
  for (const word of $p) {
    let longer = line + (bare ? "" : " ") + word;
    if (longer.length > $width) {
      lines.push(line);
      longer = word;
    }
    line = longer;
    bare = false;
  }
  return [...lines.map((one) => one.padEnd($width, $fill)), line.padStart($width, $fill)];
}
""",
    python_slip=("$fill * ($width - len(line)) + line", "line + $fill * ($width - len(line))"),
    javascript_slip=("line.padStart($width, $fill)", "line.padEnd($width, $fill)"),
)

FAMILIES = (COMMON, LIFE, PACK, CACHE, ROADS, WRAP)
