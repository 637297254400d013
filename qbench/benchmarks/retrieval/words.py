"""Text as words: names of tools are split, endings of plurals and tenses dropped."""

from __future__ import annotations

import re
from functools import lru_cache

STOP = frozenset(
    "a about after all also am an and any are as at be been but by can do does for from had has "
    "have how i if in into is it its just me more my no not of on once one only or our out over "
    "please shall should so some than that the their them then there these they this to too up "
    "us was we what when where which who will with would you your".split()
)
"""Words that say nothing about what is wanted."""

_SMALL_TO_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[a-z0-9]+")


def spaced(name: str) -> str:
    """Write a tool's name as words: ``createCreditNote`` and ``create_credit-note`` alike."""
    return _SMALL_TO_CAPITAL.sub(" ", name).replace("_", " ").replace("-", " ").lower()


def words(text: str) -> list[str]:
    """Return the words of ``text`` that count, without their endings, in order."""
    found = _WORD.findall(_SMALL_TO_CAPITAL.sub(" ", text).lower().replace("'s", ""))
    return [stem(word) for word in found if word not in STOP]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Drop a plural's or a tense's ending: crude, the same for documents and queries."""
    for ending, rest in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)] + rest
    return word.removesuffix("e") if len(word) > 3 else word
