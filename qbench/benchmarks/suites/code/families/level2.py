"""Level 2: a loop that keeps something from step to step."""

from __future__ import annotations

import random
from typing import Any

from qbench.benchmarks.suites.code.families.draws import numbers, words
from qbench.benchmarks.suites.code.problem import Constants, Family


def _coding(rng: random.Random) -> Constants:
    first = rng.random() < 0.5
    least = rng.randint(1, 3)
    return {
        "least": least,
        "order": "the count and then the letter" if first else "the letter and then the count",
        "pair_python": "str(n) + c" if first else "c + str(n)",
        "pair_js": "String(n) + c" if first else "c + String(n)",
    }


def _runs(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    return ["".join(rng.choice("xyzw") * rng.randint(1, 4) for _ in range(size))]


RUN_LENGTH = Family(
    key="run-length",
    names=("pack_text", "encode_runs", "compress_letters"),
    p=("text", "message", "row"),
    draw=_coding,
    inputs=_runs,
    statement=(
        "Each run of equal letters in the string `$p` becomes $order. Runs of fewer than $least "
        "letters are left as they are. Return the new string."
    ),
    python="""
def $f($p):
    parts, i = [], 0
    while i < len($p):
        c, n = $p[i], 1
        while i + n < len($p) and $p[i + n] == c:
            n += 1
        parts.append(c * n if n < $least else $pair)
        i += n
    return "".join(parts)
""",
    javascript="""
function $f($p) {
  let out = "", i = 0;
  while (i < $p.length) {
    const c = $p[i];
    let n = 1;
    while (i + n < $p.length && $p[i + n] === c) n += 1;
    out += n < $least ? c.repeat(n) : $pair;
    i += n;
  }
  return out;
}
""",
    python_slip=("n < $least else", "n <= $least else"),
    javascript_slip=("n < $least ?", "n <= $least ?"),
)


def _ranking(rng: random.Random) -> Constants:
    largest = rng.random() < 0.5
    return {
        "k": rng.randint(2, 4),
        "end": "largest" if largest else "smallest",
        "missing": rng.choice([-1, 0, -999]),
        "back_python": ", reverse=True" if largest else "",
        "back_js": "b - a" if largest else "a - b",
    }


KTH = Family(
    key="kth",
    names=("kth_distinct", "ranked_value", "place_in_order"),
    p=("results", "heights", "bids"),
    draw=_ranking,
    inputs=lambda rng, _c, size: [numbers(rng, size, 0, max(size, 4), 2)],
    statement=(
        "Return the number that is in place $k when the distinct integers of the list `$p` are "
        "ordered from the $end one (place 1) on. Return $missing when there are fewer than $k."
    ),
    python="""
def $f($p):
    ordered = sorted(set($p)$back)
    return ordered[$k - 1] if len(ordered) >= $k else $missing
""",
    javascript="""
function $f($p) {
  const ordered = [...new Set($p)].sort((a, b) => $back);
  return ordered.length >= $k ? ordered[$k - 1] : $missing;
}
""",
    python_slip=("set($p)", "list($p)"),
    javascript_slip=("[...new Set($p)]", "[...$p]"),
)


def _digits(rng: random.Random) -> Constants:
    return {"power": rng.randint(2, 3), "goal": rng.choice([1, 4]), "most": rng.randint(20, 40)}


DIGITS = Family(
    key="digits",
    names=("digit_steps", "steps_to_goal", "digit_game"),
    p=("n", "start"),
    draw=_digits,
    inputs=lambda rng, _c, size: [rng.randint(1, 10 ** (1 + size % 6))],
    statement=(
        "Replace the positive integer `$p` by the sum of its digits, each to the power of $power, "
        "again and again. Return after how many replacements it is $goal for the first time "
        "(0 if it is at the start), or -1 if it is not within $most replacements."
    ),
    python="""
def $f($p):
    x = $p
    for steps in range($most + 1):
        if x == $goal:
            return steps
        x = sum(int(d) ** $power for d in str(x))
    return -1
""",
    javascript="""
function $f($p) {
  let x = $p;
  for (let steps = 0; steps <= $most; steps++) {
    if (x === $goal) return steps;
    x = [...String(x)].reduce((sum, d) => sum + Number(d) ** $power, 0);
  }
  return -1;
}
""",
    python_slip=("return steps", "return steps + 1"),
    javascript_slip=("return steps", "return steps + 1"),
)


def _buzz(rng: random.Random) -> Constants:
    a, b = rng.sample([2, 3, 4, 5, 6, 7], 2)
    one, two = rng.sample(["Fizz", "Buzz", "Ping", "Pong", "Tick", "Tock"], 2)
    return {"a": a, "b": b, "one": one, "two": two}


BUZZ = Family(
    key="buzz",
    names=("speak_numbers", "word_game", "call_out"),
    p=("n", "last"),
    draw=_buzz,
    inputs=lambda rng, _c, size: [size and size * 2 + rng.randint(0, 3)],
    statement=(
        'Return the list of strings for the integers from 1 to `$p`: "$one" for multiples of '
        '$a, "$two" for multiples of $b, "$two$one" for multiples of both, and else the number '
        "itself as a string."
    ),
    python="""
def $f($p):
    out = []
    for i in range(1, $p + 1):
        said = ($two if i % $b == 0 else "") + ($one if i % $a == 0 else "")
        out.append(said or str(i))
    return out
""",
    javascript="""
function $f($p) {
  const out = [];
  for (let i = 1; i <= $p; i++) {
    const said = (i % $b === 0 ? $two : "") + (i % $a === 0 ? $one : "");
    out.push(said || String(i));
  }
  return out;
}
""",
    python_slip=("range(1, $p + 1)", "range(1, $p)"),
    javascript_slip=("i <= $p", "i < $p"),
)


def _shift(rng: random.Random) -> Constants:
    return {"k": rng.randint(2, 23), "every": rng.choice([1, 2, 3])}


SHIFT = Family(
    key="shift",
    names=("shift_letters", "encode_message", "rotate_text"),
    p=("text", "message", "note"),
    draw=_shift,
    inputs=lambda rng, _c, size: [" ".join(words(rng, size, mixed=True))],
    statement=(
        "Move each letter of the string `$p` forward in the alphabet by $k places plus $every "
        "more for each letter before it in the string, from z on to a. Case is kept; other "
        "characters stay and are not counted as letters. Return the new string."
    ),
    python="""
def $f($p):
    out, seen = [], 0
    for c in $p:
        if not c.isalpha():
            out.append(c)
            continue
        base = ord("A") if c.isupper() else ord("a")
        out.append(chr(base + (ord(c) - base + $k + $every * seen) % 26))
        seen += 1
    return "".join(out)
""",
    javascript="""
function $f($p) {
  let out = "", seen = 0;
  for (const c of $p) {
    if (!/[A-Za-z]/.test(c)) {
      out += c;
      continue;
    }
    const base = c >= "a" ? 97 : 65;
    out += String.fromCharCode(base + (c.charCodeAt(0) - base + $k + $every * seen) % 26);
    seen += 1;
  }
  return out;
}
""",
    python_slip=("        seen += 1", "    seen += 1"),
    javascript_slip=(" + $every * seen", ""),
)


def _streak(rng: random.Random) -> Constants:
    said, python, js = rng.choice(
        [
            ("larger than the one before it", "x > y", "x > y"),
            ("at most the one before it", "x <= y", "x <= y"),
            ("of the same parity as the one before it", "(x - y) % 2 == 0", "(x - y) % 2 === 0"),
        ]
    )
    return {"said": said, "rule_python": python, "rule_js": js}


STREAK = Family(
    key="streak",
    names=("longest_streak", "best_run", "longest_stretch"),
    p=("days", "steps", "samples"),
    draw=_streak,
    inputs=lambda rng, _c, size: [numbers(rng, size, 0, 12, 5)],
    statement=(
        "Return the length of the longest stretch of neighbours in the list of integers `$p` in "
        "which every element but the first is $said. An empty list gives 0."
    ),
    python="""
def $f($p):
    best = run = 0
    for i, x in enumerate($p):
        y = $p[i - 1]
        run = run + 1 if i > 0 and $rule else 1
        best = max(best, run)
    return best
""",
    javascript="""
function $f($p) {
  let best = 0, run = 0;
  $p.forEach((x, i) => {
    const y = $p[i - 1];
    run = i > 0 && $rule ? run + 1 : 1;
    best = Math.max(best, run);
  });
  return best;
}
""",
    python_slip=("else 1", "else 0"),
    javascript_slip=(": 1;", ": 0;"),
)

FAMILIES = (RUN_LENGTH, KTH, DIGITS, BUZZ, SHIFT, STREAK)
