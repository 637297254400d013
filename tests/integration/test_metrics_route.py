from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from qbench.errors import Forbidden
from qbench.service.access import LOCAL, Caller
from qbench.service.api import metrics
from qbench.service.store import Store


def test_the_route_tells_everything_to_a_key_that_may_read(tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "qbench.db")) as store:
        app = FastAPI()
        app.include_router(metrics.router)
        app.state.store, app.state.authenticate = store, lambda _: LOCAL
        client = TestClient(app)
        for _ in range(2):
            answer = client.get("/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain; version=")
        found = {family.name for family in text_string_to_metric_families(answer.text)}
        assert {"qbench_queue_depth", "qbench_attempts", "qbench_runs"} <= found
        modern = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert modern.text.endswith("# EOF\n")
        app.state.authenticate = lambda _: Caller(account_id="a", name="a", scopes=())
        with pytest.raises(Forbidden):
            client.get("/metrics")
