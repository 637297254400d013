"""Several suites in one run, asked of fake models of known skill, as a user would."""

from __future__ import annotations

from typing import Any

from tests.acceptance.program import Ended, Program

SUITES = "sums,mcp/ledger"


def skilled(qbench: Program, *more: str, accuracy: str) -> Ended:
    """Run both suites on a model that knows the solutions and plays some of them."""
    chosen = ("script=skilled", "known=known.json", f"accuracy={accuracy}")
    options = [part for text in chosen for part in ("-o", text)]
    given = ("--suite", SUITES, "-n", "60", "--level", "1-3", "--engine", "scripted")
    return qbench("run", *given, *options, *more)


def test_suites_share_a_run_and_each_shows_its_pass_rate(qbench: Program) -> None:
    made = qbench("suites", "script", SUITES, "-n", "60", "--level", "1-3", "--out", "known.json")
    assert made.code == 0, made.talk
    ended = skilled(qbench, accuracy="1.0")
    assert ended.code == 0, ended.talk
    assert "60/60" in ended.out
    assert "passed by suite" in ended.out
    board: Any = skilled(qbench, "--json", accuracy="1.0").json
    assert {name: made["value"] for name, made in board["rows"][0]["by_suite"].items()} == {
        "sums": 1.0,
        "mcp": 1.0,
    }


def test_the_listing_tells_licence_and_where_the_data_is(qbench: Program) -> None:
    listed: Any = qbench("suites", "--json").json
    facts = {one["name"]: one for one in listed["suites"]}
    assert facts["mcp"]["license"] == "own"
    assert facts["sums"]["data"] == "generated"


def test_samples_are_shown_as_they_are_asked(qbench: Program) -> None:
    shown = qbench("suites", "show", "sums/add", "-n", "2")
    assert shown.code == 0, shown.talk
    assert shown.out.count("What is") == 2


def test_a_strategy_that_is_none_names_those_there_are(qbench: Program) -> None:
    refused = qbench.run("-n", "2", "--strategy", "singel")
    assert refused.code == 2
    assert "single" in refused.talk
