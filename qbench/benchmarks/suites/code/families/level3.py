"""Level 3: records, text with a grammar, tables, windows."""

from __future__ import annotations

import random
from typing import Any

from qbench.benchmarks.suites.code.families.draws import numbers, word
from qbench.benchmarks.suites.code.problem import Constants, Family


def _discount(rng: random.Random) -> Constants:
    return {"k": rng.randint(30, 60), "off": rng.randint(3, 12)}


def _records(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    names = [word(rng) for _ in range(max(size // 3, 2))]
    return [[[rng.choice(names), rng.randint(1, 90)] for _ in range(size)]]


GROUP = Family(
    key="group",
    names=("total_by_name", "customer_totals", "sum_records"),
    p=("orders", "entries", "sales"),
    draw=_discount,
    inputs=_records,
    statement=(
        "`$p` is a list of [name, amount] pairs. An amount above $k counts $off less. Return a "
        "list of [name, total] pairs, one for each name: larger totals first, equal totals in "
        "alphabetical order of the names."
    ),
    python="""
def $f($p):
    totals = {}
    for name, amount in $p:
        totals[name] = totals.get(name, 0) + (amount - $off if amount > $k else amount)
    return [[name, totals[name]] for name in sorted(totals, key=lambda n: (-totals[n], n))]
""",
    javascript="""
function $f($p) {
  const totals = new Map();
  for (const [name, amount] of $p) {
    totals.set(name, (totals.get(name) || 0) + (amount > $k ? amount - $off : amount));
  }
  return [...totals].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}
""",
    python_slip=("(-totals[n], n)", "n"),
    javascript_slip=("b[1] - a[1] || ", ""),
)


def _pairs(rng: random.Random) -> Constants:
    pairs = rng.sample(["()", "[]", "{}", "<>"], 2)
    return {"one": pairs[0], "two": pairs[1], "ok": rng.choice([-1, -2])}


def _brackets(rng: random.Random, constants: Constants, size: int) -> list[Any]:
    text, open_now = "", list[str]()
    for _ in range(size * 2):
        if open_now and rng.random() < 0.5:
            text += open_now.pop()
        else:
            pair = rng.choice([constants["one"], constants["two"]])
            text += pair[0] + rng.choice(["", "a", "b"])
            open_now.append(pair[1])
    text += "".join(reversed(open_now)) if rng.random() < 0.6 else ""
    if text and rng.random() < 0.5:
        place = rng.randrange(len(text))
        text = text[:place] + constants["two"][1] + text[place + 1 :]
    return [text]


BRACKETS = Family(
    key="brackets",
    names=("check_brackets", "first_problem", "find_mismatch"),
    p=("text", "source", "line"),
    draw=_pairs,
    inputs=_brackets,
    statement=(
        'In the string `$p`, "$one" and "$two" are pairs of brackets that must nest; other '
        "characters do not matter. Return $ok when all is well. Otherwise return the position "
        "(from 0) of the first closing bracket that does not close the bracket opened last, or "
        "the length of the string when brackets are still open at its end."
    ),
    python="""
def $f($p):
    closers = {$one[0]: $one[1], $two[0]: $two[1]}
    stack = []
    for i, c in enumerate($p):
        if c in closers:
            stack.append(closers[c])
        elif c in closers.values():
            if not stack or stack.pop() != c:
                return i
    return len($p) if stack else $ok
""",
    javascript="""
function $f($p) {
  const closers = { [$one[0]]: $one[1], [$two[0]]: $two[1] };
  const stack = [];
  for (let i = 0; i < $p.length; i++) {
    const c = $p[i];
    if (c in closers) stack.push(closers[c]);
    else if (Object.values(closers).includes(c)) {
      if (!stack.length || stack.pop() !== c) return i;
    }
  }
  return stack.length ? $p.length : $ok;
}
""",
    python_slip=("len($p) if stack else $ok", "$ok"),
    javascript_slip=("stack.length ? $p.length : $ok", "$ok"),
)


def _settings(rng: random.Random) -> Constants:
    outer, inner = rng.sample([";", "|", "&", "#"], 1)[0], rng.choice(["=", ":"])
    return {"outer": outer, "inner": inner, "skipped": rng.choice(["debug", "note", "tmp"])}


def _lines(rng: random.Random, constants: Constants, size: int) -> list[Any]:
    keys = ["a", "b", "cd", "size", constants["skipped"]]
    made = [
        f"{rng.choice(keys)}{constants['inner']}{rng.randint(-9, 40)}"
        if rng.random() < 0.8
        else rng.choice(["", "broken", "a"])
        for _ in range(size)
    ]
    return [constants["outer"].join(made)]


SETTINGS = Family(
    key="settings",
    names=("read_settings", "parse_fields", "sum_settings"),
    p=("text", "line", "header"),
    draw=_settings,
    inputs=_lines,
    statement=(
        'The string `$p` holds fields separated by "$outer", each a key and an integer separated '
        'by "$inner". A key that comes again replaces its earlier value. Fields without '
        '"$inner" are ignored, and so is the key "$skipped". Return the sum of the values.'
    ),
    python="""
def $f($p):
    values = {}
    for field in $p.split($outer):
        key, found, value = field.partition($inner)
        if found and key != $skipped:
            values[key] = int(value)
    return sum(values.values())
""",
    javascript="""
function $f($p) {
  const values = new Map();
  for (const field of $p.split($outer)) {
    const place = field.indexOf($inner);
    if (place < 0 || field.slice(0, place) === $skipped) continue;
    values.set(field.slice(0, place), Number(field.slice(place + 1)));
  }
  return [...values.values()].reduce((a, b) => a + b, 0);
}
""",
    python_slip=("values[key] = int(value)", "values[key] = values.get(key, 0) + int(value)"),
    javascript_slip=(
        "values.set(field.slice(0, place), ",
        "values.set(values.size, ",
    ),
)


def _turning(rng: random.Random) -> Constants:
    right = rng.random() < 0.5
    return {
        "way": "a quarter turn clockwise" if right else "a quarter turn counter-clockwise",
        "k": rng.randint(2, 9),
        "turn_python": "zip(*$p[::-1])".replace("$p", "grid")
        if right
        else "list(zip(*grid))[::-1]",
        "turn_js": (
            "grid[0].map((_, j) => grid.map((row) => row[j]).reverse())"
            if right
            else "grid[0].map((_, j) => grid.map((row) => row[j])).reverse()"
        ),
    }


def _table(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    rows, columns = max(1, (size + 1) // 3), 1 + rng.randint(0, 3)
    return [[numbers(rng, columns, 0, 20, 3) for _ in range(rows)]]


TURN = Family(
    key="turn",
    names=("turn_table", "rotate_grid", "turn_and_scale"),
    p=("table", "image", "board"),
    draw=_turning,
    inputs=_table,
    statement=(
        "`$p` is a table of integers, a list of rows of equal length, with at least one row and "
        "one column. Return it after $way, with every number multiplied by $k."
    ),
    python="""
def $f($p):
    grid = $p
    return [[x * $k for x in row] for row in $turn]
""",
    javascript="""
function $f($p) {
  const grid = $p;
  return $turn.map((row) => row.map((x) => x * $k));
}
""",
    python_slip=("$turn", "zip(*grid)"),
    javascript_slip=("$turn.map(", "grid[0].map((_, j) => grid.map((row) => row[j])).map("),
)


def _alphabet(rng: random.Random) -> Constants:
    letters = rng.sample("abcdefghijklmnopqrstuvwxyz", rng.randint(3, 9))
    return {"digits": "".join(letters), "sign": rng.choice(["-", "~", "!"])}


BASE = Family(
    key="base",
    names=("write_number", "to_letters", "encode_number"),
    p=("n", "value", "number"),
    draw=_alphabet,
    inputs=lambda rng, _c, size: [
        size and rng.choice((-1, 1)) * rng.randint(1, 10 ** (1 + size % 9))
    ],
    statement=(
        'Write the integer `$p` in the number system whose digits are the letters "$digits", in '
        "the order of their values from 0 on. The most significant digit comes first, and a "
        'negative number begins with "$sign". Return the string.'
    ),
    python="""
def $f($p):
    digits, rest, out = $digits, abs($p), ""
    while rest or not out:
        rest, d = divmod(rest, len(digits))
        out = digits[d] + out
    return ($sign if $p < 0 else "") + out
""",
    javascript="""
function $f($p) {
  const digits = $digits;
  let rest = Math.abs($p), out = "";
  while (rest || !out) {
    out = digits[rest % digits.length] + out;
    rest = Math.floor(rest / digits.length);
  }
  return ($p < 0 ? $sign : "") + out;
}
""",
    python_slip=("digits[d] + out", "out + digits[d]"),
    javascript_slip=(
        "digits[rest % digits.length] + out",
        "out + digits[rest % digits.length]",
    ),
)


def _window(rng: random.Random) -> Constants:
    k = rng.randint(2, 5)
    return {"k": k, "limit": k * rng.randint(4, 8)}


WINDOW = Family(
    key="window",
    names=("busy_windows", "count_windows", "heavy_stretches"),
    p=("loads", "visits", "readings"),
    draw=_window,
    inputs=lambda rng, _c, size: [numbers(rng, size, 0, 14, 6)],
    statement=(
        "Return a list with the start positions (from 0) of all stretches of exactly $k "
        "neighbours in the list of integers `$p` whose sum is at least $limit, but leave out a "
        "stretch that overlaps one that is already in the list."
    ),
    python="""
def $f($p):
    starts, i = [], 0
    while i + $k <= len($p):
        if sum($p[i:i + $k]) >= $limit:
            starts.append(i)
            i += $k
        else:
            i += 1
    return starts
""",
    javascript="""
function $f($p) {
  const starts = [];
  let i = 0;
  while (i + $k <= $p.length) {
    if ($p.slice(i, i + $k).reduce((a, b) => a + b, 0) >= $limit) {
      starts.push(i);
      i += $k;
    } else i += 1;
  }
  return starts;
}
""",
    python_slip=("            i += $k", "            i += 1"),
    javascript_slip=("i += $k;", "i += 1;"),
)

FAMILIES = (GROUP, BRACKETS, SETTINGS, TURN, BASE, WINDOW)
