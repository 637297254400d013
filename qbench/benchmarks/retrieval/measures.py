"""How well a ranking serves what is needed: Recall@k, all of it, and the reciprocal rank.

Toolshed (arXiv 2410.14594): Recall@k = |gold in the top k| / |gold|.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct


class Found(Struct, frozen=True, kw_only=True):
    """What the top k of a ranking have of the gold."""

    recall: float
    """Share of the gold in the top k."""
    whole: bool
    """Whether all of it is there: without that, nothing that needs all can be done."""


def recall_at(gold: Collection[str], ranked: Sequence[str], k: int) -> float:
    """Return |gold in the first ``k`` of ``ranked``| / |gold|.

    Raises:
        ValueError: nothing is gold: recall has no meaning there.

    """
    if not gold:
        raise ValueError("Recall needs something to recall.")
    return len(set(gold) & set(ranked[:k])) / len(set(gold))


def found(gold: Collection[str], ranked: Sequence[str], k: int) -> Found:
    """Return recall, and whether it is whole. Raises ValueError without gold."""
    recall = recall_at(gold, ranked, k)
    return Found(recall=recall, whole=recall == 1)


def reciprocal_rank(gold: Collection[str], ranked: Sequence[str]) -> float:
    """Return 1 / the place of the first gold one; 0 where none is ranked."""
    places = (place for place, name in enumerate(ranked, 1) if name in gold)
    return 1 / next(places, float("inf"))
