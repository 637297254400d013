from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.program import Program


@pytest.fixture
def qbench(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Return the program with one finished run of three systems; for tests that only read."""
    program = Program(tmp_path_factory.mktemp("finished"))
    accuracy = {"bf16": 0.95, "fp8": 0.9, "*": 0.2}
    ended = program.run("--formats", "fp8,w4a16", "-n", "60", accuracy=accuracy)
    assert ended.code == 0, ended.talk
    return program
