r"""The final answer in a model's text, taken out by a declared rule.

A suite names the rules it accepts, in order; the first one that matches gives the text, and the
score says which. Where none matches nothing is guessed: that is a failure of its own, never a
wrong answer in disguise (see ``parts``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

Rule = Literal["boxed", "tag", "line", "last_line", "last_number", "choice"]
r"""``boxed``: the last closed ``\boxed{…}``. ``tag``: the last closed ``<answer>…</answer>``.
``line``: the last line that begins with ``Answer:`` (bold or ``Final answer:`` too).
``last_line``: the last line with text. ``last_number``: the last number anywhere.
``choice``: one letter, as ``Answer: C``, ``the answer is (C)`` or a last line with nothing else."""

LONGEST = 100_000
"""Characters of a text that are read: from the end, where an answer belongs."""
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?")
_TAG = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL | re.IGNORECASE)
_LINE = re.compile(r"^[\s>#*_]*(?:final\s+)?answer[\s*_]*:[\s*_]*(\S.*?)[\s*_]*$", re.IGNORECASE)
_CHOICE = re.compile(
    r"(?i:\banswer\b(?:\s+is)?)[\s*_]*:?[\s*_]*[(\[]?([A-Z])[)\]]?(?=[\s*_.,;:]|$)(?!\s+[a-z])"
)
_ALONE = re.compile(r"[\s*_(\[]*([A-Za-z])[\s*_)\].:]*")
_BOXED = re.compile(r"\\f?box(?:ed)?\s{0,9}{")
_BRACE = re.compile(r"(?<!\\)[{}]")


class Extracted(Struct, frozen=True, kw_only=True):
    """A final answer and how it was found."""

    text: str
    rule: Rule


def extract(answer: str, rules: Sequence[Rule]) -> Extracted | None:
    """Take the final answer out of ``answer`` by the first of ``rules`` that matches.

    ``answer`` is a reply without its thinking. None when no rule matches, or the text found is
    empty; an unclosed box or tag does not match.
    """
    text = answer[-LONGEST:]
    for rule in rules:
        found = _READERS[rule](text)
        if found:
            return Extracted(text=found, rule=rule)
    return None


def parts(found: Extracted | None, rules: Sequence[Rule]) -> dict[str, float]:
    """Give the score components of an extraction.

    ``extraction.failed`` is 1.0 or 0.0; with several rules ``extraction.RULE`` is 1.0 for the
    one that matched, so that means over attempts are shares.
    """
    named = {
        f"extraction.{rule}": float(found is not None and found.rule == rule) for rule in rules
    }
    return {"extraction.failed": float(found is None)} | (named if len(rules) > 1 else {})


def why_none(rules: Sequence[Rule]) -> str:
    """Say that nothing was found, in a sentence."""
    return f"No final answer was found ({', then '.join(_WORDS[rule] for rule in rules)})."


def as_letter(text: str, letters: str) -> str:
    r"""Read a choice such as ``(C)``, ``C.`` or ``\text{C}`` among ``letters``; empty for none."""
    plain = re.sub(r"\\(?:text|mathrm|textbf|mathbf){([^{}]*)}", r"\1", text).strip("$ \n")
    match = _ALONE.fullmatch(plain) or re.match(r"[\s(\[]*([A-Z])[)\].:]\s", plain)
    letter = match[1].upper() if match else ""
    return letter if letter in letters else ""


def last_line(text: str) -> str:
    """Return the last line with text."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def boxed(text: str) -> str:
    r"""Return what the last closed ``\boxed{…}`` holds, inner braces balanced."""
    ends = _ends(text)
    for match in reversed(list(_BOXED.finditer(text))):
        if match.end() in ends:
            return text[match.end() : ends[match.end()]].strip()
    return ""


def _ends(text: str) -> dict[int, int]:
    """Map the place after each opening brace to that of its closing one, in one pass."""
    opened: list[int] = []
    ends: dict[int, int] = {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.end())
        elif opened:
            ends[opened.pop()] = brace.start()
    return ends


def _tag(text: str) -> str:
    found = _TAG.findall(text)
    return str(found[-1]).strip() if found else ""


def _line(text: str) -> str:
    for line in reversed(text.splitlines()):
        match = _LINE.match(line)
        if match:
            return match[1].strip()
    return ""


def _last_number(text: str) -> str:
    found = [match[0] for match in NUMBER.finditer(text) if match[0]]
    return found[-1] if found else ""


def _choice(text: str) -> str:
    said = _CHOICE.findall(text)
    alone = _ALONE.fullmatch(last_line(text))
    return alone[1].upper() if alone else (str(said[-1]) if said else "")


_READERS: dict[Rule, Callable[[str], str]] = {
    "boxed": boxed,
    "tag": _tag,
    "line": _line,
    "last_line": last_line,
    "last_number": _last_number,
    "choice": _choice,
}
_WORDS: dict[Rule, str] = {
    "boxed": r"\boxed{…}",
    "tag": "<answer>…</answer>",
    "line": "a line 'Answer: …'",
    "last_line": "the last line",
    "last_number": "the last number",
    "choice": "a choice letter",
}
