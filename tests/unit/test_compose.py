from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from qbench.cli.main import LAZY

TEXT = (Path(__file__).parents[2] / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]


def test_no_secret_has_a_default() -> None:
    for name, rest in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY))(\W[^}]*)\}", TEXT):
        assert rest.startswith(":?"), name


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_watched_and_kept_to_this_machine(name: str) -> None:
    service = SERVICES[name]
    assert not service["image"].endswith(":latest")
    assert ":" in service["image"]
    assert "healthcheck" in service or service["restart"] == "no"
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", [n for n, s in SERVICES.items() if "QBENCH_BROKER" in str(s)])
def test_commands_are_verbs_of_the_program(name: str) -> None:
    assert SERVICES[name]["command"][0] in LAZY


def test_what_needs_the_database_waits_for_it_and_its_schema() -> None:
    for name in ("api", "worker", "gpu-worker", "beat"):
        needs = SERVICES[name]["depends_on"]
        assert needs["postgres"]["condition"] == "service_healthy"
        assert needs["migrate"]["condition"] == "service_completed_successfully"
