"""Schemathesis over the OpenAPI document: no 5xx, no answer that the document does not name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import booleans
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from qbench.service.pricebook import read_prices
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.steps import execute
from tests.integration.api import application, serving
from tests.integration.made import create, request, system

pytestmark = pytest.mark.filterwarnings("ignore")  # third parties deprecate each other


@pytest.fixture
def served(url: str) -> Iterator[str]:
    """Serve a store with one finished run."""
    with Store.open(url) as store:
        plan = create(store, request((system("bf16"), system("fp8")), limit=10))
        asyncio.run(execute(plan.run, store, read_prices({}), Silent()))
        with serving(application(store)) as base:
            yield base


KNOWN = {"run": "last", "first": "bf16", "second": "fp8", "basis": "saturated", "system": "fp8"}
"""Half of the cases name what is there, so that answers are checked and not only refusals."""

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
ENDLESS = "/v1/runs/{run}/events"


def check(case: Any) -> None:
    """Send one case; the answer must be one that the document names."""
    response = case.call()
    assert response.status_code < 500, response.text
    case.validate_response(response, checks=CHECKS)


def test_every_answer_is_the_documents(served: str) -> None:
    schema = schemathesis.openapi.from_url(f"{served}/openapi.json")
    tried = set()
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # raises otherwise
        if operation.path != ENDLESS:
            tried.add(operation.label)
            explore(operation)
    assert len(tried) > 20


def explore(operation: Any) -> None:
    @settings(
        max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(), known=booleans())
    def cases(case: Any, known: bool) -> None:
        for place in (case.path_parameters, case.query) if known else ():
            for name in place or ():
                if name in KNOWN:
                    place[name] = KNOWN[name]
        check(case)

    cases()
