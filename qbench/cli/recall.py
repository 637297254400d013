"""``suites recall``: how well a suite's tools are retrieved, before any model is asked."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from qbench.benchmarks.suites.tools_at_scale.recall import Asked, measure
from qbench.benchmarks.suites.tools_at_scale.retrieving import RETRIEVERS, Retriever
from qbench.cli.options import Json, words
from qbench.cli.pictures import Plot, drawn
from qbench.cli.render import console
from qbench.cli.render.recall import recall as shown
from qbench.errors import ConfigError, NotFound
from qbench.service.reports.values import SCHEMA, to_json

SUITE = "tools-at-scale"


def recall(
    name: Annotated[str, typer.Argument(help="A suite that retrieves tools.")] = SUITE,
    tools: Annotated[str, typer.Option(help="Sizes of the catalogue.")] = "100,300,1000,3000",
    k: Annotated[str, typer.Option("--k", help="How many are offered.")] = "1,5,10,20",
    retrievers: Annotated[
        str, typer.Option("--retriever", help="bm25, embedding, hybrid; several with commas.")
    ] = "bm25,embedding,hybrid",
    number: Annotated[int, typer.Option("--requests", "-n", min=1, help="How many.")] = 200,
    seed: Annotated[int, typer.Option(help="Another seed draws other tools and requests.")] = 0,
    stages: Annotated[
        bool, typer.Option("--stages", help="Also what enrichment, rewriting and reranking add.")
    ] = False,
    json: Json = False,
    plot: Plot = "",
) -> None:
    """How often the needed tools are among the top k, by retriever and size; no model is asked.

    The first use of the embedding model embeds the catalogue: minutes, once per machine.
    """
    if name != SUITE:
        raise NotFound.among("suite that retrieves tools", name, [SUITE])
    asked = Asked(
        retrievers=_retrievers(retrievers),
        tools=_numbers(tools, "--tools 100,1000"),
        ks=_numbers(k, "--k 5,10"),
        requests=number,
        seed=seed,
        stages=stages,
    )
    found = measure(asked)
    drawn("recall", found, plot)
    if json:
        console.raw(to_json({"schema": SCHEMA, "recall": found}))
    else:
        shown(found)


def _retrievers(text: str) -> tuple[Retriever, ...]:
    for one in words(text):
        if one not in RETRIEVERS:
            raise NotFound.among("retriever", one, RETRIEVERS)
    return tuple(cast("Retriever", one) for one in words(text))


def _numbers(text: str, example: str) -> tuple[int, ...]:
    """Read whole numbers above 0, in order. Raises ConfigError."""
    if not all(word.isdecimal() and int(word) for word in words(text)) or not words(text):
        raise ConfigError(f"Cannot read numbers from {text!r}.", hint=f"Write {example}.")
    return tuple(sorted({int(word) for word in words(text)}))
