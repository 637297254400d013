"""The reading verbs say the same of a server as of a database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qbench.service.store import Store
from tests.acceptance.program import Program
from tests.integration.api import application, serving

MADE_AT = re.compile(r'"made_at":"[^"]*"')


@pytest.fixture(scope="module")
def server(finished: Program) -> Iterator[str]:
    with (
        Store.open(finished.environment["QBENCH_DATABASE"]) as store,
        serving(application(store)) as url,
    ):
        yield url


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize(
    "verb",
    [
        ("runs",),
        ("show", "last", "-n", "5"),
        ("show", "last", "--system", "fp8", "--failed"),
        ("leaderboard",),
        ("leaderboard", "last", "--basis", "dedicated"),
        ("compare", "last", "bf16", "w4a16"),
        ("compare", "last", "--by", "format"),
        ("compare", "last", "--by", "format", "--basis", "dedicated"),
        ("frontier",),
        ("scaling",),
        ("scaling", "last", "--k", "1", "--soundness", "0.75", "--budget", "0.1,2", "--at-once"),
        ("frontier", "last", "--on", "accuracy,tokens,latency", "--by", "level"),
        ("frontier", "last", "--on", "accuracy,bits", "--without", "fp8", "--native-only"),
        ("frontier", "last", "--on", "accuracy,tokens", "--budget", "30", "--accuracy", "50%"),
        ("watch",),
    ],
)
def test_a_server_says_what_the_database_says(
    finished: Program, server: str, verb: tuple[str, ...], json: bool
) -> None:
    arguments = (*verb, "--json") if json else verb
    here = finished(*arguments)
    there = finished(*arguments, "--server", server, QBENCH_DATABASE="")
    assert there.code == here.code == 0, there.talk
    assert MADE_AT.sub("", there.out) == MADE_AT.sub("", here.out)


@pytest.mark.parametrize("json", [False, True])
def test_the_spread_over_runs_is_the_same(
    finished: Program, server: str, tmp_path: Path, json: bool
) -> None:
    program = Program(tmp_path)
    for number in ("1", "8"):
        ended = program.run("-f", "fp8", "-n", "40", "--fresh", "-c", number, unsteady=0.3)
        assert ended.code == 0, ended.talk
    arguments = ("noise", "last", "--json") if json else ("noise", "last")
    here = program(*arguments)
    with (
        Store.open(program.environment["QBENCH_DATABASE"]) as store,
        serving(application(store)) as url,
    ):
        there = program(*arguments, "--server", url, QBENCH_DATABASE="")
        for more in (("--by", "task", "--least-snr", "2"), ("--items",)):
            parts = program(*arguments, *more, "--server", url, QBENCH_DATABASE="")
            assert parts.code == 0, parts.talk
            assert parts.out == program(*arguments, *more).out
    assert there.code == here.code == 0, there.talk
    assert there.out == here.out
    alone, elsewhere = finished("noise", "last"), finished("noise", "last", "--server", server)
    assert (alone.code, alone.talk) == (elsewhere.code, elsewhere.talk)


def test_a_plan_knows_the_past_runs_of_a_server(finished: Program, server: str) -> None:
    order = ("plan", "--suite", "sums", "--engine", "scripted", "-f", "fp8", "-n", "60", "--json")
    here = finished(*order, "--mde", "5pt").json
    there = finished(*order, "--mde", "5pt", "--server", server, QBENCH_DATABASE="").json
    assert here["forecast"]["rows"]
    assert there["design"]["needs"] == here["design"]["needs"]
    assert there["forecast"]["runs"] == here["forecast"]["runs"]
    assert [row["label"] for row in there["forecast"]["rows"]] == [
        row["label"] for row in here["forecast"]["rows"]
    ]


def test_export_and_one_attempt_are_the_same(finished: Program, server: str) -> None:
    attempt = finished("show", "--json", "-n", "1").json["attempts"][0]["id"]
    for verb in (("export",), ("show", attempt), ("show", attempt, "--json")):
        there = finished(*verb, "--server", server, QBENCH_DATABASE="")
        assert there.out == finished(*verb).out
        assert there.out


def test_errors_are_those_of_the_database(finished: Program, server: str) -> None:
    there = finished("leaderboard", "nonesuch", "--server", server, QBENCH_DATABASE="")
    here = finished("leaderboard", "nonesuch")
    assert (there.code, there.talk) == (here.code, here.talk)


def test_a_server_that_is_not_there_is_named(finished: Program) -> None:
    ended = finished("runs", "--server", "http://127.0.0.1:9", QBENCH_DATABASE="")
    assert ended.code == 1
    assert "No qbench server answers at http://127.0.0.1:9" in ended.talk
    assert "qbench up" in ended.talk


def test_a_server_and_a_database_are_one_too_many(finished: Program, server: str) -> None:
    ended = finished("runs", "--server", server, "--database", "x.db")
    assert ended.code == 2
    assert "not both" in ended.talk


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize(
    "verb", [("history",), ("reprice", "last", "--as-of", "2026-03-01"), ("schedule", "list")]
)
def test_what_recurs_is_the_same_too(
    finished: Program, server: str, verb: tuple[str, ...], json: bool
) -> None:
    arguments = (*verb, "--json") if json else verb
    here, there = finished(*arguments), finished(*arguments, "--server", server)
    assert there.code == here.code == 0, there.talk
    assert MADE_AT.sub("", there.out) == MADE_AT.sub("", here.out)


def test_a_schedule_is_kept_by_a_server(finished: Program, server: str) -> None:
    there = ("--server", server)
    sums = ("--suite", "sums", "--engine", "scripted", "-n", "20")
    made = finished("schedule", "add", "far", "--cron", "0 3 * * *", *sums, *there)
    assert made.code == 0, made.talk
    assert (
        finished("schedule", "show", "far").out == finished("schedule", "show", "far", *there).out
    )
    for act in ("pause", "resume", "rm"):
        assert finished("schedule", act, "far", *there).code == 0
    assert "far" not in finished("schedule", "list").out
