"""Cron in time zones: clocks that change, names that do not exist, settings out of range."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from qbench.benchmarks.analysis.runs.drift import Watch
from qbench.errors import ConfigError
from qbench.service.order import Order
from qbench.service.schedules import Delivery, Recurring, checked, next_at

SECRET, OTHER = "QBENCH_WEBHOOK_A", "OPENAI_API_KEY"
BERLIN = "Europe/Berlin"  # forward 2026-03-29 02:00, back 2026-10-25 03:00
NIGHTLY = Recurring(name="nightly", cron="0 3 * * *", order=Order(suite="sums", engine="scripted"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(cron: str, zone: str, after: str, number: int) -> list[str]:
    found, at = [], utc(after)
    for _ in range(number):
        at = next_at(cron, zone, at)
        found.append(f"{at:%m-%d %H:%M}")
    return found


def test_three_at_night_stays_three_at_night_when_clocks_change() -> None:
    assert times("0 3 * * *", BERLIN, "2026-03-27T12:00", 3) == [
        "03-28 02:00",
        "03-29 01:00",
        "03-30 01:00",
    ]


def test_a_time_that_is_skipped_comes_at_the_change() -> None:
    assert times("30 2 * * *", BERLIN, "2026-03-28T12:00", 2) == ["03-29 01:00", "03-30 00:30"]


def test_a_time_that_exists_twice_comes_once() -> None:
    assert times("30 2 * * *", BERLIN, "2026-10-24T12:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_every_half_hour_follows_elapsed_time_over_a_change() -> None:
    assert times("*/30 * * * *", BERLIN, "2026-10-25T00:00", 4) == [
        "10-25 00:30",
        "10-25 01:00",
        "10-25 01:30",
        "10-25 02:00",
    ]


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - zone added below
    st.sampled_from(["*/7 * * * *", "15,45 2 * * *", "0 3 * * 1", "30 1 1 * *", "0 */6 * * *"]),
    st.sampled_from([BERLIN, "America/New_York", "UTC", "Australia/Lord_Howe"]),
)
def test_the_next_time_is_always_later_and_in_utc(at: datetime, cron: str, zone: str) -> None:
    after = at.replace(tzinfo=UTC)
    found = next_at(cron, zone, after)
    assert found > after
    assert found.tzinfo is UTC


@pytest.mark.parametrize("cron", ["", "* * * *", "0 0 3 * * *", "61 * * * *", "0 0 31 2 *", "x"])
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(ConfigError):
        next_at(cron, "UTC", utc("2026-01-01"))


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../etc/passwd", "Europe", "/etc/localtime"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError):
        next_at("0 3 * * *", zone, utc("2026-01-01"))


def test_a_sound_schedule_says_when_it_comes_first() -> None:
    assert checked(NIGHTLY, utc("2026-01-01T12:00")) == utc("2026-01-02T03:00")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a b"},
        {"cron": "soon"},
        {"order": Order(suite="nothing")},
        {"watch": Watch(window=2, window_least=3)},
        {"watch": Watch(q=0.0)},
        {"newest": 0},
        {"delivery": Delivery(webhook="file:///etc/passwd", secret_env=SECRET)},
        {"delivery": Delivery(webhook="https://example.org")},
        {"delivery": Delivery(webhook="https://example.org", secret_env=OTHER)},
        {"delivery": Delivery(email=("a@b\r\nBcc: c@d",))},
    ],
)
def test_a_schedule_that_could_not_work_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        checked(replace(NIGHTLY, **change), utc("2026-01-01"))
