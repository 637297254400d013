"""Level 4: known algorithms with a rule of their own."""

from __future__ import annotations

import random
from typing import Any

from qbench.benchmarks.suites.code.families.draws import word
from qbench.benchmarks.suites.code.problem import Constants, Family


def _gap(rng: random.Random) -> Constants:
    return {"gap": rng.randint(1, 6), "least": rng.randint(3, 9)}


def _intervals(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    starts = [rng.randint(0, 12 * max(size, 1)) for _ in range(size)]
    return [[[start, start + rng.randint(1, 9)] for start in starts]]


MERGE = Family(
    key="merge",
    names=("merge_spans", "join_intervals", "busy_times"),
    p=("spans", "meetings", "intervals"),
    draw=_gap,
    inputs=_intervals,
    statement=(
        "`$p` is a list of [start, end] pairs of integers in any order. Merge spans that overlap "
        "or between which at most $gap lies (a start at most $gap after an end). Return the "
        "merged spans that are at least $least long (end minus start), ordered by start."
    ),
    python="""
def $f($p):
    merged = []
    for start, end in sorted($p):
        if merged and start - merged[-1][1] <= $gap:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return [span for span in merged if span[1] - span[0] >= $least]
""",
    javascript="""
function $f($p) {
  const merged = [];
  for (const [start, end] of [...$p].sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    const last = merged[merged.length - 1];
    if (last && start - last[1] <= $gap) last[1] = Math.max(last[1], end);
    else merged.push([start, end]);
  }
  return merged.filter((span) => span[1] - span[0] >= $least);
}
""",
    python_slip=("max(merged[-1][1], end)", "end"),
    javascript_slip=("Math.max(last[1], end)", "end"),
)


def _walking(rng: random.Random) -> Constants:
    straight = [[0, 1], [1, 0], [0, -1], [-1, 0]]
    slanted = [[1, 1], [1, -1], [-1, 1], [-1, -1]]
    diagonal = rng.random() < 0.5
    return {
        "wall": rng.choice("#X@"),
        "moves": straight + slanted if diagonal else straight,
        "said": "horizontal, vertical or diagonal" if diagonal else "horizontal or vertical",
        "none": rng.choice([-1, 0]),
    }


def _grid(rng: random.Random, constants: Constants, size: int) -> list[Any]:
    rows, columns = 1 + size // 3, 1 + size // 2
    cells = [
        [constants["wall"] if rng.random() < 0.3 else "." for _ in range(columns)]
        for _ in range(rows)
    ]
    cells[0][0] = cells[-1][-1] = "."
    return [["".join(row) for row in cells]]


WALK = Family(
    key="walk",
    names=("shortest_walk", "fewest_steps", "path_length"),
    p=("grid", "field", "maze"),
    draw=_walking,
    inputs=_grid,
    statement=(
        '`$p` is a list of strings of equal length, a map in which "$wall" is a wall. One goes '
        "from the first character of the first string to the last character of the last one by "
        "$said steps between neighbours that are no walls (both ends are free). Return the "
        "number of cells on a shortest way, both ends included, or $none when there is none."
    ),
    python="""
def $f($p):
    goal = (len($p) - 1, len($p[0]) - 1)
    front, seen, cells = [(0, 0)], {(0, 0)}, 1
    while front:
        if goal in front:
            return cells
        found = []
        for y, x in front:
            for dy, dx in $moves:
                place = (y + dy, x + dx)
                inside = 0 <= place[0] <= goal[0] and 0 <= place[1] <= goal[1]
                if inside and place not in seen and $p[place[0]][place[1]] != $wall:
                    seen.add(place)
                    found.append(place)
        front, cells = found, cells + 1
    return $none
""",
    javascript="""
function $f($p) {
  const rows = $p.length, columns = $p[0].length;
  let front = [[0, 0]], cells = 1;
  const seen = new Set(["0,0"]);
  while (front.length) {
    const found = [];
    for (const [y, x] of front) {
      if (y === rows - 1 && x === columns - 1) return cells;
      for (const [dy, dx] of $moves) {
        const a = y + dy, b = x + dx;
        if (a < 0 || b < 0 || a >= rows || b >= columns) continue;
        if (seen.has(a + "," + b) || $p[a][b] === $wall) continue;
        seen.add(a + "," + b);
        found.push([a, b]);
      }
    }
    front = found;
    cells += 1;
  }
  return $none;
}
""",
    python_slip=("{(0, 0)}, 1", "{(0, 0)}, 0"),
    javascript_slip=("cells = 1", "cells = 0"),
)


def _coins(rng: random.Random) -> Constants:
    return {
        "coins": sorted(rng.sample(range(2, 15), 3)),
        "most": rng.randint(3, 5),
        "none": rng.choice([-1, 0]),
    }


COINS = Family(
    key="coins",
    names=("fewest_coins", "pay_exactly", "coins_needed"),
    p=("amount", "total", "price"),
    draw=_coins,
    inputs=lambda rng, _c, size: [size and rng.randint(1, 3 * size + 2)],
    statement=(
        "There are coins of the values $coins, of each at most $most pieces. Return the smallest "
        "number of coins that add up to exactly the integer `$p` (0 for an amount of 0), or "
        "$none when no choice of coins does."
    ),
    python="""
def $f($p):
    best = {0: 0}
    for coin in $coins:
        found = dict(best)
        for paid, used in best.items():
            for n in range(1, $most + 1):
                now = paid + n * coin
                if now <= $p and used + n < found.get(now, used + n + 1):
                    found[now] = used + n
        best = found
    return best.get($p, $none)
""",
    javascript="""
function $f($p) {
  let best = new Map([[0, 0]]);
  for (const coin of $coins) {
    const found = new Map(best);
    for (const [paid, used] of best) {
      for (let n = 1; n <= $most; n++) {
        const now = paid + n * coin;
        if (now <= $p && !(found.get(now) <= used + n)) found.set(now, used + n);
      }
    }
    best = found;
  }
  return best.has($p) ? best.get($p) : $none;
}
""",
    python_slip=("found[now] = used + n", "found[now] = used + 1"),
    javascript_slip=("set(now, used + n)", "set(now, used + 1)"),
)


def _signs(rng: random.Random) -> Constants:
    strong, weak = rng.sample(["~", "^", "&", "@", "%"], 2)
    return {"strong": strong, "weak": weak, "k": rng.randint(1, 5)}


def _formula(rng: random.Random, constants: Constants, size: int) -> list[Any]:
    terms = [str(rng.randint(0, 9)) for _ in range(min(size, 14) + 1)]
    signs = [rng.choice([constants["strong"], constants["weak"]]) for _ in terms[1:]]
    return [" ".join([terms[0], *(f"{s} {t}" for s, t in zip(signs, terms[1:], strict=True))])]


FORMULA = Family(
    key="formula",
    names=("work_out", "evaluate_line", "reckon"),
    p=("line", "formula", "text"),
    draw=_signs,
    inputs=_formula,
    statement=(
        "The string `$p` is a formula of integers and signs separated by single spaces, such as "
        '"2 $weak 3 $strong 4". "a $strong b" means the larger of a and b, plus $k; '
        '"a $weak b" means a minus b. "$strong" binds more strongly than "$weak"; signs of one '
        "kind are worked out from left to right. Return the result."
    ),
    python="""
def $f($p):
    tokens = $p.split()
    terms, signs = [int(tokens[0])], []
    for sign, term in zip(tokens[1::2], tokens[2::2]):
        if sign == $strong:
            terms[-1] = max(terms[-1], int(term)) + $k
        else:
            terms.append(int(term))
    return terms[0] - sum(terms[1:])
""",
    javascript="""
function $f($p) {
  const tokens = $p.split(" ");
  const terms = [Number(tokens[0])];
  for (let i = 1; i < tokens.length; i += 2) {
    const value = Number(tokens[i + 1]);
    if (tokens[i] === $strong) terms.push(Math.max(terms.pop(), value) + $k);
    else terms.push(value);
  }
  return terms.slice(1).reduce((a, b) => a - b, terms[0]);
}
""",
    python_slip=("max(terms[-1], int(term)) + $k", "max(terms[-1], int(term))"),
    javascript_slip=("Math.max(terms.pop(), value) + $k", "Math.max(terms.pop(), value)"),
)


def _frequent(rng: random.Random) -> Constants:
    return {"k": rng.randint(2, 4), "least": rng.randint(4, 5), "mark": rng.choice("*!?")}


def _prose(rng: random.Random, constants: Constants, size: int) -> list[Any]:
    pool = [word(rng) for _ in range(max(size // 3, 3))]
    chosen = [rng.choice(pool) for _ in range(size)]
    return [" ".join(w + constants["mark"] if rng.random() < 0.3 else w for w in chosen)]


FREQUENT = Family(
    key="frequent",
    names=("top_words", "common_words", "most_used"),
    p=("text", "page", "speech"),
    draw=_frequent,
    inputs=_prose,
    statement=(
        'The string `$p` holds words separated by spaces; a word may end in "$mark", which is no '
        "part of it but makes it count twice. Return the (at most) $k words of $least letters or "
        "more that count most, most first; of words that count the same, the one that is later "
        "in the alphabet comes first."
    ),
    python="""
def $f($p):
    counts = {}
    for token in $p.split():
        word = token.rstrip($mark)
        if len(word) >= $least:
            counts[word] = counts.get(word, 0) + (2 if token != word else 1)
    ordered = sorted(counts, reverse=True)
    return sorted(ordered, key=lambda w: -counts[w])[:$k]
""",
    javascript="""
function $f($p) {
  const counts = new Map();
  for (const token of $p.split(" ").filter(Boolean)) {
    const marked = token.endsWith($mark);
    const word = marked ? token.slice(0, -1) : token;
    if (word.length >= $least) counts.set(word, (counts.get(word) || 0) + (marked ? 2 : 1));
  }
  return [...counts.keys()]
    .sort((a, b) => counts.get(b) - counts.get(a) || (a > b ? -1 : 1))
    .slice(0, $k);
}
""",
    python_slip=("sorted(counts, reverse=True)", "sorted(counts)"),
    javascript_slip=("(a > b ? -1 : 1)", "(a < b ? -1 : 1)"),
)


def _ordering(rng: random.Random) -> Constants:
    last = rng.random() < 0.5
    return {
        "which": "latest in the alphabet" if last else "earliest in the alphabet",
        "pick_python": "max" if last else "min",
        "pick_js": "length - 1" if last else "length - free.length",
    }


def _steps(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    names = rng.sample("abcdefghijklmnopqrstuvwxyz", min(size, 12))
    pairs = [sorted(rng.sample(range(len(names)), 2)) for _ in range(size if size > 1 else 0)]
    if pairs and rng.random() < 0.25:
        pairs[0].reverse()
    return [sorted(names), [[names[a], names[b]] for a, b in pairs]]


ORDER = Family(
    key="order",
    names=("plan_steps", "order_jobs", "build_order"),
    p=("jobs", "names", "modules"),
    q=("needs", "before", "rules"),
    draw=_ordering,
    inputs=_steps,
    statement=(
        "`$p` is a list of different names and `$q` a list of [first, then] pairs of them: "
        "`first` must come before `then`. Put the names in an order that obeys all pairs: at each "
        "place, of the names that may come there, take the one $which. Return the list, or "
        "an empty list when no order obeys all pairs."
    ),
    python="""
def $f($p, $q):
    left, out = set($p), []
    while left:
        free = [n for n in left if not any(b == n and a in left for a, b in $q)]
        if not free:
            return []
        out.append($pick(free))
        left.remove(out[-1])
    return out
""",
    javascript="""
function $f($p, $q) {
  const left = new Set($p), out = [];
  while (left.size) {
    const free = [...left].filter((n) => !$q.some(([a, b]) => b === n && left.has(a))).sort();
    if (!free.length) return [];
    const next = free[free.$pick];
    out.push(next);
    left.delete(next);
  }
  return out;
}
""",
    python_slip=("b == n and a in left", "a == n and b in left"),
    javascript_slip=("b === n && left.has(a)", "a === n && left.has(b)"),
)

FAMILIES = (MERGE, WALK, COINS, FORMULA, FREQUENT, ORDER)
