"""How well tools are retrieved, without any model: recall by retriever, k and catalogue size."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.analysis.clusters import clustered_mean, pass_rate
from qbench.benchmarks.analysis.sums import Floats
from qbench.benchmarks.retrieval.measures import found, reciprocal_rank
from qbench.benchmarks.suites.tools_at_scale.catalogue import catalogue
from qbench.benchmarks.suites.tools_at_scale.offers import tokens
from qbench.benchmarks.suites.tools_at_scale.requests import Request, gold, request
from qbench.benchmarks.suites.tools_at_scale.retrieving import (
    ALL_STAGES,
    Retriever,
    Stages,
    index,
    prepare,
    ranking,
)


class Asked(Struct, frozen=True, kw_only=True):
    """What is to be measured."""

    retrievers: tuple[Retriever, ...]
    tools: tuple[int, ...]
    ks: tuple[int, ...]
    requests: int
    seed: int = 0
    stages: bool = False
    """Measure what each stage is worth, too."""


class Estimate(Struct, frozen=True, kw_only=True):
    """A mean over requests with its 95 % interval, between families of requests."""

    value: float
    low: float
    high: float


class AtK(Struct, frozen=True, kw_only=True):
    """What the top k have."""

    k: int
    recall: Estimate
    whole: Estimate
    """Share of requests for which every needed tool is there: a bound on what a model can pass."""
    tokens: float
    """Mean prompt tokens of the offered specs, estimated."""


class Row(Struct, frozen=True, kw_only=True):
    """One retriever over one catalogue."""

    retriever: Retriever
    tools: int
    words: str
    """Of the requests: ``direct``, ``loose``, ``other``; empty: all of them."""
    requests: int
    at: tuple[AtK, ...]
    reciprocal_rank: Estimate
    index_seconds: float
    """To build the index, where this process had to; embeddings on file are not made again."""
    query_seconds: float
    """Median per request."""


class Worth(Struct, frozen=True, kw_only=True):
    """What leaving a stage out loses, on the same requests."""

    retriever: Retriever
    tools: int
    stage: str
    k: int
    recall: Estimate
    """Recall with all stages less recall without this one."""


class Recall(Struct, frozen=True, kw_only=True):
    """The report."""

    asked: Asked
    requests: int
    """Those that need a tool."""
    families: int
    rows: tuple[Row, ...]
    worth: tuple[Worth, ...]
    catalogue_tokens: dict[int, int]
    """Of all specs of a catalogue, by its size."""


class _Measured(Struct, frozen=True, kw_only=True):
    """Rankings of all requests by one retriever."""

    ranked: tuple[tuple[str, ...], ...]
    index_seconds: float
    query_seconds: float


def measure(asked: Asked) -> Recall:
    """Measure recall. Raises ConfigError: a package is missing, there is no such catalogue."""
    drawn = (request(asked.seed, number) for number in range(asked.requests))
    made = tuple(one for one in drawn if one.calls)
    return Recall(
        asked=asked,
        requests=len(made),
        families=len({one.family for one in made}),
        rows=tuple(
            row
            for size in asked.tools
            for retriever in asked.retrievers
            for row in _rows(asked, made, retriever, size)
        ),
        worth=tuple(
            one
            for size in (asked.tools if asked.stages else ())
            for retriever in asked.retrievers
            for one in _worth(asked, made, retriever, size)
        ),
        catalogue_tokens={
            size: tokens([tool.name for tool in catalogue(asked.seed, size)])
            for size in asked.tools
        },
    )


def _rankings(
    asked: Asked, made: Sequence[Request], retriever: Retriever, size: int, stages: Stages
) -> _Measured:
    began = time.perf_counter()
    index(retriever, asked.seed, size, enrichment=stages.enrichment)
    built = time.perf_counter() - began
    prepare(retriever, [one.prompt for one in made], stages=stages)
    ranked, seconds = [], []
    for one in made:
        began = time.perf_counter()
        names = ranking(retriever, one.prompt, seed=asked.seed, size=size, stages=stages)
        seconds.append(time.perf_counter() - began)
        ranked.append(names)
    return _Measured(
        ranked=tuple(ranked), index_seconds=built, query_seconds=float(np.median(seconds))
    )


def _rows(
    asked: Asked, made: Sequence[Request], retriever: Retriever, size: int
) -> tuple[Row, ...]:
    measured = _rankings(asked, made, retriever, size, ALL_STAGES)
    return tuple(
        _row(asked, made, measured, words, retriever, size)
        for words in ("", "direct", "loose", "other")
    )


def _row(
    asked: Asked,
    made: Sequence[Request],
    measured: _Measured,
    words: str,
    retriever: Retriever,
    size: int,
) -> Row:
    pairs = [
        (one, names)
        for one, names in zip(made, measured.ranked, strict=True)
        if not words or one.kind.endswith(words)
    ]
    ranks = [reciprocal_rank(gold(one), names) for one, names in pairs]
    return Row(
        retriever=retriever,
        tools=size,
        words=words,
        requests=len(pairs),
        at=tuple(_at(k, pairs) for k in asked.ks),
        reciprocal_rank=_estimate(np.array(ranks), _families([one for one, _ in pairs])),
        index_seconds=measured.index_seconds,
        query_seconds=measured.query_seconds,
    )


def _at(k: int, pairs: Sequence[tuple[Request, tuple[str, ...]]]) -> AtK:
    family = _families([one for one, _ in pairs])
    have = [found(gold(one), names, k) for one, names in pairs]
    return AtK(
        k=k,
        recall=_estimate(np.array([one.recall for one in have]), family),
        whole=_estimate(np.array([float(one.whole) for one in have]), family),
        tokens=float(np.mean([tokens(names[:k]) for _, names in pairs])) if pairs else 0.0,
    )


def _worth(
    asked: Asked, made: Sequence[Request], retriever: Retriever, size: int
) -> tuple[Worth, ...]:
    whole = _rankings(asked, made, retriever, size, ALL_STAGES).ranked
    family = _families(made)
    worth = []
    for stage in ALL_STAGES.__struct_fields__:
        less = replace(ALL_STAGES, **{stage: False})
        part = _rankings(asked, made, retriever, size, less).ranked
        for k in asked.ks:
            gained = _recalls(made, whole, k) - _recalls(made, part, k)
            mean = clustered_mean(gained, family)
            low, high = mean.interval()
            recall = Estimate(value=mean.value, low=low, high=high)
            one = Worth(retriever=retriever, tools=size, stage=stage, k=k, recall=recall)
            worth.append(one)
    return tuple(worth)


def _recalls(made: Sequence[Request], ranked: Sequence[tuple[str, ...]], k: int) -> Floats:
    pairs = zip(made, ranked, strict=True)
    return np.array([found(gold(one), names, k).recall for one, names in pairs])


def _families(made: Sequence[Request]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    names = {name: place for place, name in enumerate(dict.fromkeys(m.family for m in made))}
    return np.array([names[one.family] for one in made], dtype=np.int32)


def _estimate(values: Floats, family: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Estimate:
    rate = pass_rate(values, np.ones(len(values)), family)
    if rate is None:
        return Estimate(value=float("nan"), low=0.0, high=1.0)
    return Estimate(value=rate.value, low=rate.low, high=rate.high)
