"""Level 1: one pass over the input with one rule."""

from __future__ import annotations

import random
from typing import Any

from qbench.benchmarks.suites.code.families.draws import numbers, words
from qbench.benchmarks.suites.code.problem import Constants, Family

_COMPARISONS = {
    "greater than": ">",
    "less than": "<",
    "at least": ">=",
    "at most": "<=",
}


def _comparison(rng: random.Random) -> Constants:
    said = rng.choice(list(_COMPARISONS))
    sign = _COMPARISONS[said]
    return {"said": said, "sign_python": sign, "sign_js": sign, "k": rng.randint(-5, 25)}


COUNT = Family(
    key="count",
    names=("count_matching", "how_many", "tally_values"),
    p=("readings", "prices", "scores", "depths"),
    draw=_comparison,
    inputs=lambda rng, c, size: [numbers(rng, size, -20, 40, c["k"])],
    statement="Return how many of the integers in the list `$p` are $said $k.",
    python="def $f($p):\n    return sum(1 for x in $p if x $sign $k)",
    javascript="function $f($p) {\n  return $p.filter((x) => x $sign $k).length;\n}",
    python_slip=("sum(1 for", "sum(x for"),
    javascript_slip=(".length", ".reduce((a, b) => a + b, 0)"),
)


def _multiple(rng: random.Random) -> Constants:
    return {"k": rng.randint(2, 7), "start": rng.choice([0, 0, 10, 100])}


SUM_MULTIPLES = Family(
    key="sum-multiples",
    names=("sum_multiples", "add_divisible", "total_of_multiples"),
    p=("values", "amounts", "counts"),
    draw=_multiple,
    inputs=lambda rng, c, size: [numbers(rng, size, -30, 60, c["k"])],
    statement=(
        "Add up the integers in the list `$p` that are divisible by $k (negative ones too), "
        "starting from $start, and return the sum."
    ),
    python="def $f($p):\n    return $start + sum(x for x in $p if x % $k == 0)",
    javascript=(
        "function $f($p) {\n  return $p.filter((x) => x % $k === 0)"
        ".reduce((sum, x) => sum + x, $start);\n}"
    ),
    python_slip=("x % $k == 0", "x % $k != 0"),
    javascript_slip=("x % $k === 0", "x % $k !== 0"),
)


def _joining(rng: random.Random) -> Constants:
    how, python, js = rng.choice(
        [
            ("in upper case", ".upper()", ".toUpperCase()"),
            ("in lower case", ".lower()", ".toLowerCase()"),
            (
                "reversed letter by letter",
                "[::-1]",
                ".split('').reverse().join('')",
            ),
        ]
    )
    separator = rng.choice(["-", " / ", "+", "::", ", "])
    return {"how": how, "change_python": python, "change_js": js, "separator": separator}


JOIN = Family(
    key="join",
    names=("join_words", "make_label", "build_path"),
    p=("names", "parts", "labels"),
    draw=_joining,
    inputs=lambda rng, _c, size: [words(rng, size, mixed=True)],
    statement=(
        'Return the words of the list `$p`, each $how, in their order, joined with "$separator". '
        "An empty list gives an empty string."
    ),
    python="def $f($p):\n    return $separator.join(word$change for word in $p)",
    javascript="function $f($p) {\n  return $p.map((word) => word$change).join($separator);\n}",
    python_slip=("word$change", "word"),
    javascript_slip=("word$change", "word"),
)


def _limits(rng: random.Random) -> Constants:
    low = rng.randint(-15, 5)
    return {"low": low, "high": low + rng.randint(5, 25)}


CLAMP = Family(
    key="clamp",
    names=("clamp_all", "limit_values", "keep_in_range"),
    p=("signal", "levels", "temperatures"),
    draw=_limits,
    inputs=lambda rng, c, size: [numbers(rng, size, -40, 60, c["low"])],
    statement=(
        "Return a new list with the integers of `$p`, where each one below $low is replaced by "
        "$low and each one above $high by $high."
    ),
    python="def $f($p):\n    return [min(max(x, $low), $high) for x in $p]",
    javascript="function $f($p) {\n  return $p.map((x) => Math.min(Math.max(x, $low), $high));\n}",
    python_slip=("min(max(x, $low), $high)", "max(x, $low)"),
    javascript_slip=("Math.min(Math.max(x, $low), $high)", "Math.max(x, $low)"),
)


def _letters(rng: random.Random) -> Constants:
    return {"letters": "".join(sorted(rng.sample("abcdefghijklmnopqrstuvwxyz", 6)))}


LETTERS = Family(
    key="letters",
    names=("count_letters", "letters_found", "special_letters"),
    p=("text", "sentence", "line"),
    draw=_letters,
    inputs=lambda rng, _c, size: [" ".join(words(rng, size, mixed=True))],
    statement=(
        'Return how many characters of the string `$p` are among the letters "$letters". '
        "Upper and lower case count alike."
    ),
    python="def $f($p):\n    return sum(1 for c in $p.lower() if c in $letters)",
    javascript=(
        "function $f($p) {\n  return [...$p.toLowerCase()]"
        ".filter((c) => $letters.includes(c)).length;\n}"
    ),
    python_slip=("$p.lower()", "$p"),
    javascript_slip=("$p.toLowerCase()", "$p"),
)


def _stepping(rng: random.Random) -> Constants:
    backwards = rng.random() < 0.5
    return {
        "k": rng.randint(2, 5),
        "s": rng.randint(0, 3),
        "order": "in reverse order" if backwards else "in their order",
        "end_python": "[::-1]" if backwards else "",
        "end_js": ".reverse()" if backwards else "",
    }


def _items(rng: random.Random, _constants: Constants, size: int) -> list[Any]:
    return [numbers(rng, size, 0, 99, 0)]


EVERY = Family(
    key="every",
    names=("every_kth", "pick_regularly", "sample_list"),
    p=("items", "queue", "frames"),
    draw=_stepping,
    inputs=_items,
    statement=(
        "Return the elements of the list `$p` at positions $s, $s + $k, $s + 2*$k and so on "
        "(positions count from 0), $order."
    ),
    python="def $f($p):\n    return $p[$s::$k]$end",
    javascript=(
        "function $f($p) {\n  return $p.filter((_, i) => i >= $s && (i - $s) % $k === 0)$end;\n}"
    ),
    python_slip=("$p[$s::$k]", "$p[$s + 1::$k]"),
    javascript_slip=("i >= $s && (i - $s)", "i > $s && (i - $s - 1)"),
)

FAMILIES = (COUNT, SUM_MULTIPLES, JOIN, CLAMP, LETTERS, EVERY)
