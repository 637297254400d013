"""The REST face over a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from qbench.service.domain import RunStatus
from qbench.service.pricebook import read_prices
from qbench.service.reports.comparison.pairs import pairs_of
from qbench.service.reports.comparison.report import comparison
from qbench.service.reports.frontier.report import frontier_of
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.prospect.design import settling
from qbench.service.reports.scaling.report import scaling_of
from qbench.service.reports.scaling.values import ScalingAsked
from qbench.service.reports.values import to_json
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.steps import execute
from tests.integration.api import application, serving
from tests.integration.made import create, request, system

SUMS = {"suite": "sums", "engine": "scripted", "models": ["scripted/sums"], "samples": 20}


@dataclass
class Service:
    http: httpx.Client
    store: Store

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.http.post(path, json=body, headers=headers)


@pytest.fixture
def service(url: str) -> Iterator[Service]:
    with (
        Store.open(url) as store,
        serving(application(store)) as base,
        httpx.Client(base_url=base, timeout=30) as http,
    ):
        yield Service(http, store)


@pytest.fixture
def done(service: Service) -> str:
    systems = (system("bf16", accuracy=0.9), system("fp8", accuracy=0.5))
    plan = create(service.store, request(systems, limit=30))
    status = asyncio.run(execute(plan.run, service.store, read_prices({}), Silent()))
    assert status is RunStatus.DONE
    return plan.run.id


def test_a_run_is_handed_in_once_per_key(service: Service) -> None:
    body = {"order": SUMS, "fresh": True}
    first = service.post("/v1/runs", body, **{"Idempotency-Key": "k1"})
    again = service.post("/v1/runs", body, **{"Idempotency-Key": "k1"})
    other = service.post("/v1/runs", body, **{"Idempotency-Key": "k2"})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert first.json()["run"]["id"] == again.json()["run"]["id"] != other.json()["run"]["id"]
    assert first.headers["Location"] == f"/v1/runs/{first.json()['run']['id']}"
    changed = service.post("/v1/runs", {"order": SUMS}, **{"Idempotency-Key": "k1"})
    assert changed.status_code == 409
    assert changed.headers["content-type"] == "application/problem+json"


def test_the_same_key_sent_at_once_makes_one_run(service: Service) -> None:
    answers: list[str] = []

    def send() -> None:
        headers = {"Idempotency-Key": "same"}
        answers.append(service.post("/v1/runs", {"order": SUMS}, **headers).json()["run"]["id"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert len(service.store.runs(100)) == 1


def test_the_same_request_is_taken_up_again(service: Service) -> None:
    first = service.post("/v1/runs", {"order": SUMS}).json()
    second = service.post("/v1/runs", {"order": SUMS}).json()
    assert (first["created"], second["created"]) == (True, False)
    assert first["run"]["id"] == second["run"]["id"]


def test_reports_are_those_of_the_command_line(service: Service, done: str) -> None:
    board = json.loads(to_json(leaderboard_of(service.store, done, components=True)))
    found = service.get(f"/v1/runs/{done}/leaderboard")
    assert found.pop("made_at")
    board.pop("made_at")
    assert found == board
    compared = service.get(f"/v1/runs/{done}/compare", first="bf16", second="fp8")
    assert compared == json.loads(to_json(comparison(service.store, done, "bf16", "fp8")))
    paired = service.get(f"/v1/runs/{done}/pairs", correction="bh", non_inferior="true")
    assert paired == json.loads(to_json(pairs_of(service.store, done, "bh", non_inferior=True)))
    settled = service.get(f"/v1/runs/{done}/settle")
    assert settled == json.loads(to_json(settling(service.store, done)))
    frontier = service.get(f"/v1/runs/{done}/frontier")
    assert frontier == json.loads(to_json(frontier_of(service.store, done)))
    asked = ScalingAsked(ks=(1,), soundness=0.75, budgets=(0.5, 1.0), least_gain=0.01)
    scaling = service.get(
        f"/v1/runs/{done}/scaling", k=1, soundness=0.75, budget=[0.5, 1.0], least_gain=0.01
    )
    assert scaling == json.loads(to_json(scaling_of(service.store, done, asked)))
    costs = service.get(f"/v1/runs/{done}/cost-of-pass")
    assert {row["label"] for row in costs["rows"]} == {row["label"] for row in board["rows"]}


def test_pages_visit_every_attempt_once(service: Service, done: str) -> None:
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = service.get(f"/v1/runs/{done}/attempts", limit=7, cursor=cursor)
        seen += [attempt["id"] for attempt in page["attempts"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 60
    only = service.get(f"/v1/runs/{done}/attempts", limit=100, system="fp8", passed="true")
    assert all(attempt["passed"] for attempt in only["attempts"])
    detail = service.get(f"/v1/attempts/{seen[0]}")
    assert detail["attempt"]["id"] == seen[0]
    assert detail["transcript"]["turns"]


def test_runs_come_page_by_page(service: Service) -> None:
    for _ in range(5):
        service.post("/v1/runs", {"order": SUMS, "fresh": True})
    first = service.http.get("/v1/runs", params={"limit": 3})
    rest = service.get("/v1/runs", limit=3, cursor=first.json()["next"])
    ids = [run["id"] for run in first.json()["runs"] + rest["runs"]]
    assert len(set(ids)) == 5
    assert ids == sorted(ids, reverse=True)
    assert rest["next"] is None
    assert 'rel="next"' in first.headers["Link"]
    assert service.get("/v1/runs", status="done")["runs"] == []


def test_a_queued_run_says_what_it_waits_for(service: Service) -> None:
    for _ in range(3):
        last = service.post("/v1/runs", {"order": SUMS, "fresh": True}).json()["run"]["id"]
    waiting = service.get(f"/v1/runs/{last}")["waiting"]
    assert (waiting["position"], waiting["of"]) == (3, 3)
    assert "qbench worker" in waiting["reason"]
    cancelled = service.post(f"/v1/runs/{last}/cancel").json()
    assert cancelled["run"]["status"] == "cancelled"
    assert cancelled["waiting"] is None
    resumed = service.post(f"/v1/runs/{last}/resume", {"concurrency": 4}).json()
    assert resumed["run"]["status"] == "queued"
    assert service.store.run(last).controls.concurrency == 4


def test_watching_ends_when_the_run_rests(service: Service, done: str) -> None:
    with service.http.stream("GET", f"/v1/runs/{done}/events") as stream:
        text = "".join(stream.iter_text())
    assert text.startswith("event: end\nid: 1\ndata: {")
    assert json.loads(text.split("data: ", 1)[1])["run"]["status"] == "done"


def test_watchers_see_a_run_change(service: Service) -> None:
    run = service.post("/v1/runs", {"order": SUMS}).json()["run"]["id"]
    with service.http.stream("GET", f"/v1/runs/{run}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: progress"
        service.store.cancel(run)
        assert "event: end" in lines


def test_export_streams_every_attempt(service: Service, done: str) -> None:
    lines = service.http.get(f"/v1/runs/{done}/export").text.splitlines()
    assert len(lines) == 60
    assert json.loads(lines[0])["schema"] == 1


def test_rescoring_changes_nothing_where_the_scorer_is_the_same(
    service: Service, done: str
) -> None:
    before = service.get(f"/v1/runs/{done}")["tallies"]
    assert service.post(f"/v1/runs/{done}/score").json()["attempts"] == 60
    assert service.get(f"/v1/runs/{done}")["tallies"] == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/runs/nonesuch", None, 404),
        ("GET", "/nonesuch", None, 404),
        ("PUT", "/v1/runs", None, 405),
        ("POST", "/v1/runs", {"order": {"suite": "nonesuch"}}, 404),
        ("POST", "/v1/runs", {"order": {"samples": "many"}}, 422),
        ("POST", "/v1/runs", {"order": {"typo": 1}}, 422),
        ("POST", "/v1/runs", {"order": {"margin": 3}}, 422),
        ("GET", "/v1/runs?limit=0", None, 422),
        ("GET", "/v1/runs?cursor=%21%21", None, 422),
    ],
)
def test_mistakes_are_problems_that_say_what_to_do(
    service: Service, method: str, path: str, body: Any, status: int
) -> None:
    answer = service.http.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["hint"]


def test_a_body_that_is_too_large_is_not_read(service: Service) -> None:
    answer = service.http.post("/v1/runs", content=b"[" * 2_000_000)
    assert answer.status_code == 413


def test_health_says_what_is_missing(service: Service) -> None:
    assert service.get("/health/live") == {"status": "live"}
    ready = service.get("/health/ready")
    assert ready["status"] == "ready without workers"
    assert "qbench worker" in ready["missing"]["workers"]


def test_the_catalogue_is_that_of_the_program(service: Service) -> None:
    assert {"mcp", "sums"} <= {one["name"] for one in service.get("/v1/catalogue/suites")["suites"]}
    assert "fp8" in {one["name"] for one in service.get("/v1/catalogue/formats")["formats"]}
    assert "vllm" in service.get("/v1/catalogue/engines")["engines"]
    assert service.get("/v1/catalogue/prices")["machines"]
    assert service.get("/v1/catalogue/models")["default"]


def test_the_document_describes_every_value(service: Service) -> None:
    document = service.get("/openapi.json")
    schemas = document["components"]["schemas"]
    assert {"Submission", "Leaderboard", "Problem", "RunProgress", "Order"} <= set(schemas)
    text = json.dumps(document)
    refers = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert refers <= set(schemas)
