"""The fixed text on which next-token distributions are compared: cheap, sensitive, no generation.

Eight passages of our own (prose, arithmetic, code, tool calls, minutes, a recipe, four languages),
each asked by itself, so that a model with any context length sees the same.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from msgspec import Struct

TOP = 64
"""Most likely tokens that are kept for each position; see ``analysis.fidelity``."""


class ProbeText(Struct, frozen=True, kw_only=True):
    """A text and what names it."""

    digest: str
    """12 hex digits of its SHA-256: only distributions on one text are compared."""
    passages: tuple[str, ...]


@cache
def probe_text() -> ProbeText:
    """Return the text that ships."""
    text = (resources.files("qbench.benchmarks") / "texts" / "probe.txt").read_text("utf-8")
    passages = tuple(part.strip("\n") for part in text.split("\n%%\n"))
    digest = hashlib.sha256("\x00".join(passages).encode()).hexdigest()[:12]
    return ProbeText(digest=digest, passages=passages)
