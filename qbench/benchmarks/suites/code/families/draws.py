"""Inputs that many families draw."""

from __future__ import annotations

import random

_SYLLABLES = "ba ce di fo gu la me ni ro su ta ve xi zo ka".split()


def numbers(rng: random.Random, size: int, low: int, high: int, near: int) -> list[int]:
    """Draw ``size`` integers; some are ``near`` a limit, where rules differ."""
    return [
        near + rng.randint(-1, 1) if rng.random() < 0.25 else rng.randint(low, high)
        for _ in range(size)
    ]


def word(rng: random.Random, *, mixed: bool = False) -> str:
    """Draw a word of two or three syllables; ``mixed``: some capital letters."""
    text = "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 3)))
    if not mixed:
        return text
    return "".join(c.upper() if rng.random() < 0.3 else c for c in text)


def words(rng: random.Random, size: int, *, mixed: bool = False) -> list[str]:
    """Draw ``size`` words."""
    return [word(rng, mixed=mixed) for _ in range(size)]
