"""The program in a model's answer: one code block of the right language, or a failure by name."""

from __future__ import annotations

import re

from msgspec import Struct

from qbench.benchmarks.sandbox.program import Language

_BLOCK = re.compile(r"^```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_TAGS: dict[Language, tuple[str, ...]] = {
    "python": ("python", "py", "python3"),
    "javascript": ("javascript", "js"),
}
LONGEST = 100_000
"""Characters of an answer that are read."""


class Extracted(Struct, frozen=True, kw_only=True):
    """A program, or why there is none."""

    source: str = ""
    why: str = ""


def extract_program(answer: str, language: Language) -> Extracted:
    """Take the program out of an answer.

    The answer must hold exactly one closed block tagged with the language; without a tagged one,
    exactly one without a tag. Several are a failure, too: which of them is meant is not guessed.
    """
    blocks = _BLOCK.findall(answer[:LONGEST])
    tagged = [code for tag, code in blocks if tag.lower() in _TAGS[language]]
    found = tagged or [code for tag, code in blocks if not tag]
    if len(found) == 1:
        return Extracted(source=found[0])
    if found:
        return Extracted(why=f"There are {len(found)} code blocks, and one was asked for.")
    if blocks:
        return Extracted(why=f"No code block is marked as {language}.")
    return Extracted(why="There is no closed code block.")


def fenced(source: str, language: Language) -> str:
    """Write a program as an answer has it."""
    return f"```{language}\n{source}\n```"
