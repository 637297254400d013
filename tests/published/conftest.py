"""Checks against recorded public tables: facts of others, read from ``QBENCH_PUBLISHED``.

They are not part of the project. Where the folder is not named, these tests are skipped; what
they found is in docs/published.md.
"""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def published() -> Path:
    folder = os.environ.get("QBENCH_PUBLISHED", "")
    if not folder:
        pytest.skip("QBENCH_PUBLISHED names no folder of recorded public tables")
    return Path(folder)
