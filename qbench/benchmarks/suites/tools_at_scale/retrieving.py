"""Which tools a request gets: the retrievers, and what stands before and after them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Protocol

from msgspec import Struct

from qbench.benchmarks.retrieval.bm25 import Bm25
from qbench.benchmarks.retrieval.embedding import Embedding, remember
from qbench.benchmarks.retrieval.fusion import Scores, fused, in_turn, order
from qbench.benchmarks.retrieval.queries import rewritten
from qbench.benchmarks.suites.tools_at_scale.catalogue import catalogue
from qbench.benchmarks.suites.tools_at_scale.documents import enriched, plain

Retriever = Literal["bm25", "embedding", "hybrid"]
RETRIEVERS: tuple[Retriever, ...] = ("bm25", "embedding", "hybrid")


DEPTH = 256
"""Tools of a ranking for each query: twice what an API takes."""


class Stages(Struct, frozen=True, kw_only=True):
    """What is done beside retrieving; each can be left out to see what it is worth."""

    enrichment: bool = True
    """Index enriched documents, not only names and descriptions."""
    rewriting: bool = True
    """Ask one query for each part of the request, without its values."""
    reranking: bool = True
    """Put tools that are marked as deprecated last."""


ALL_STAGES = Stages()


class Index(Protocol):
    """Scores documents for a query."""

    def scores(self, query: str) -> Scores:
        """Return floats of shape (documents,); more is better."""
        ...


class Hybrid:
    """BM25 and embedding, fused by reciprocal rank."""

    def __init__(self, *indices: Index) -> None:
        self._indices = indices

    def scores(self, query: str) -> Scores:
        """Return the fused scores."""
        return fused(*(index.scores(query) for index in self._indices))


@lru_cache(maxsize=24)
def index(retriever: Retriever, seed: int, size: int, *, enrichment: bool) -> Index:
    """Return the index of a catalogue, built once per process.

    Raises:
        ConfigError: a package is not installed.

    """
    if retriever == "hybrid":
        return Hybrid(
            index("bm25", seed, size, enrichment=enrichment),
            index("embedding", seed, size, enrichment=enrichment),
        )
    made = enriched if enrichment else plain
    documents = [made(tool) for tool in catalogue(seed, size)]
    return Bm25(documents) if retriever == "bm25" else Embedding(documents)


def prepare(retriever: Retriever, requests: Sequence[str], *, stages: Stages = ALL_STAGES) -> None:
    """Embed the queries of many requests at once, where the retriever embeds; they are kept.

    Raises:
        ConfigError: a package is not installed.

    """
    if retriever != "bm25":
        remember([query for one in requests for query in queries(one, stages)])


def queries(request: str, stages: Stages) -> tuple[str, ...]:
    """Return what is searched for: the request, or one query for each of its parts."""
    return rewritten(request) if stages.rewriting else (request,)


def ranking(
    retriever: Retriever, request: str, *, seed: int, size: int, stages: Stages = ALL_STAGES
) -> tuple[str, ...]:
    """Return names of tools of a catalogue, the best for ``request`` first; at least ``DEPTH``.

    Raises:
        ConfigError: a package is not installed.

    """
    made = index(retriever, seed, size, enrichment=stages.enrichment)
    tools = catalogue(seed, size)
    ranked = [
        [tools[place].name for place in order(made.scores(query))[:DEPTH]]
        for query in queries(request, stages)
    ]
    names = in_turn(ranked)
    return last_retired(names, seed, size) if stages.reranking else names


def last_retired(names: Sequence[str], seed: int, size: int) -> tuple[str, ...]:
    """Put what says that it is deprecated behind everything else, as it stands in the documents."""
    retired = _retired(seed, size)
    return tuple(sorted(names, key=lambda name: name in retired))


@lru_cache(maxsize=8)
def _retired(seed: int, size: int) -> frozenset[str]:
    tools = catalogue(seed, size)
    return frozenset(tool.name for tool in tools if tool.description.startswith("Deprecated"))
