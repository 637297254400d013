r"""Whether a mathematical answer equals the reference: as text, as a number, else symbolically.

The first two steps are exact and need no package. The third is math-verify's, in a process under
limits (``limited``): its own time limits are alarm signals, which work in main threads alone.
Texts that no final answer needs (too long, towers of powers, deep nesting) are wrong before they
get there, on any machine; what still runs into a limit is undecided, which is no verdict.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from math import log10

from qbench.benchmarks.scoring.answers import Grade, How
from qbench.benchmarks.scoring.limited import Limited, Stopped
from qbench.benchmarks.scoring.plain_numbers import EXACT, Tolerance, equal, read
from qbench.errors import ConfigError

LONGEST = 600
"""Characters of a final answer."""
DEEPEST = 12
"""Levels of brackets."""
_POWER = r"(?:\^|\*\*)[{(]?-?"
_LARGE = re.compile(rf"{_POWER}\d{{4,}}|\d{{4,}}\)?!|\\[dt]?binom\{{\d{{4,}}|\d{{60,}}")
_TOWER = re.compile(rf"{_POWER}(\d+){_POWER}(\d+)([)}}]?(?:\^|\*\*))?")
_OF_POWERS = re.compile(rf"[)}}]{_POWER}\d{{2,}}")
_BASE = re.compile(r"([0-9A-Fa-f]+)_\{?(\d+)\}?")
_SPACES = re.compile(r"\\[,;:!> ]|\\q?quad|~|\s+")
_STYLE = re.compile(
    r"\\(?:left|right|displaystyle|big|Big|bigl|bigr)(?![a-zA-Z])|\\\(|\\\)|\\\[|\\\]|\$"
)
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|operatorname|mbox){([^{}]*)}")


def grade_math(wanted: str, given: str, *, tolerance: Tolerance = EXACT) -> Grade:
    """Compare ``given``, an extracted final answer, with the reference ``wanted``.

    ``tolerance`` is for numbers: decimals, fractions and what evaluates to a real number. Without
    one, numbers must be equal; a decimal may stand for a fraction such as 1/3 from six digits on.

    Raises:
        ConfigError: symbols are to be compared and math-verify is not installed.

    """
    if tidy(wanted) == tidy(given) != "":
        return Grade(verdict="right", how="text")
    numbers = (read(wanted), read(given))
    if numbers[0] is not None and numbers[1] is not None:
        return _graded(equal(numbers[0], numbers[1], tolerance), "number", wanted, given)
    bases = (_BASE.fullmatch(tidy(wanted)), _BASE.fullmatch(tidy(given)))
    if bases[0] and bases[1]:  # math-verify drops the base
        return _graded(bases[0].groups() == bases[1].groups(), "text", wanted, given)
    refusal = refused(given)
    if refusal:
        return Grade(verdict="wrong", how="refused", reason=refusal)
    return _by_symbols(wanted, given, tolerance)


def tidy(text: str) -> str:
    """Return ``text`` without styling; words of prose in lower case."""
    plain = (
        _WORDS.sub(r"\1", _STYLE.sub("", text)).replace("dfrac", "frac").replace("tfrac", "frac")
    )
    plain = _SPACES.sub(" ", plain).strip().removesuffix(".").strip()
    if re.fullmatch(r"[A-Za-z]+(?:[ '-][A-Za-z]+)*", plain) and len(plain) > 1:
        return plain.lower()
    choice = re.fullmatch(r"\(([A-Z])\)", plain)
    return choice[1] if choice else plain.replace(" ", "")


def refused(text: str) -> str:
    """Say why ``text`` is not compared at all; empty when it is."""
    if not text.strip():
        return "The answer is empty."
    if len(text) > LONGEST:
        return f"The answer is longer than {LONGEST} characters."
    if _depth(text) > DEEPEST:
        return f"The answer is nested more than {DEEPEST} deep."
    if _large(_SPACES.sub("", text)):
        return "The answer has a power or a number too large to compare."
    return ""


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _large(text: str) -> bool:
    """Whether ``text`` has numbers or powers whose value has very many digits."""
    if _LARGE.search(text) or len(_OF_POWERS.findall(text)) > 1:
        return True
    return any(
        further or (int(base) > 1 and int(power) * log10(int(base)) > 4)
        for base, power, further in _TOWER.findall(text)
    )


def _by_symbols(wanted: str, given: str, tolerance: Tolerance) -> Grade:
    if find_spec("math_verify") is None:
        raise ConfigError(
            "Comparing formulas needs math-verify.", hint="pip install 'qbench[suites]'"
        )
    request = {"wanted": wanted, "given": given}
    limits = {"relative": tolerance.relative, "absolute": tolerance.absolute}
    try:
        right = bool(_SYMBOLS(request | limits))
    except Stopped as stopped:
        return Grade(verdict="undecided", how="symbols", reason=str(stopped))
    return _graded(right, "symbols", wanted, given)


def _graded(right: bool, how: How, wanted: str, given: str) -> Grade:
    reason = "" if right else f"{given[:80]!r} is not {wanted[:80]!r}."
    return Grade(verdict="right" if right else "wrong", how=how, reason=reason)


_SYMBOLS = Limited("qbench.benchmarks.scoring.math_symbols:same", seconds=5.0)
