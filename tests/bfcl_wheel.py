"""The real BFCL files for tests: downloaded once from PyPI into a cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qbench.benchmarks.data import fetch
from qbench.benchmarks.suites.bfcl import source
from qbench.errors import ConfigError

CACHE = Path(os.environ.get("QBENCH_TEST_CACHE", "~/.cache/qbench-tests")).expanduser()


def real_wheel() -> Path:
    """Return the pinned wheel; skips the test when it cannot be had."""
    path = CACHE / source.WHEEL
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            source.downloaded(CACHE, lambda _: None)
        except ConfigError as error:
            pytest.skip(f"BFCL's wheel cannot be had: {error}")
    return path


def real_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test's suites read the real data, unpacked into ``folder``."""
    monkeypatch.setenv("QBENCH_DATA", str(folder))
    fetch("bfcl", source.get, str(real_wheel()), lambda _: None)
