from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from starlette.testclient import TestClient

from qbench.errors import (
    BudgetReached,
    ConfigError,
    Forbidden,
    QbenchError,
    TooManyRequests,
    Unauthenticated,
)
from qbench.service import authentication
from qbench.service.access import LOCAL, Caller
from qbench.service.api import keys
from qbench.service.authentication import Authenticator
from qbench.service.keys import KeyOrder, digest_of, issue, revoke
from qbench.service.rates import Rates
from qbench.service.reports.values import to_json
from qbench.service.store import Store
from qbench.service.store.accounts import add_spent

STATUS: dict[type[QbenchError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    TooManyRequests: 429,
    ConfigError: 400,
}


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def service(store: Store, *, local: bool = True) -> FastAPI:
    """Make the smallest service that has the routes for keys."""
    app = FastAPI()
    app.state.store = store
    app.state.authenticate = Authenticator(store, Rates(environ={}), open_to_local=local)
    app.include_router(keys.router)

    def told(_request: Request, error: Exception) -> Response:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        return Response(to_json({"error": str(error)}), status)

    app.add_exception_handler(QbenchError, told)
    return app


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    with TestClient(service(store), base_url="http://127.0.0.1:8000") as made:
        yield made


@pytest.fixture
def network(store: Store) -> Iterator[TestClient]:
    """Yield a client of a service that listens on a public address."""
    with TestClient(service(store, local=False), base_url="http://bench.lan") as made:
        yield made


def a_key(store: Store, **values: Any) -> str:
    return issue(store, KeyOrder(name="ci", **values), LOCAL).secret


def bearing(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_without_keys_whoever_sits_here_may_do_everything(client: TestClient) -> None:
    told = client.get("/v1/me", headers=bearing("sk-anything"))
    assert told.status_code == 200
    assert told.json()["name"] == "local"
    assert told.json()["key"] is None
    assert client.get("/v1/keys").json()["keys"] == []


def test_the_first_key_closes_the_service_for_good(store: Store, client: TestClient) -> None:
    secret = a_key(store, scope="admin")
    refused = client.get("/v1/me")
    assert refused.status_code == 401
    assert "qbench keys add" in refused.json()["error"]
    key_id = client.get("/v1/me", headers=bearing(secret)).json()["key"]["id"]
    assert client.delete(f"/v1/keys/{key_id}", headers=bearing(secret)).status_code == 200
    with TestClient(service(store), base_url="http://127.0.0.1:8000") as restarted:
        assert restarted.get("/v1/me").status_code == 401


def test_a_public_service_without_keys_lets_nobody_in(network: TestClient) -> None:
    assert network.get("/v1/me").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Host": "localhost.evil.example:8000"},
        {"Host": "[::1"},
    ],
)
def test_the_open_service_answers_no_foreign_page_and_no_proxy(
    client: TestClient, headers: dict[str, str]
) -> None:
    assert client.get("/v1/me", headers=headers).status_code == 403
    assert client.post("/v1/keys", headers=headers, json={"name": "x"}).status_code == 403


def test_the_open_service_answers_its_own_pages(client: TestClient) -> None:
    for origin in ("http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"):
        assert client.get("/v1/me", headers={"Origin": origin}).status_code == 200


def test_a_key_is_taken_from_either_header(store: Store, network: TestClient) -> None:
    secret = a_key(store, account="ann")
    for headers in (bearing(secret), {"X-API-Key": secret}, {"Authorization": f"bearer  {secret}"}):
        assert network.get("/v1/me", headers=headers).json()["name"] == "ann"
    for headers in (bearing(secret[:-1]), bearing("sk-x"), {"Authorization": f"Basic {secret}"}):
        assert network.get("/v1/me", headers=headers).status_code == 401


def test_a_digest_is_no_key(store: Store, network: TestClient) -> None:
    digest = digest_of(a_key(store))
    assert network.get("/v1/me", headers=bearing(digest)).status_code == 401


def test_a_scope_is_not_exceeded(store: Store, network: TestClient) -> None:
    for scope in ("read", "run"):
        secret = a_key(store, scope=scope)
        assert network.get("/v1/me", headers=bearing(secret)).status_code == 200
        for path in ("/v1/keys", "/v1/audit"):
            assert network.get(path, headers=bearing(secret)).status_code == 403
        made = network.post("/v1/keys", headers=bearing(secret), json={"name": "more"})
        assert made.status_code == 403
    assert len(store.keys()) == 2


def test_an_expired_key_is_refused_though_it_is_held(
    store: Store, network: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = a_key(store, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert network.get("/v1/me", headers=bearing(secret)).status_code == 200

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(hours=2)

    monkeypatch.setattr(authentication, "datetime", Later)
    told = network.get("/v1/me", headers=bearing(secret))
    assert (told.status_code, "expired" in told.json()["error"]) == (401, True)


def test_a_revoked_key_is_refused_within_five_seconds(
    store: Store, network: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert authentication.HOLD_S < 5
    secret = a_key(store)
    assert network.get("/v1/me", headers=bearing(secret)).status_code == 200
    revoke(store, store.keys()[0].id, LOCAL)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + authentication.HOLD_S)
    told = network.get("/v1/me", headers=bearing(secret))
    assert (told.status_code, "revoked" in told.json()["error"]) == (401, True)


def test_a_rate_is_kept_by_key(store: Store, network: TestClient) -> None:
    slow, other = a_key(store, per_minute=2), a_key(store, per_minute=2)
    codes = [network.get("/v1/me", headers=bearing(slow)).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert network.get("/v1/me", headers=bearing(other)).status_code == 200


def test_a_budget_is_what_the_ledger_left_of_it(store: Store) -> None:
    authenticate = Authenticator(store, Rates(environ={}), open_to_local=False)
    a_key(store, budget=Decimal("0.30"))
    (key,) = store.keys()
    caller = Caller(account_id=key.account_id, name="ci", key_id=key.id)
    authenticate.check_budget(caller)
    with store.writing() as tx:
        add_spent(tx, key.id, Decimal("0.10"))
    assert authenticate.budget_left(caller) == Decimal("0.20")
    with store.writing() as tx:
        add_spent(tx, key.id, Decimal("0.20"))
    with pytest.raises(BudgetReached, match="budget of this key is spent"):
        authenticate.check_budget(caller)
    assert authenticate.budget_left(LOCAL) is None


def test_use_is_noted(store: Store, network: TestClient) -> None:
    secret = a_key(store)
    assert store.keys()[0].used_at is None
    network.get("/v1/me", headers=bearing(secret))
    used = store.keys()[0].used_at
    assert used is not None
    assert abs(datetime.now(UTC) - used) < timedelta(minutes=1)


def test_a_key_is_made_shown_once_and_audited(store: Store, network: TestClient) -> None:
    admin = bearing(a_key(store, scope="admin", account="root"))
    order = {"name": "bot", "scope": "run", "budget": 0.1, "per_minute": 5}
    made = network.post("/v1/keys", headers=admin, json=order)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    secret = made.json()["secret"]
    assert network.get("/v1/me", headers=bearing(secret)).json()["budget_left"] == "0.1"
    assert secret not in network.get("/v1/keys", headers=admin).text
    assert digest_of(secret) not in network.get("/v1/keys", headers=admin).text
    newest = network.get("/v1/audit?limit=1", headers=admin).json()
    assert newest["entries"][0]["act"] == "key.create"
    assert newest["entries"][0]["target"] == made.json()["key"]["id"]
    assert newest["entries"][0]["key_id"] == store.keys()[0].id
    older = network.get(f"/v1/audit?before={newest['before']}", headers=admin).json()
    assert [entry["act"] for entry in older["entries"]] == ["key.create"]
    assert older["before"] is None


@pytest.mark.parametrize(
    "body",
    ["", "{}", '{"name": "x", "scope": "god"}', '{"name": "x", "budgets": 5}', '{"name": 1}'],
)
def test_a_key_that_cannot_be_read_is_not_made(store: Store, client: TestClient, body: str) -> None:
    assert client.post("/v1/keys", content=body).status_code == 400
    assert store.keys() == ()
