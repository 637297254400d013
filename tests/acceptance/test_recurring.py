from __future__ import annotations

import pytest

from qbench.cli.render.timeline import sparkline
from tests.acceptance.program import Program

NIGHTLY = ("nightly", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin")
SUMS = ("--suite", "sums", "--engine", "scripted", "-n", "20")


def test_a_schedule_is_made_with_the_options_of_a_run(qbench: Program) -> None:
    made = qbench(
        *("schedule", "add", *NIGHTLY, *SUMS, "--budget", "0.50", "--points", "0.03"),
        *("--email", "a@example.org,b@example.org", "--json"),
    ).json
    what = made["what"]
    assert (what["order"]["suite"], what["order"]["samples"]) == ("sums", 20)
    assert (what["controls"]["budget"], what["watch"]["points"]) == ("0.50", 0.03)
    assert what["delivery"]["email"] == ["a@example.org", "b@example.org"]
    assert "nightly" in qbench("schedule", "list", COLUMNS="80").out
    qbench("schedule", "pause", "nightly")
    assert qbench("schedule", "list", "--json").json["schedules"][0]["paused"]
    qbench("schedule", "resume", "nightly")
    assert qbench("schedule", "run-now", "nightly", "--json").json["firing"]["state"] == "due"
    assert "due" in qbench("schedule", "show", "nightly").out
    qbench("schedule", "rm", "nightly")
    assert qbench("schedule", "list", "--json").json["schedules"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "n", "--cron", "0 3 * *"), "it has 4 fields"),
        (("add", "n", "--cron", "0 3 * * *", "--suite", "gone"), "gone"),
        (("add", "n", "--cron", "0 3 * * *", "--act", "sing"), "sing"),
        (("show", "none"), "no schedule"),
    ],
)
def test_what_cannot_recur_is_refused_with_a_hint(
    qbench: Program, arguments: tuple[str, ...], said: str
) -> None:
    ended = qbench("schedule", *arguments)
    assert ended.code == 2
    assert said in ended.talk
    assert "Try: " in ended.talk


def test_history_and_prices_of_another_day_are_shown(qbench: Program) -> None:
    for _ in range(2):
        qbench.run("-n", "20", "--fresh", "--hardware", "cpu-2core")
    found = qbench("history", "--json").json
    [track] = found["tracks"]
    assert len(track["marks"]) == 2
    text = qbench("history", COLUMNS="100").out
    assert "±" in text
    assert track["marks"][0]["run_id"] in text
    priced = qbench("reprice", "--as-of", "2020-01-01", "--save", "--json").json
    assert priced["paid"] is None
    assert priced["paid_before"] is not None
    assert "unpriced" in qbench("reprice", "--as-of", "2020-01-01").out
    assert len(qbench("history", "--json").json["snapshots"]) == 1
    assert qbench("reprice", "--as-of", "soon").code == 2


def test_a_sparkline_spans_its_own_range_and_shows_gaps() -> None:
    assert sparkline([0.5, 0.6, None, 0.7]) == "▁▅·█"
    assert sparkline([0.5, 0.5]) == "▄▄"
    assert sparkline([None]) == ""
