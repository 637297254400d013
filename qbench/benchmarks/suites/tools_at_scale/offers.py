"""Tasks of the suite: which retriever chooses the offered tools, and how many."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal, cast, get_args

import msgspec
from msgspec import Struct

from qbench.benchmarks.suites.tools_at_scale.catalogue import catalogue
from qbench.benchmarks.suites.tools_at_scale.retrieving import ranking
from qbench.benchmarks.suites.tools_at_scale.tools import universe
from qbench.errors import ConfigError

Chooser = Literal["bm25", "embedding", "hybrid", "oracle", "all"]
CHOOSERS: tuple[Chooser, ...] = get_args(Chooser)

MOST = 128
"""Tools that an API takes at most."""

KS = (5, 10, 20, 50)
BYTES_PER_TOKEN = 3.9
"""Of tool specs as JSON, as SmolLM2's tokenizer counts (docs/tools-at-scale.md)."""

_WRITTEN = re.compile(r"(?P<chooser>bm25|embedding|hybrid|oracle)@(?P<k>[1-9]\d*)|all")


class Offer(Struct, frozen=True, kw_only=True):
    """How tools are chosen for a request."""

    chooser: Chooser
    k: int
    """Tools that are offered at most."""

    @property
    def task(self) -> str:
        """As a task is written: ``bm25@10``; ``all`` has no number."""
        return "all" if self.chooser == "all" else f"{self.chooser}@{self.k}"


def offer_of(task: str) -> Offer:
    """Read the name of a task. Raises ConfigError."""
    read = _WRITTEN.fullmatch(task)
    if read is None or (read["k"] and int(read["k"]) > MOST):
        raise ConfigError(
            f"{task!r} is no task of tools-at-scale.",
            hint=f"Write RETRIEVER@K, K up to {MOST}: one of {', '.join(CHOOSERS[:-1])}; or all.",
        )
    if task == "all":
        return Offer(chooser="all", k=MOST)
    return Offer(chooser=cast("Chooser", read["chooser"]), k=int(read["k"]))


def chosen(
    offer: Offer, request: str, gold: Collection[str], *, seed: int, size: int
) -> tuple[str, ...]:
    """Return the offered tools by name, in the alphabet's order: the place tells nothing.

    ``all`` offers the whole catalogue; ``oracle`` the needed tools and what BM25 ranks best.

    Raises:
        ConfigError: a package is not installed; the catalogue is larger than an API takes.

    """
    if offer.chooser == "all":
        names = tuple(tool.name for tool in catalogue(seed, size))
        if size > MOST:
            raise ConfigError(
                f"{size:,} tools cannot be offered at once.", hint=f"An API takes {MOST}."
            )
        return tuple(sorted(names))
    if offer.chooser == "oracle":
        near = ranking("bm25", request, seed=seed, size=size)
        first = list(dict.fromkeys((*gold, *near)))[: max(offer.k, len(gold))]
        return tuple(sorted(first))
    return tuple(sorted(ranking(offer.chooser, request, seed=seed, size=size)[: offer.k]))


def tokens(names: Sequence[str]) -> int:
    """Estimate the prompt tokens of the specs, by their bytes as JSON."""
    size = sum(len(msgspec.json.encode(universe()[name].spec)) for name in names)
    return round(size / BYTES_PER_TOKEN)
