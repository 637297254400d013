"""Frontiers over a real socket: the same values as here, and problems that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from qbench.service.reports.frontier.choice import Asked, read_choice
from qbench.service.reports.frontier.report import frontier_of
from qbench.service.reports.values import to_json
from qbench.service.store import Store
from tests.integration.api import application, serving
from tests.integration.fleet import FLEET, sailed


@pytest.fixture
def http(url: str) -> Iterator[tuple[httpx.Client, Store, str]]:
    with (
        Store.open(url) as store,
        serving(application(store)) as base,
        httpx.Client(base_url=base, timeout=30) as client,
    ):
        yield client, store, sailed(store, FLEET[:4], samples=60)


def test_a_server_answers_what_a_database_answers(http: tuple[httpx.Client, Store, str]) -> None:
    client, store, run = http
    other = sailed(store, FLEET[4:], samples=60)
    questions: tuple[dict[str, Any], ...] = (
        {},
        {"on": "accuracy,cost,latency", "by": "family"},
        {"budget": "$0.002", "accuracy": "70%", "without": "*@fp8", "native_only": True},
        {"also": (other,)},
        {"on": "accuracy,cost-of-pass", "reference": "cost-of-pass=0.01,accuracy=20%"},
    )
    for words in questions:
        answer = client.get(f"/v1/runs/{run}/frontier", params=words)
        assert answer.status_code == 200, answer.text
        here = frontier_of(store, run, "saturated", read_choice(Asked(**words)))
        assert answer.json() == json.loads(to_json(here))


def test_what_cannot_be_asked_is_a_problem(http: tuple[httpx.Client, Store, str]) -> None:
    client, _, run = http
    for words, status in (
        ({"on": "accuracy,costs"}, 404),
        ({"on": "accuracy"}, 422),
        ({"without": "gemma"}, 404),
        ({"budget": "much"}, 422),
        ({"native_only": "perhaps"}, 422),
    ):
        answer = client.get(f"/v1/runs/{run}/frontier", params=words)
        assert answer.status_code == status, answer.text
        assert answer.json()["detail"]
