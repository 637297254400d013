"""Rewriting a request into queries by rule: its parts, without the values that name no tool.

Toolshed (arXiv 2410.14594) rewrites and decomposes with a model before retrieval; the rules here
cost nothing and are what such a model is to be compared with.
"""

from __future__ import annotations

import re

_BETWEEN = re.compile(
    r"[.;?!]\s+(?:(?:then|also|next|finally|after that)\b,?\s*)?"
    r"|,?\s+and\s+(?:then|after that|also|finally)\b,?\s*"
    r"|,\s+then\b,?\s*",
    re.IGNORECASE,
)
_VALUES = re.compile(
    r"\S+@\S+"  # addresses
    r"|\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}:\d{2}\b"  # dates, times of day
    r"|\b[A-Z]{1,4}-?\d+\b"  # codes
    r"|\b\d[\d.,-]*\b"  # numbers
    r"|['\"\u201c\u2018].*?['\"\u201d\u2019](?=\W|$)"  # quoted
)
_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][a-z]+(?:'s)?\b")
"""A capital inside a sentence: a person, a title."""


def parts(request: str) -> tuple[str, ...]:
    """Split a request into what is to be done, part by part."""
    found = (part.strip(" ,.;") for part in _BETWEEN.split(request))
    return tuple(part for part in found if part) or (request,)


def without_values(text: str) -> str:
    """Drop codes, numbers, dates, addresses and names: they say on what, not what to do."""
    return " ".join(_NAME.sub(" ", _VALUES.sub(" ", text)).split())


def rewritten(request: str) -> tuple[str, ...]:
    """Return one query for each part of a request; parts that are all values are kept whole."""
    return tuple(dict.fromkeys(without_values(part) or part for part in parts(request)))
