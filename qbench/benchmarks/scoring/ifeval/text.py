"""What the instructions count: sentences, words, paragraphs, capitals, the language."""

from __future__ import annotations

import re

from langdetect import DetectorFactory, LangDetectException, detect

DetectorFactory.seed = 0
"""The detector draws at random; without a seed the same reply would be judged in two ways."""

SHORT_FORMS = frozenset(
    "mr mrs ms dr prof st jr sr inc ltd co corp vs etc e.g i.e fig al approx dept est gen gov "
    "rev vol jan feb mar apr jun jul aug sep sept oct nov dec a.m p.m u.s u.k ph.d".split()
)
"""Words after which a full stop ends no sentence."""

ENDS = re.compile(r"(?P<word>\S*?)(?P<stop>[.!?…]+)(?P<closed>[\"'\u201d\u2019)\]*_]*)(?=\s|$)")


def words(text: str) -> list[str]:
    """Split into runs of letters and digits."""
    return re.findall(r"\w+", text)


def sentences(text: str) -> int:
    """Count sentences: they end in ``. ! ?``, but not after a short form or a list's number."""
    ends = [found for found in ENDS.finditer(text) if _ends(found, text[found.end() :])]
    rest = text[ends[-1].end() :] if ends else text
    return len(ends) + bool(words(rest))


def _ends(found: re.Match[str], rest: str) -> bool:
    word = found["word"].lstrip("\"'\u201c\u2018([*_#").lower()
    if found["stop"] != ".":
        return bool(word) or found["stop"][0] != "."
    if word == "no" and re.match(r"\s+\d", rest):
        return False
    if word in SHORT_FORMS or re.fullmatch(r"[a-z]", word):
        return not rest.strip()
    if word.isdigit():  # "3." at the start of a line numbers what follows
        before = found.string[: found.start()]
        return bool(before.strip()) and not re.search(r"(^|\n)[ \t>*_#]*$", before)
    return bool(word)


def capital_words(text: str) -> int:
    """Count words written in capitals only; a hyphenated word is one."""
    parts = re.findall(r"[^\W_](?:[\w'\u2019.&-]*[^\W_])?", text)
    return sum(part.isupper() for part in parts)


def language(text: str) -> str | None:
    """Return the ISO 639-1 code of ``text``; None where there is nothing to tell it by."""
    try:
        found = detect(text)
    except LangDetectException:
        return None
    return str(found)


def paragraphs(text: str) -> list[str]:
    """Split at blank lines; empty parts are left out."""
    return [part.strip() for part in re.split(r"\n\n", text) if part.strip()]


def divided(text: str, divider: str) -> list[str] | None:
    """Split at ``divider``; None when something between two dividers is empty."""
    parts = [part.strip() for part in text.split(divider)]
    if any(not part for part in parts[1:-1]):
        return None
    return [part for part in parts if part]
