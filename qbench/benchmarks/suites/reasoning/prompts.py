"""What is said around a question. Changing a word here changes the suite's version.

``DIGESTS`` holds, for each version, a digest of these words, of the generators' settings and of
prompts of our own puzzles; a test compares it, so that no prompt changes in silence.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import msgspec

from qbench.benchmarks.scoring.extraction import Rule
from qbench.benchmarks.suites.reasoning.generators import GENERATORS, RELEASE
from qbench.benchmarks.suites.reasoning.puzzles import Kind

VERSION = "1"
DIGESTS = {"1": "86b75af1708b"}

SYSTEM = (
    "Solve the problem. Think first if it helps. End with the final answer between <answer> and "
    "</answer> and nothing else in between; only that is judged."
)
ASK = "Give the final answer between <answer> and </answer>."
RULES: tuple[Rule, ...] = ("tag",)


def asked(question: str) -> str:
    """Return the prompt of a question."""
    return f"{question}\n\n{ASK}"


def said(answer: str) -> str:
    """Write ``answer`` as the prompt asks for it; on lines of its own when it has several."""
    return f"<answer>\n{answer}\n</answer>" if "\n" in answer else f"<answer>{answer}</answer>"


def digest(kinds: Sequence[Kind]) -> str:
    """Digest everything that makes a prompt; of the package's questions, release and settings."""
    ours = [
        kind.make(random.Random(f"{kind.name}/{level}"), level).question  # noqa: S311 - no secret
        for kind in kinds
        for level in (1, 2, 3, 4, 5)
    ]
    text = msgspec.json.encode([SYSTEM, ASK, RULES, RELEASE, GENERATORS, ours])
    return hashlib.sha256(text).hexdigest()[:12]
