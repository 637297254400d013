"""Recall of retrieval as tables: by retriever and size, by wording, by stage; and the tokens."""

from __future__ import annotations

import math

from qbench.benchmarks.suites.tools_at_scale.recall import Estimate, Recall, Row
from qbench.cli.render.tables import rows_of


def recall(report: Recall) -> None:
    """Print the report."""
    ks = report.asked.ks
    heads = [f"R@{k} %>" for k in ks]
    every = [row for row in report.rows if not row.words]
    rows_of(
        ("Retriever", "Tools>", *heads, "MRR>", f"All@{ks[-1]} %>", "ms>"),
        (
            (
                row.retriever,
                f"{row.tools:,}",
                *(_percent(at.recall) for at in row.at),
                f"{row.reciprocal_rank.value:.2f}",
                _percent(row.at[-1].whole),
                f"{1_000 * row.query_seconds:.1f}",
            )
            for row in every
        ),
        caption=f"{report.requests} requests that need a tool, in {report.families} families; "
        "± 95 %, cluster-robust. R@k: share of the needed tools among the top k; All@k: "
        "requests for which all of them are; ms: median per request.",
    )
    largest = max(report.asked.tools)
    rows_of(
        ("Wording", "Retriever", "Tools>", *heads),
        (_worded(row) for row in report.rows if row.words and row.tools == largest),
        caption="direct: in the tools' words; loose: verb or object in others; other: both.",
    )
    _tokens(report, every)
    if report.worth:
        _worth(report, heads)


def _worded(row: Row) -> tuple[str, ...]:
    recalls = (_percent(at.recall) for at in row.at)
    return (row.words, row.retriever, f"{row.tools:,}", *recalls)


def _tokens(report: Recall, every: list[Row]) -> None:
    rows_of(
        ("Retriever", "Tools>", *(f"Tokens@{k}>" for k in report.asked.ks), "All tools>"),
        (
            (
                row.retriever,
                f"{row.tools:,}",
                *(f"{at.tokens:,.0f}" for at in row.at),
                f"{report.catalogue_tokens[row.tools]:,}",
            )
            for row in every
        ),
        caption="Prompt tokens of the offered specs, estimated by their bytes.",
    )


def _worth(report: Recall, heads: list[str]) -> None:
    keys = dict.fromkeys((one.stage, one.retriever, one.tools) for one in report.worth)
    rows_of(
        ("Stage", "Retriever", "Tools>", *heads),
        (
            (
                stage,
                retriever,
                f"{tools:,}",
                *(
                    _points(one.recall)
                    for one in report.worth
                    if (one.stage, one.retriever, one.tools) == (stage, retriever, tools)
                ),
            )
            for stage, retriever, tools in keys
        ),
        caption="Points of recall that the stage adds to the others, on the same requests.",
    )


def _percent(one: Estimate) -> str:
    """Write ``48.3 ± 7.1``; both ends where they are not equally far."""
    if math.isnan(one.value):
        return "–"
    below, above = 100 * (one.value - one.low), 100 * (one.high - one.value)
    if abs(below - above) <= 0.2 * max(below, above):
        return f"{100 * one.value:.1f} ± {(below + above) / 2:.1f}"
    return f"{100 * one.value:.1f} [{100 * one.low:.0f}, {100 * one.high:.0f}]"


def _points(one: Estimate) -> str:
    half = "" if math.isinf(one.low) else f" ± {50 * (one.high - one.low):.1f}"
    return f"{100 * one.value:+.1f}{half}"
