from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator

import pytest
import redis

from qbench.errors import TooManyRequests
from qbench.service.rates import PAUSE_S, Rates

REDIS = os.environ.get("QBENCH_TEST_REDIS", "redis://127.0.0.1:6379/11")
NOBODY = "redis://:hunter2hunter2@127.0.0.1:1/0"
"""A port on which nothing listens."""


@pytest.fixture
def url() -> Iterator[str]:
    with redis.Redis.from_url(REDIS, socket_connect_timeout=1) as server:
        try:
            server.ping()
        except redis.RedisError as error:
            pytest.skip(f"{REDIS} does not answer: {error}")
        yield REDIS


@pytest.fixture
def name() -> str:
    return secrets.token_hex(6)


def refusals(rates: Rates, name: str, times: int, per_minute: int) -> int:
    refused = 0
    for _ in range(times):
        try:
            rates.admit(name, per_minute)
        except TooManyRequests as error:
            refused += 0 < error.retry_after_s <= 60
    return refused


def test_two_processes_share_one_count(url: str, name: str) -> None:
    one, other = Rates(url, environ={}), Rates(url, environ={})
    assert refusals(one, name, 6, 10) == 0
    assert refusals(other, name, 6, 10) == 2
    assert refusals(one, name, 1, 10) == 1
    assert refusals(one, name + "x", 10, 10) == 0


async def test_a_provider_is_called_no_more_often_than_its_limit(url: str, name: str) -> None:
    environ = {f"QBENCH_RATE_{name.upper()}": "5/second"}
    both = (Rates(url, environ), Rates(url, environ))
    moments: list[float] = []

    async def call(number: int) -> None:
        await both[number % 2].provider_turn(name)
        moments.append(time.monotonic())

    await asyncio.gather(*(call(number) for number in range(12)))
    moments.sort()
    windows = [later - earlier for earlier, later in zip(moments, moments[5:], strict=False)]
    assert len(moments) == 12
    assert min(windows) > 0.9  # a moment is noted a little after its turn was taken
    assert moments[-1] - moments[0] < 4


async def test_a_provider_without_a_limit_is_not_waited_for(url: str) -> None:
    began = time.monotonic()
    rates = Rates(url, {"QBENCH_RATE_OTHER": "1/hour"})
    await asyncio.gather(*(rates.provider_turn("openai") for _ in range(100)))
    assert time.monotonic() - began < 1


def test_waiters_of_two_event_loops_do_not_meet(url: str, name: str) -> None:
    rates = Rates(url, {f"QBENCH_RATE_{name.upper()}": "2/second"})

    async def calls() -> None:
        await asyncio.gather(*(rates.provider_turn(name) for _ in range(3)))

    asyncio.run(calls())
    asyncio.run(calls())


def test_without_redis_each_process_counts_alone_and_says_so_once(
    caplog: pytest.LogCaptureFixture, name: str
) -> None:
    rates = Rates(NOBODY, environ={})
    with caplog.at_level(logging.WARNING):
        began = time.monotonic()
        assert refusals(rates, name, 12, 10) == 2
        assert time.monotonic() - began < PAUSE_S
    warnings = [record for record in caplog.records if "counted by each process" in record.message]
    assert len(warnings) == 1
    assert "hunter2hunter2" not in caplog.text


def test_redis_is_asked_again_after_a_pause(url: str, name: str) -> None:
    rates, other = Rates(url, environ={}), Rates(url, environ={})
    rates._silent_until = time.monotonic() + 0.2
    assert refusals(rates, name, 3, 3) == 0
    time.sleep(0.25)
    assert refusals(rates, name, 3, 3) == 0
    assert refusals(other, name, 1, 3) == 1


def test_a_redis_that_hangs_costs_one_request_half_a_second(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        rates = Rates(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", environ={})
        began = time.monotonic()
        assert refusals(rates, name, 12, 10) == 2
        assert time.monotonic() - began < 2
