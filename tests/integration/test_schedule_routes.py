"""Routes of schedules, history and re-pricing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from qbench.errors import ConfigError, Forbidden, NotFound
from qbench.service.access import LOCAL, Caller
from qbench.service.api.schedules import router
from qbench.service.pricebook import read_prices
from qbench.service.store import Store
from tests.integration.recurring import NIGHTLY, PlainDesk, work

BODY = {
    "name": "nightly",
    "cron": "0 3 * * *",
    "order": msgspec.to_builtins(NIGHTLY.order),
}


class Service:
    """The routes over a store; whoever asks is ``caller``."""

    def __init__(self, store: Store) -> None:
        self.store, self.caller = store, LOCAL
        app = FastAPI()
        app.state.store, app.state.desk = store, PlainDesk(store)
        app.state.prices, app.state.authenticate = read_prices({}), self._who
        app.include_router(router)
        self.http = TestClient(app)

    def _who(self, _: Request) -> Caller:
        return self.caller

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = self.http.request(method, f"/v1{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def service(url: str) -> Iterator[Service]:
    with Store.open(url) as store:
        yield Service(store)


def test_a_schedule_is_made_listed_paused_resumed_fired_and_removed(service: Service) -> None:
    made = service.ask("POST", "/schedules", 201, json=BODY)
    assert made["what"]["watch"]["window"] == 8
    assert [one["id"] for one in service.ask("GET", "/schedules")["schedules"]] == [made["id"]]
    assert service.ask("POST", "/schedules/nightly/pause")["next_at"] is None
    assert service.ask("POST", "/schedules/nightly/resume")["next_at"] == made["next_at"]
    fired = service.ask("POST", "/schedules/nightly/run-now", 202)["firing"]
    assert fired["state"] == "running"
    assert service.store.run(fired["run_id"]).schedule_id == made["id"]
    again = service.ask("POST", "/schedules/nightly/run-now", 202)["firing"]
    assert again["state"] == "skipped"
    detail = service.ask("GET", "/schedules/nightly")
    assert [firing["state"] for firing in detail["firings"]] == ["running", "skipped"]
    service.ask("DELETE", "/schedules/nightly", 204)
    assert service.ask("GET", "/schedules")["schedules"] == []


def test_history_and_other_days_prices_are_answered(service: Service) -> None:
    service.ask("POST", "/schedules", 201, json=BODY)
    run = service.ask("POST", "/schedules/nightly/run-now", 202)["firing"]["run_id"]
    work(service.store, run, failing=6)
    [track] = service.ask("GET", "/history", params={"schedule": "nightly"})["tracks"]
    assert track["marks"][0]["pass_rate"]["value"] == 0.9
    priced = service.ask("POST", f"/runs/{run}/reprice", params={"as_of": "2026-01-01", "save": 1})
    assert priced["as_of"] == "2026-01-01"
    found = service.ask("GET", "/history", params={"run": run})
    assert [one["run_id"] for one in found["snapshots"]] == [run]


def test_what_is_wrong_or_unknown_is_refused(service: Service) -> None:
    for change in ({"cron": "never"}, {"order": {"suite": "gone"}}, {"timezone": "Mars"}):
        with pytest.raises(ConfigError):
            service.ask("POST", "/schedules", json=BODY | change)
    with pytest.raises(msgspec.ValidationError):
        service.ask("POST", "/schedules", json=BODY | {"crom": "0 3 * * *"})
    with pytest.raises(NotFound):
        service.ask("POST", "/schedules/nightly/pause")
    service.ask("POST", "/runs/last/reprice", 422, params={"as_of": "yesterday"})


def test_readers_change_nothing(service: Service) -> None:
    service.ask("POST", "/schedules", 201, json=BODY)
    service.caller = Caller(account_id=None, name="reader", scopes=("read",))
    service.ask("GET", "/schedules/nightly")
    for method, path in (
        ("POST", "/schedules"),
        ("DELETE", "/schedules/nightly"),
        ("POST", "/schedules/nightly/run-now"),
        ("POST", "/runs/last/reprice"),
    ):
        with pytest.raises(Forbidden):
            service.ask(method, path, json=BODY)
