"""Strict and loose verdicts on a reply, by instruction and by prompt (arXiv 2311.07911, sec. 3)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from qbench.benchmarks.scoring.ifeval.instructions import CHECKS, follows
from qbench.errors import NotFound


class Verdict(Struct, frozen=True, kw_only=True):
    """What a reply followed, instruction by instruction."""

    names: tuple[str, ...]
    strict: tuple[bool, ...]
    loose: tuple[bool, ...]

    @property
    def missed(self) -> tuple[str, ...]:
        """The instructions that were not followed, strictly."""
        return tuple(name for name, met in zip(self.names, self.strict, strict=True) if not met)

    @property
    def components(self) -> dict[str, float]:
        """The four accuracies of the paper, of this prompt alone."""
        return {
            "ifeval.prompt_strict": float(all(self.strict)),
            "ifeval.prompt_loose": float(all(self.loose)),
            "ifeval.instruction_strict": sum(self.strict) / len(self.strict),
            "ifeval.instruction_loose": sum(self.loose) / len(self.loose),
        }


def judge(names: list[str], arguments: list[dict[str, Any]], reply: str) -> Verdict:
    """Judge ``reply`` by the instructions ``names``, each with its ``arguments``.

    Raises:
        NotFound: an instruction is none of the 25.

    """
    for name in names:
        if name not in CHECKS:
            raise NotFound.among("IFEval instruction", name, CHECKS)
    asked = list(zip(names, arguments, strict=True))
    variants = loosened(reply)
    return Verdict(
        names=tuple(names),
        strict=tuple(follows(name, given, reply) for name, given in asked),
        loose=tuple(any(follows(name, given, one) for one in variants) for name, given in asked),
    )


def loosened(reply: str) -> tuple[str, ...]:
    """Return the eight variants of the loose criterion.

    With and without the first line, the last line and the markdown asterisks: an introduction
    (`Sure, here it is:`) or a closing line does not fail a reply.
    """
    lines = reply.split("\n")
    cut = (lines, lines[1:], lines[:-1], lines[1:-1])
    texts = ["\n".join(part) if part is lines else "\n".join(part).strip() for part in cut]
    return (*texts, *(one.replace("*", "") for one in texts))
